"""``eugo policy`` and ``eugo window``: what would happen, without anything happening."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.client import part
from hub_services.cli.files import read_mapping
from hub_services.cli.output import Session, safe, table

if TYPE_CHECKING:
    from rich.console import Console

_DAYS: Final = re.compile(r"([1-9][0-9]?)d")


@click.group()
def policy() -> None:
    """Why something would start or not, and what a change would do."""


@policy.command()
@click.option("--user", metavar="NAME", help="For whom; left out: for yourself.")
@click.option(
    "--option",
    "options",
    multiple=True,
    metavar="WORD=VALUE",
    help="A word of the request, such as gpu_model=H100; as often as needed.",
)
@click.pass_obj
def explain(session: Session, user: str | None, options: tuple[str, ...]) -> None:
    """
    Say what admission would answer to a request now, rule by rule.

    \b
    Examples:
      eugo policy explain --option profile=nb-gpu-h100 --option sm_percent=25
      eugo policy explain --user jane@example.org --option gpu_model=A100 --option gpu_count=1
    """
    words: dict[str, Any] = {}
    for option in options:
        word, separator, value = option.partition("=")
        if not separator:
            message = f"{option!r}: write WORD=VALUE, for example gpu_model=H100."
            raise click.UsageError(message)
        words[word] = _value(value)
    body: dict[str, object] = {"options": words}
    if user is not None:
        body["user"] = user
    answer = session.client.post("/explain", body)

    def tell(console: Console) -> None:
        console.print(
            f"It {_OUTCOMES[answer['outcome']]}: {safe(answer['sentence'])}", soft_wrap=True
        )
        for step in answer["steps"]:
            mark = "[green]yes[/green]" if step["passed"] else "[red]no [/red]"
            console.print(f"  {mark} {safe(step['rule'])}", soft_wrap=True)
            for refusal in step["refusals"]:
                console.print(
                    f"      {safe(refusal['sentence'])} \\[{safe(refusal['reason'])}] "
                    f"This can be changed by {safe(refusal['who'])}.",
                    soft_wrap=True,
                )
        for fact in answer["facts"]:
            console.print(f"{safe(fact['label'])}: {safe(fact['value'])}", soft_wrap=True)
        if answer["outcome"] == "refused" and answer["nearest"]:
            nearest = ", ".join(f"{word}={value}" for word, value in answer["nearest"].items())
            console.print(f"This would start: {safe(nearest)}", soft_wrap=True)

    session.show(answer, tell)
    if answer["outcome"] == "refused":
        raise SystemExit(1)


def _value(text: str) -> object:
    """Return a number, a truth or a list as JSON has them; anything else is text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


_OUTCOMES: Final = {"starts": "starts", "waits": "waits", "refused": "would be refused"}


@policy.command(name="what-if")
@click.option(
    "--plan",
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="Entries as in catalog.yaml, by section; null removes one.",
)
@click.option("--since", default="14d", show_default=True, help="How far back: 14d, at most 90d.")
@click.pass_obj
def what_if(session: Session, file: Path, since: str) -> None:
    """
    Say what changed settings would have done to what people asked for.

    Nothing is changed. FILE holds sections as catalog.yaml does:

    \b
      plans:
        teaching: {…}
      quotas:
        gpu-each-month: {user: "*", gpu_hours: 80, per: month}

    \b
    Example:
      eugo policy what-if --plan cheaper.yaml --since 14d
    """
    days = _DAYS.fullmatch(since)
    if days is None:
        message = f"--since {since!r}: write a number of days such as 14d."
        raise click.UsageError(message)
    sections = read_mapping(file)
    if not all(isinstance(entries, dict) for entries in sections.values()):
        message = f"{file}: expected sections with entries, such as plans: {{teaching: {{…}}}}."
        raise click.UsageError(message)
    changes = [
        {"section": section, "key": str(key), "document": document}
        for section, entries in sections.items()
        for key, document in entries.items()
    ]
    answer = session.client.post("/what-if", {"changes": changes, "days": int(days[1])})

    def tell(console: Console) -> None:
        for sentence in answer["sentences"]:
            console.print(safe(sentence), soft_wrap=True)
        console.print(
            f"{answer['requests']} requests were tried, {answer['skipped']} left out because their "
            "words are not on record."
            + ("" if answer["is_complete"] else " There are more than could be tried.")
        )
        if answer["lines"]:
            rows = [
                [each["at"], each["owner"], each["workspace"], each["before"], each["after"]]
                for each in answer["lines"]
            ]
            console.print(
                table("What would differ", ["At", "Of", "Workspace", "It was", "It would be"], rows)
            )

    session.show(answer, tell)


@click.group()
def window() -> None:
    """When plans are open."""


@window.command()
@click.argument("plan")
@click.option("--count", type=click.IntRange(1, 100), default=10, show_default=True)
@click.pass_obj
def preview(session: Session, plan: str, count: int) -> None:
    """
    Show when the queues of PLAN are open next.

    \b
    Example:
      eugo window preview research
    """
    answer = session.client.get(f"/plans/{part(plan)}/openings", {"count": count})

    def tell(console: Console) -> None:
        state = "open" if answer["is_open"] else "closed"
        queues = ", ".join(answer["queues"]) or "none"
        console.print(
            f"The queues of {safe(answer['plan'])} ({safe(queues)}) are {state} now.",
            soft_wrap=True,
        )
        for each in answer["windows"]:
            console.print(f"  {safe(each)}", soft_wrap=True)
        rows = [[each["words"]] for each in answer["openings"]]
        console.print(table("Openings", ["From, to"], rows))

    session.show(answer, tell)
