"""Output: answers as tables for people, or as the JSON that the service gave."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import click
import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hub_services.cli.client import Client

_FILE_WIDTH: Final = 160
_TONES: Final = {"good": "green", "warn": "yellow", "danger": "red"}


@dataclass(frozen=True, slots=True)
class Session:
    """What every command gets: whom to ask, and how to show the answer."""

    make_client: Callable[[], Client]
    is_json: bool

    @property
    def client(self) -> Client:
        """Whom to ask; a missing setting is told only when somebody is asked."""
        return self.make_client()

    def show(self, answer: Any, for_people: Callable[[Console], None]) -> None:
        """Print *answer* as JSON, or have it printed for people."""
        if self.is_json:
            click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        else:
            console = Console(highlight=False)
            if not console.is_terminal and "COLUMNS" not in os.environ:
                console.width = _FILE_WIDTH  # nobody's window: what is read on is not cut
            for_people(console)


def plain(text: object) -> str:
    """Return foreign *text* with whatever a terminal would obey, or hide, spelled out."""
    return "".join(
        each if each.isprintable() or each == "\n" else f"\\u{ord(each):04x}" for each in str(text)
    )


def safe(text: object) -> str:
    """Return foreign *text* as rich shows it as it is, and no terminal obeys it."""
    return escape(plain(text))


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """Return a table of foreign text."""
    made = Table(title=safe(title), title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(safe(value) for value in row))
    return made


def limits_table(report: Any) -> Table:
    """Return the limits of a report, in the words of the page."""
    made = Table(
        "Limit", "Used or reserved", "Left", "Again from", "Standing",
        title=safe("What is used and what is left"), title_justify="left",
    )  # fmt: skip
    for line in report["limits"]:
        label = safe(line["label"])
        if line["override"]:
            override = line["override"]
            label += safe(f"\n{override['amount']} until {override['until']}: {override['reason']}")
        colour = _TONES[line["tone"]]
        made.add_row(
            label,
            safe(line["used"]),
            safe(line["remaining"]),
            safe(line["resets"]),
            f"[{colour}]{safe(line['standing'])}[/{colour}]",
        )
    return made


def as_yaml(document: object) -> str:
    """Return *document* in the form of the catalog."""
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=100)
