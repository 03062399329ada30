"""docs/features.md names tests and pages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "features.md").read_text().splitlines()
    if re.match(r"\| [FL][0-9]", line)
]


def test_the_table_lists_what_the_first_issue_delivers() -> None:
    promised = [
        "F1",
        "F19",
        "F25",
        "F26",
        "F40",
        "F42",
        "F43",
        "F46",
        "F48",
        "F49",
        "F51",
        "F53",
        "F54",
        "F56",
    ]
    assert [row[0] for row in ROWS] == promised


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_named_test_and_page_exist(row: list[str]) -> None:
    _, what, test, page = row
    assert what
    path, _, name = test.strip("`").partition("::")
    text = (ROOT / path).read_text()
    assert not name or f"def {name}(" in text
    target = re.search(r"\]\(([^)]+)\)", page)
    assert target
    assert (ROOT / "docs" / target[1]).is_file()
