"""docs/features.md names tests and pages that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "features.md").read_text().splitlines()
    if re.match(r"\| [DFL][0-9]", line)
]


#: What exists, feature by feature; a row that goes missing is a promise that was broken.
DELIVERED = {
    "F": (
        1,
        2,
        3,
        4,
        5,
        6,
        8,
        10,
        11,
        12,
        15,
        16,
        17,
        18,
        19,
        20,
        22,
        23,
        25,
        26,
        27,
        28,
        29,
        31,
        33,
        35,
        36,
        37,
        38,
        39,
        40,
        41,
        42,
        43,
        44,
        45,
        46,
        47,
        48,
        49,
        50,
        51,
        52,
        53,
        54,
        55,
        56,
        57,
        58,
        59,
        60,
        61,
        62,
        63,
        64,
        65,
        66,
        67,
        68,
        69,
        72,
        74,
        82,
        83,
        84,
        85,
        86,
        88,
        91,
        98,
        99,
        100,
        101,
        102,
        105,
        106,
        107,
        108,
        109,
        110,
        111,
        112,
        115,
        116,
        121,
        130,
    ),
    "L": (1, 2, 5, 6, 7, 8, 11, 12, 16),
    "D": (10,),
}


def test_the_table_lists_what_is_delivered_in_order() -> None:
    assert [row[0] for row in ROWS] == [
        f"{kind}{number}" for kind, numbers in DELIVERED.items() for number in numbers
    ]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_the_named_test_and_page_exist(row: list[str]) -> None:
    _, what, test, page = row
    assert what
    for each in test.split(", "):
        path, _, name = each.strip("`").partition("::")
        text = (ROOT / path).read_text()
        assert not name or f"def {name}(" in text
    target = re.search(r"\]\(([^)]+)\)", page)
    assert target
    assert (ROOT / "docs" / target[1]).is_file()
