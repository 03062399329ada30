"""`python -m eugospawner.store`, and that it and the tables are documented."""

import subprocess
import sys
from pathlib import Path

import pytest

from eugospawner.store import schema
from eugospawner.store.__main__ import main
from eugospawner.store.tables import Base

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "store.md"


@pytest.fixture
def url(tmp_path, monkeypatch):
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    monkeypatch.setenv("EUGO_DATABASE_URL", url)
    return url


@pytest.mark.usefixtures("url")
def test_it_says_which_revision_there_is_after_each_command(capsys):
    for arguments, said in [
        (["current"], "empty"),
        (["upgrade"], f"{schema.head()} (head)"),
        (["current"], f"{schema.head()} (head)"),
        (["downgrade", "base"], "empty"),
        (["current"], "empty"),
    ]:
        assert main(arguments) == 0
        assert capsys.readouterr().out == f"{said}\n"


def test_a_url_can_be_given(monkeypatch, url, capsys):
    monkeypatch.delenv("EUGO_DATABASE_URL")
    assert main(["upgrade", "--url", url]) == 0
    assert schema.current(url) == schema.head()
    assert main(["current"]) == 2
    assert "give --url or set EUGO_DATABASE_URL" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["upgrade", "downgrade", "current"])
def test_what_goes_wrong_is_one_line_and_an_exit_code(command, tmp_path, capsys):
    url = f"sqlite:///{tmp_path}"
    assert main([command, "--url", url]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("The store could not ")
    assert shown.count("\n") == 1


def test_going_back_where_there_is_nothing_is_refused(url, capsys):
    assert main(["downgrade"]) == 1
    assert "there is none at" in capsys.readouterr().err
    schema.upgrade(url)
    assert main(["downgrade", "0042"]) == 1
    assert "0042" in capsys.readouterr().err


def test_every_column_is_documented_with_its_comment():
    page = PAGE.read_text()
    for table in Base.metadata.tables.values():
        assert f"`{table.name}`" in page
        for column in table.columns:
            assert f"| `{column.name}` |" in page
            assert column.comment in page


@pytest.mark.parametrize("word", ["upgrade", "downgrade", "current", "--url", "EUGO_DATABASE_URL"])
def test_every_word_of_the_command_is_documented(word):
    assert word in PAGE.read_text()


def test_it_is_run_as_a_module(url):
    done = subprocess.run(
        [sys.executable, "-m", "eugospawner.store", "upgrade", "--url", url],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{schema.head()} (head)\n", "")
