"""``eugo quota``: what is used and left, and how much there may be."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import click
import yaml

from hub_services.cli.client import Refused, part
from hub_services.cli.output import Session, limits_table, safe, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from rich.console import Console

_SUBJECTS: Final = ("user", "project", "group", "organization")
#: As a flag, ``--gpu-a100-hours-month``; as a word, ``gpu-a100=8h/day``.
_FLAG: Final = re.compile(
    r"--(?:(gpu)(?:-(?P<model>[A-Za-z0-9._-]+?))?|(cpu)|(memory-gib))-hours-(?P<per>day|month)"
)
_WORD: Final = re.compile(
    r"(?:(gpu)(?:-(?P<model>[A-Za-z0-9._-]+))?|(cpu)|(memory-gib))="
    r"(?P<hours>[0-9.]+)h/(?P<per>day|month)"
)
_HOURS: Final = {"gpu": "gpu_hours", "cpu": "cpu_hours", "memory-gib": "memory_gib_hours"}
_LONGEST_KEY: Final = 40


@click.group()
def quota() -> None:
    """What is used, what is left, and how much there may be."""


def of_subject(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the options that name whom it is about."""
    for name in reversed(_SUBJECTS):
        command = click.option(f"--{name}", metavar="NAME", help=f"Of this {name}.")(command)
    return command


@quota.command()
@of_subject
@click.pass_obj
def show(session: Session, /, **subject: str | None) -> None:
    """
    Show limits with what is used, reserved and left, and what consumed it.

    \b
    Examples:
      eugo quota show
      eugo quota show --user jane@example.org
      eugo quota show --project vision
    """
    report = session.client.get("/usage", subject)

    def tell(console: Console) -> None:
        console.print(
            f"Usage of {safe(report['title'])}, {report['month']} ({report['zone']})",
            soft_wrap=True,
        )
        for warning in report["warnings"]:
            console.print(f"[yellow]{safe(warning)}[/yellow]", soft_wrap=True)
        console.print(limits_table(report))
        if report["consumers"]:
            console.print(
                table(
                    "Workspaces this month, largest first",
                    ["Workspace", "Of", "Project", "GPU model", "GPU", "CPU", "Reserved"],
                    [
                        [
                            line["workspace"],
                            line["owner"],
                            line["project"],
                            line["gpu_model"] or "none",
                            line["gpu"],
                            line["cpu"],
                            line["reserved"],
                        ]
                        for line in report["consumers"]
                    ],
                )
            )

    session.show(report, tell)


@quota.command(name="list")
@click.pass_obj
def list_quotas(session: Session) -> None:
    """List all quotas; for admins."""
    found = session.client.get("/settings/quotas")
    rows = [
        [each["key"], *_subject(each["document"]), _amount(each["document"]), each["origin"]]
        for each in found["entries"]
    ]
    session.show(
        found,
        lambda console: console.print(
            table("Quotas", ["Key", "Of", "Name", "Amount", "Origin"], rows)
        ),
    )


@quota.command(
    name="set", context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
@of_subject
@click.option("--storage", metavar="SIZE", help="What extra volumes may have: 500Gi.")
@click.option("--key", help="Of the quota; left out: that of the same kind, or a new one.")
@click.option("--reason", default="set on the command line", show_default=True)
@click.argument("amounts", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def set_quota(
    session: Session,
    /,
    storage: str | None,
    key: str | None,
    reason: str,
    amounts: tuple[str, ...],
    **subject: str | None,
) -> None:
    """
    Set amounts, per calendar day or month, for one user, project, group or organization.

    AMOUNTS are flags such as --gpu-hours-month 160, --gpu-a100-hours-day 8, --cpu-hours-month
    1000 and --memory-gib-hours-day 64, or words such as gpu-a100=8h/day. '*' as a name means each.

    \b
    Examples:
      eugo quota set --user jane@example.org --gpu-a100-hours-month 40
      eugo quota set --user jane@example.org gpu-a100=8h/day
      eugo quota set --project vision --storage 500Gi --reason "the new data set"
    """
    named = [(kind, name) for kind, name in subject.items() if name is not None]
    if len(named) != 1:
        message = f"Give one of {', '.join(f'--{each}' for each in _SUBJECTS)}."
        raise click.UsageError(message)
    wanted = [_wanted(*each) for each in _pairs(amounts)]
    if storage is not None:
        wanted.append({"storage": storage})
    if not wanted:
        message = "Give an amount, for example --gpu-hours-month 160 or gpu-a100=8h/day."
        raise click.UsageError(message)
    if key is not None and len(wanted) > 1:
        message = "One --key cannot name several quotas: set them one by one."
        raise click.UsageError(message)
    found = session.client.get("/settings/quotas")
    known, revision = found["entries"], found["revision"]
    models = _models(session, wanted)
    answers = []
    for amount in wanted:
        if "gpu_model" in amount:
            amount["gpu_model"] = models.get(amount["gpu_model"].lower(), amount["gpu_model"])
        document = dict(named) | amount
        where = key or _key_of(document, known)
        before: dict[str, Any] = next(
            (each["document"] for each in known if each["key"] == where), {}
        )
        if "override" in before and _counted(before) == _counted(document):
            document["override"] = before["override"]  # it is for a time, and ends by itself
        answer = session.client.put(
            f"/settings/quotas/{part(where)}",
            {"document": document, "reason": reason, "revision": revision},
        )
        revision = answer["revision"]
        answers.append(answer)

    def tell(console: Console) -> None:
        for answer in answers:
            for sentence in answer["effects"]:
                console.print(safe(sentence), soft_wrap=True)

    session.show(answers[0] if len(answers) == 1 else answers, tell)


@quota.command()
@click.argument("key")
@click.option("--hours", type=float, help="Of a quota of hours.")
@click.option("--storage", metavar="SIZE", help="Of a quota of storage.")
@click.option("--until", help="Date, time and zone: 2026-12-01T00:00+01:00.")
@click.option("--reason", required=True, help="Why; people read it, and the audit keeps it.")
@click.option("--end", is_flag=True, help="Have the quota's own amount hold again at once.")
@click.pass_obj
def override(
    session: Session,
    key: str,
    hours: float | None,
    storage: str | None,
    until: str | None,
    reason: str,
    end: bool,  # noqa: FBT001 - click's
) -> None:
    """
    Give the quota KEY another amount until a moment; it ends by itself.

    \b
    Examples:
      eugo quota override gpu-each-month --hours 240 --until 2026-12-01T00:00+01:00 --reason Thesis
      eugo quota override gpu-each-month --end --reason "the deadline is over"
    """
    path = f"/quotas/{part(key)}/override"
    if end:
        answer = session.client.delete(path, {"reason": reason})
    else:
        if until is None or (hours is None) == (storage is None):
            message = "Give --until, and one of --hours and --storage."
            raise click.UsageError(message)
        amount = {"hours": hours} if hours is not None else {"storage": storage}
        answer = session.client.put(path, {**amount, "until": until, "reason": reason})
    show_effects(session, answer)


@quota.command()
@click.argument("key")
@click.option("--reason", required=True, help="Why; the audit keeps it.")
@click.pass_obj
def remove(session: Session, key: str, reason: str) -> None:
    """
    Remove the quota KEY.

    \b
    Example:
      eugo quota remove jane-a100-month --reason "she has left"
    """
    answer = session.client.delete(f"/settings/quotas/{part(key)}", {"reason": reason})
    show_effects(session, answer)


def amounts_of(session: Session, words: Sequence[str]) -> list[dict[str, Any]]:
    """Return the parts of quotas that *words* such as ``gpu-a100=8h/day`` are."""
    wanted = [_wanted(word, None) for word in words]
    models = _models(session, wanted)
    for amount in wanted:
        if "gpu_model" in amount:
            amount["gpu_model"] = models.get(amount["gpu_model"].lower(), amount["gpu_model"])
    return wanted


def show_effects(session: Session, answer: Any) -> None:
    """Show what came of a change."""

    def tell(console: Console) -> None:
        for sentence in answer["effects"]:
            console.print(safe(sentence), soft_wrap=True)

    session.show(answer, tell)


def _pairs(words: Sequence[str]) -> list[tuple[str, str | None]]:
    """Return flags with their values, and words that hold theirs."""
    found: list[tuple[str, str | None]] = []
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word.startswith("--") and "=" in word:
            flag, _, value = word.partition("=")
            found.append((flag, value))
        elif word.startswith("--"):
            if not rest:
                message = f"{word} needs a number of hours."
                raise click.UsageError(message)
            found.append((word, rest.pop(0)))
        else:
            found.append((word, None))
    return found


def _wanted(name: str, value: str | None) -> dict[str, Any]:
    """Return the part of a quota that an amount is."""
    match = _WORD.fullmatch(name) if value is None else _FLAG.fullmatch(name)
    if match is None:
        message = (
            f"{name!r} is no amount: write for example --gpu-hours-month 160, "
            "--gpu-a100-hours-day 8 or gpu-a100=8h/day."
        )
        raise click.UsageError(message)
    hours = match["hours"] if value is None else value
    resource = next(each for each in ("gpu", "cpu", "memory-gib") if each in match.groups())
    try:
        number = float(hours)
    except ValueError as error:
        message = f"{name}: {hours!r} is no number of hours."
        raise click.UsageError(message) from error
    amount: dict[str, Any] = {
        _HOURS[resource]: int(number) if number.is_integer() else number,
        "per": match["per"],
    }
    if match["model"]:
        amount["gpu_model"] = match["model"]
    return amount


def _models(session: Session, wanted: list[dict[str, Any]]) -> dict[str, str]:
    """Return the catalog's GPU models by their name in small letters, if any is asked for."""
    if not any("gpu_model" in amount for amount in wanted):
        return {}
    try:
        catalog = yaml.safe_load(session.client.get("/catalog")["yaml"])
    except Refused:  # who changes the quotas of a project need not see all settings
        return {}
    return {str(key).lower(): str(key) for key in catalog.get("gpu_models") or {}}


def _key_of(document: dict[str, Any], known: Sequence[Any]) -> str:
    """Return the key of the quota that counts the same, else a new one that says what it is."""
    for each in known:
        if _counted(each["document"]) == _counted(document):
            return str(each["key"])
    kind, name = _subject(document)
    what = document.get("gpu_model") or next(
        (short for short, key in _HOURS.items() if key in document), "storage"
    )
    words = "-".join(str(each) for each in (what, document.get("per"), kind, name) if each)
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    taken = {each["key"] for each in known}
    key, number = plain[:_LONGEST_KEY].strip("-"), 2
    while key in taken:
        ending = f"-{number}"
        key, number = plain[: _LONGEST_KEY - len(ending)].strip("-") + ending, number + 1
    return key


def _counted(document: dict[str, Any]) -> object:
    resources = {name for name in (*_HOURS.values(), "storage") if name in document}
    return (
        _subject(document), resources, document.get("per"), document.get("gpu_model"),
    )  # fmt: skip


def _subject(document: dict[str, Any]) -> tuple[str, str]:
    kind = next((each for each in _SUBJECTS if each in document), "")
    return kind, str(document.get(kind, ""))


def _amount(document: dict[str, Any]) -> str:
    if "storage" in document:
        return f"{document['storage']} storage"
    name = next((each for each in _HOURS.values() if each in document), "")
    model = f" of {document['gpu_model']}" if "gpu_model" in document else ""
    return f"{document.get(name)} {name.replace('_', ' ')}{model} per {document.get('per')}"
