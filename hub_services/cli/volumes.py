"""``eugo volume``: how large and how full volumes are, and another size."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.client import part
from hub_services.cli.output import Session, safe, table

if TYPE_CHECKING:
    from rich.console import Console

    from hub_services.cli.client import Client

_COLUMNS: Final = ["Owner", "Volume", "Size", "Used", "How full", "Mounted by"]
#: Between looks whether a volume was measured.
_LOOK_SECONDS = 1.0


def _client(session: Session) -> Client:
    return session.client.of("export")


def _path(volume: str) -> str:
    owner, _, key = volume.rpartition("/")
    return f"/volumes/{part(owner or '~')}/{part(key)}"


@click.group()
def volume() -> None:
    """Volumes: homes, and extra ones. Name one as `home`, `data`, `OWNER/data` or, of a project, `data@vision`."""


@volume.command(name="list")
@click.option("--owner", help="Of this person; left out: your own.")
@click.option("--all", "everybody", is_flag=True, help="Of all whose usage you may see.")
@click.pass_obj
def list_volumes(session: Session, /, owner: str | None, everybody: bool) -> None:  # noqa: FBT001
    """
    List volumes, how large and how full they are.

    \b
    Examples:
      eugo volume list
      eugo volume list --owner jane@example.org
      eugo volume list --all
    """
    query = {"owner": owner} if owner else {}
    query |= {"everybody": "true"} if everybody else {}
    found = _client(session).get("/volumes", query)
    session.show(found, lambda console: _show_list(console, found))


@volume.command()
@click.argument("volume")
@click.pass_obj
def show(session: Session, /, volume: str) -> None:
    """
    Show one volume; of your own, what takes the room and what could go.

    \b
    Example:
      eugo volume show home
    """
    client = _client(session)
    found = client.get(_path(volume))
    session.show(found, lambda console: _show(console, found))


@volume.command()
@click.argument("volume")
@click.pass_obj
def measure(session: Session, /, volume: str) -> None:
    """
    Measure a volume now, and show it.

    \b
    Example:
      eugo volume measure home
    """
    client = _client(session)
    path = _path(volume)
    found = client.post(f"{path}/measure", None)
    with click.progressbar(length=0, label="Measuring", file=sys.stderr):
        while found["measuring"]:
            time.sleep(_LOOK_SECONDS)
            found = client.get(path)
    if found["problem"]:
        message = f"It could not be measured: {found['problem']}"
        raise click.ClickException(message)
    session.show(found, lambda console: _show(console, found))


@volume.command()
@click.argument("volume")
@click.option("--size", default="", help="200Gi; left out: what a person's new volume has.")
@click.pass_obj
def create(session: Session, /, volume: str, size: str) -> None:
    """
    Make VOLUME for a project, whose members mount it by that name; people make theirs at a start.

    \b
    Example:
      eugo volume create datasets@vision --size 200Gi
    """
    key, at, project = volume.partition("@")
    if not at:
        message = "name it with its project: datasets@vision"
        raise click.BadParameter(message, param_hint="VOLUME")
    words = {"project": project, "key": key, "size": size}
    found = _client(session).post("/volumes", words)
    session.show(found, lambda console: _show_list(console, {"volumes": [found], "room": []}))


@volume.command()
@click.argument("volume")
@click.argument("size")
@click.pass_obj
def resize(session: Session, /, volume: str, size: str) -> None:
    """
    Make VOLUME larger, as far as plan and quotas leave room; none becomes smaller.

    \b
    Examples:
      eugo volume resize jane@example.org/home 50Gi
      eugo volume resize jane@example.org/data 200Gi
    """
    client = _client(session)
    found = client.put(f"{_path(volume)}/size", {"size": size})
    session.show(found, lambda console: _show_list(console, {"volumes": [found], "room": []}))


def _row(each: Any) -> list[object]:
    size = f"{each['size']}, becomes {each['wanted']}" if each["wanted"] else each["size"]
    mounts = ", ".join(f"{one['workspace']} at {one['path']}" for one in each["mounted_by"])
    return [each["owner"], each["volume"], size, each["used"], each["word"], mounts]


def _show_list(console: Console, found: Any) -> None:
    console.print(table("Volumes", _COLUMNS, [_row(each) for each in found["volumes"]]))
    for each in found["room"]:
        console.print(safe(f"{each['limit']}: {each['used']}, {each['share'].lower()}"))


def _show(console: Console, found: Any) -> None:
    console.print(table("Volume", _COLUMNS, [_row(found)]))
    if found["problem"]:
        console.print(safe(f"It could not be measured: {found['problem']}"))
    if found["culprits"]:
        rows = [[each["path"], each["size"], each["advice"]] for each in found["culprits"]]
        console.print(table("What could go", ["Folder", "Size", "What it is"], rows))
    if found["folders"]:
        rows = [[each["path"], each["size"]] for each in found["folders"]]
        console.print(table("What takes the room", ["Folder or file", "Size"], rows))
