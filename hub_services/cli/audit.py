"""``eugo audit``: who did what, and whether the record of it is whole."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.output import Session, plain
from hub_services.common import sheets

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hub_services.cli.client import Client

_PAGE: Final = 500
_FOLLOW_SECONDS: Final = 2


@click.group()
def audit() -> None:
    """The audit: who did what, when and why. For admins; reading it is on record."""


def _filters(command: Any) -> Any:
    for option in (
        click.option("--actor", help="Who did it."),
        click.option("--action", help="What: start, stop, open, change, …"),
        click.option("--about", help="To what: workspace.alice/thesis, plans.research."),
        click.option("--since", help="From this moment on: 2026-11-27T08:00:00Z."),
        click.option("--until", help="Before this moment."),
    ):
        command = option(command)
    return command


@audit.command()
@_filters
@click.option("--lines", "count", type=click.IntRange(1, _PAGE), default=20, show_default=True)
@click.option("--follow", "-f", is_flag=True, help="Go on with what comes, until interrupted.")
@click.pass_obj
def tail(session: Session, /, count: int, follow: bool, **wanted: str | None) -> None:  # noqa: FBT001
    """
    Show the last lines of the audit, the last one last.

    \b
    Examples:
      eugo audit tail
      eugo audit tail --action stop --follow
    """
    client = session.client.of("workspaces")
    lines = client.get("/audit", wanted | {"limit": count})["lines"]
    seen = 0
    while True:
        for line in reversed(lines):
            seen = max(seen, line["id"])
            click.echo(json.dumps(line, ensure_ascii=False) if session.is_json else _words(line))
        if not follow:
            return
        time.sleep(_FOLLOW_SECONDS)
        # Our own reading is on record, and would be read again and again.
        newest = client.get("/audit", wanted | {"limit": _PAGE})["lines"]
        lines = [each for each in newest if each["id"] > seen and each["action"] != "read-audit"]
        seen = max([seen, *(each["id"] for each in newest)])


def _words(line: Any) -> str:
    why = f" ({line['reason']})" if line["reason"] else ""
    return plain(f"{line['at']}  {line['actor']}  {line['action']}  {line['object']}{why}")


@audit.command()
@click.pass_obj
def verify(session: Session) -> None:
    """
    Look at every seal of the audit, and at the anchors that are kept outside.

    Exits with 1 if a line was altered, removed or put in, or the end was cut off.
    """
    found = session.client.of("workspaces").get("/audit/verification")
    if session.is_json:
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        state = "whole" if found["is_whole"] else "NOT WHOLE"
        click.echo(f"The audit is {state}: {found['lines']} lines, {found['anchors']} anchors.")
        if found["seal"]:
            click.echo(f"Its end: line {found['last']}, seal {found['seal']}.")
        for problem in found["problems"]:
            click.echo(plain(problem), err=True)
    if not found["is_whole"]:
        sys.exit(1)


@audit.command()
@_filters
@click.option(
    "--format", "form", type=click.Choice(["jsonl", "csv"]), default="jsonl", show_default=True,
    help="JSON, one line each; or a table whose cells no spreadsheet takes for formulas.",
)  # fmt: skip
@click.option(
    "--to", "target", type=click.Path(dir_okay=False, path_type=Path),
    help="A file; left out: standard output.",
)  # fmt: skip
@click.pass_obj
def export(session: Session, /, form: str, target: Path | None, **wanted: str | None) -> None:
    """
    Write the audit, the last line first.

    \b
    Examples:
      eugo audit export --since 2026-11-01T00:00:00Z --to november.jsonl
      eugo audit export --format csv --to audit.csv
    """
    lines = _all(session.client.of("workspaces"), wanted)
    if form == "csv":
        text = sheets.to_csv(sheets.AUDIT, map(sheets.audit_row, lines))
    else:
        text = "".join(f"{json.dumps(line, ensure_ascii=False)}\n" for line in lines)
    if target is None:
        click.echo(text, nl=False)
    else:
        target.write_text(text, "utf-8", newline="")


def _all(client: Client, wanted: dict[str, str | None]) -> Iterator[Any]:
    before: int | None = None
    while True:
        lines = client.get("/audit", wanted | {"limit": _PAGE, "before": before})["lines"]
        yield from lines
        if len(lines) < _PAGE:
            return
        before = lines[-1]["id"]
