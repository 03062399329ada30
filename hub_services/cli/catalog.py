"""``eugo plan``, ``queue``, ``profile``, ``project`` and ``catalog``: the settings at run time."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.client import part
from hub_services.cli.files import read_mapping
from hub_services.cli.output import Session, as_yaml, plain, table
from hub_services.cli.quota import show_effects

if TYPE_CHECKING:
    from rich.console import Console

_REASON: Final = click.option(
    "--reason", default="set on the command line", show_default=True, help="The audit keeps it."
)
_FILE: Final = click.option(
    "--file",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="The whole entry as YAML, in the words of catalog.yaml.",
)


def _section(name: str, section: str, what: str) -> click.Group:
    """Return a group with what can be done to the entries of *section*."""

    @click.group(name=name, help=f"{what}.")
    def group() -> None:
        pass

    @group.command(name="list", help=f"List the {section}.")
    @click.pass_obj
    def list_entries(session: Session) -> None:
        found = session.client.get(f"/settings/{section}")
        rows = [
            [each["key"], (each["document"] or {}).get("display_name", ""), each["origin"]]
            for each in found["entries"]
        ]
        session.show(
            found,
            lambda console: console.print(
                table(section.capitalize(), ["Key", "Name", "Origin"], rows)
            ),
        )

    @group.command(help=f"Show the {name} KEY as YAML.")
    @click.argument("key")
    @click.pass_obj
    def show(session: Session, key: str) -> None:
        found = session.client.get(f"/settings/{section}/{part(key)}")
        session.show(
            found,
            lambda _console: click.echo(plain(as_yaml(found["entry"]["document"])), nl=False),
        )

    @group.command(
        help=f"Make the {name} KEY, or change it as a whole.\n\n\b\nExample:\n"
        f"  eugo {name} put KEY --file {name}.yaml --reason 'the new term'"
    )
    @click.argument("key")
    @_FILE
    @_REASON
    @click.option("--dry-run", is_flag=True, help="Say what it would mean, and change nothing.")
    @click.pass_obj
    def put(session: Session, key: str, file: Path, reason: str, dry_run: bool) -> None:  # noqa: FBT001
        path, document = f"/settings/{section}/{part(key)}", read_mapping(file)
        if dry_run:
            show_effects(session, session.client.post(f"{path}/preview", {"document": document}))
            return
        show_effects(session, session.client.put(path, {"document": document, "reason": reason}))

    @group.command(help=f"Remove the {name} KEY.")
    @click.argument("key")
    @click.option("--reason", required=True, help="The audit keeps it.")
    @click.pass_obj
    def remove(session: Session, key: str, reason: str) -> None:
        answer = session.client.delete(f"/settings/{section}/{part(key)}", {"reason": reason})
        show_effects(session, answer)

    return group


plan = _section("plan", "plans", "Plans: what projects are entitled to")
queue = _section("queue", "queues", "Queues: where workspaces stand when GPUs are scarce")
profile = _section("profile", "profiles", "Profiles: what people pick")
project = _section("project", "projects", "Projects that groups own")


@profile.command(name="set")
@click.argument("key")
@click.option("--idle-stop", metavar="DURATION", help="Idle time after which it stops: 15min.")
@click.option("--max-session", metavar="DURATION", help="Longest session: 6h.")
@_REASON
@click.pass_obj
def set_profile(
    session: Session, key: str, idle_stop: str | None, max_session: str | None, reason: str
) -> None:
    """
    Change single settings of the profile KEY.

    \b
    Example:
      eugo profile set notebook-gpu-a100 --idle-stop 15min --max-session 6h
    """
    wanted = {
        name: value
        for name, value in (("idle_stop", idle_stop), ("max_session", max_session))
        if value is not None
    }
    if not wanted:
        message = "Give --idle-stop or --max-session."
        raise click.UsageError(message)
    _amend(session, "profiles", key, wanted, reason)


@profile.command(name="create")
@click.argument("key", required=False)
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The whole entry as YAML, in the words of catalog.yaml, instead of the options below.",
)
@click.option("--name", help="As people read it; the KEY follows from it if none is given.")
@click.option(
    "--image", "images", multiple=True, help="Key of an image of the catalog; may be repeated."
)
@click.option("--flavor", "flavors", multiple=True, help="Key of a flavor; may be repeated.")
@click.option("--when-to-use", default="", help="A line below the name.")
@_REASON
@click.pass_obj
def create_profile(
    session: Session,
    key: str | None,
    file: Path | None,
    name: str | None,
    images: tuple[str, ...],
    flavors: tuple[str, ...],
    when_to_use: str,
    reason: str,
) -> None:
    """
    Make a new profile KEY; one that exists is left alone.

    \b
    Examples:
      eugo profile create --name "Torch, ours" --image torch-ours --flavor nb-gpu-h100
      eugo profile create notebook-short --file short.yaml
    """
    told = {"--name": name, "--image": images, "--flavor": flavors}
    if file is not None and any(told.values()):
        message = "Give --file, or --name, --image and --flavor."
        raise click.UsageError(message)
    if file is None and not all(told.values()):
        missing = ", ".join(option for option, value in told.items() if not value)
        message = f"Give {missing}, or --file."
        raise click.UsageError(message)
    key = key or _key_of(name or "")
    if not key:
        message = "Give a KEY: lower-case letters, digits and hyphens."
        raise click.UsageError(message)
    document = (
        read_mapping(file)
        if file is not None
        else {
            "display_name": name,
            "when_to_use": when_to_use or f"With {', '.join(images)}",
            "images": list(images),
            "flavors": list(flavors),
        }
    )
    path = f"/settings/profiles/{part(key)}"
    known = session.client.get("/settings/profiles")
    if key in {each["key"] for each in known["entries"]}:
        message = f"The profile {key} exists: change it with `eugo profile put` or `set`."
        raise click.ClickException(message)
    answer = session.client.put(
        path, {"document": document, "reason": reason, "revision": known["revision"]}
    )
    show_effects(session, answer)


def _key_of(name: str) -> str:
    """Return the key that a name stands for: `Torch, ours` is torch-ours."""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:40].rstrip("-")


@project.command(name="bind")
@click.argument("key")
@click.argument("plan_key", metavar="PLAN")
@_REASON
@click.pass_obj
def bind_plan(session: Session, key: str, plan_key: str, reason: str) -> None:
    """
    Bind the plan PLAN to the project KEY; `none` takes it away.

    \b
    Example:
      eugo project bind vision research --reason "the grant has come"
    """
    _amend(session, "projects", key, {"plan": None if plan_key == "none" else plan_key}, reason)


def _amend(session: Session, section: str, key: str, wanted: dict[str, Any], reason: str) -> None:
    """Change some words of an entry, from what it is now."""
    path = f"/settings/{section}/{part(key)}"
    found = session.client.get(path)
    document = {**found["entry"]["document"], **wanted}
    kept = {name: value for name, value in document.items() if value is not None}
    answer = session.client.put(
        path, {"document": kept, "reason": reason, "revision": found["revision"]}
    )
    show_effects(session, answer)


@click.group()
def catalog() -> None:
    """The settings as a whole."""


@catalog.command()
@click.option(
    "--to",
    "target",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A file; left out: standard output.",
)
@click.pass_obj
def export(session: Session, target: Path | None) -> None:
    """
    Write all settings as they are, such that they can be used as catalog.yaml.

    \b
    Example:
      eugo catalog export --to catalog.yaml
    """
    found = session.client.get("/catalog")
    if target is not None:
        target.write_text(found["yaml"], "utf-8")
        return
    session.show(found, lambda _console: click.echo(found["yaml"], nl=False))


@catalog.command()
@click.pass_obj
def diff(session: Session) -> None:
    """Show where the settings are not what the file says."""
    found = session.client.get("/catalog/diff")

    def tell(console: Console) -> None:
        if not found["drifts"]:
            console.print("The settings are what the file says.")
            return
        rows = [
            [
                f"{each['section']}.{each['key']}",
                each["kind"],
                _short(each["file"]),
                _short(each["now"]),
            ]
            for each in found["drifts"]
        ]
        console.print(table("Not as in the file", ["Entry", "How", "File", "Now"], rows))

    session.show(found, tell)


def _short(document: object) -> str:
    return "" if document is None else as_yaml(document).strip()
