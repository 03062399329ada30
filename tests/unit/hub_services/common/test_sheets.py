"""Spreadsheets open our tables and obey nothing in them."""

import csv
import io

import pytest

from hub_services.common.sheets import to_csv


@pytest.mark.parametrize(
    "text",
    ['=HYPERLINK("http://x","y")', "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1"],
)
def test_a_formula_is_text(text):
    (_, (cell, _)) = read(to_csv(["a", "b"], [[text, 1]]))
    assert cell == f"'{text}"


@pytest.mark.parametrize(
    "text", ["a,b", 'say "x"', "two\nlines", "\u202eevil", "<svg onload>", "a" * 255]
)
def test_everything_else_comes_out_as_it_went_in(text):
    assert read(to_csv(["a"], [[text]])) == [["a"], [text]]


def test_numbers_stay_numbers():
    assert read(to_csv(["a"], [[-1.5]])) == [["a"], ["-1.5"]]


def read(text):
    assert text.startswith("\ufeff")
    return list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline="")))
