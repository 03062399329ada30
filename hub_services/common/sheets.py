"""
Sheets: tables as CSV that spreadsheets open without obeying them.

A cell that begins as a formula does is preceded by an apostrophe, which spreadsheets take for "this is
text". Source: OWASP, CSV injection; RFC 4180.
"""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

CONTENT_TYPE: Final = "text/csv; charset=utf-8"
#: Of the audit, as pages and command give it.
AUDIT: Final = ("Id", "Time", "Who", "What", "To what", "Why", "Detail")
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n")


def to_csv(columns: Sequence[str] | None, rows: Iterable[Sequence[object]]) -> str:
    """
    Return *rows* below *columns*, with a byte order mark, by which Excel knows UTF-8.

    Args:
        columns: `None`: *rows* go on from others.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    if columns is not None:
        text.write("\ufeff")
        writer.writerow(columns)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    """Return *value*, if it is text, so that it stays text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def audit_row(line: Mapping[str, Any]) -> list[object]:
    """Return the row below `AUDIT` of a line as the API gives it."""
    return [
        line["id"], line["at"], line["actor"], line["action"], line["object"], line["reason"],
        json.dumps(line["detail"], ensure_ascii=False),
    ]  # fmt: skip
