"""Names of workspaces: what one may be, when two are the same, which is free; F36."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.policy import names

PEOPLE = st.text(min_size=1, max_size=80)


@pytest.mark.parametrize(
    "name",
    ["train", "Train v2", "Ünïcödé", "実験", "می‌خواهم", "👩‍🔬 lab", "<svg onload=x>", "=HYPERLINK(1)", "a" * 64],
)  # fmt: skip
def test_is_a_name(name: str) -> None:
    assert names.problem_of(name) is None


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("a" * 65, "is longer than 64 characters"),
        ("a\nb", "holds characters that cannot be seen"),
        ("a\0", "holds characters that cannot be seen"),
        ("abc\u202ecba", "holds characters that cannot be seen"),
        ("a\u200bb", "holds characters that cannot be seen"),
        ("\ud800", "holds characters that cannot be seen"),
        (" a", "begins or ends with a space, or has two in a row"),
        ("a  b", "begins or ends with a space, or has two in a row"),
        ("a\u00a0b", "begins or ends with a space, or has two in a row"),
        ("\u200d", "holds nothing that can be seen"),
    ],
)
def test_is_none(name: str, problem: str) -> None:
    assert names.problem_of(name) == problem


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Train", "tRAIN"),
        ("Straße", "STRASSE"),
        ("ﬁne", "fine"),
        ("ｗｉｄｅ", "wide"),
        ("é", "e\u0301"),
        ("می‌خواهم", "میخواهم"),
        ("ΣΑΣ", "σας"),
    ],
)
def test_are_the_same_to_people(one: str, other: str) -> None:
    assert names.key_of(one) == names.key_of(other)


@given(PEOPLE)
def test_a_key_is_its_own_key(name: str) -> None:
    assert names.key_of(names.key_of(name)) == names.key_of(name)


@given(PEOPLE, PEOPLE)
def test_whoever_names_nothing_has_a_name_all_the_same(owner: str, workspace: str) -> None:
    assert names.problem_of(names.default_of(owner, workspace)) is None


@given(st.sampled_from(["train", "x" * 64, "x" * 61 + " y", "ﬁ" * 40]), st.integers(0, 30))
def test_what_is_free_is_a_name_that_nobody_has(wanted: str, many: int) -> None:
    taken: set[str] = set()
    for _ in range(many):
        found = names.free(wanted, taken)
        assert names.problem_of(found) is None
        assert names.key_of(found) not in taken
        taken.add(names.key_of(found))
    assert names.free(wanted, set()) == wanted


def test_every_character_that_cannot_be_seen_is_refused() -> None:
    unseen = [
        chr(code)
        for code in range(0x110000)
        if unicodedata.category(chr(code)) in {"Cc", "Cf", "Zl", "Zp"}
        and chr(code) not in "\u200c\u200d"
    ]
    assert [each for each in unseen if names.problem_of(f"a{each}b") is None] == []
