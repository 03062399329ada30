"""``eugo export``: files of a workspace, taken away whether it runs or not."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.client import part
from hub_services.cli.output import Session, safe, table
from hub_services.cli.workspaces import place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.console import Console

    from hub_services.cli.client import Client

_COLUMNS: Final = ["Export", "Workspace", "What", "Standing", "Files", "Size", "Until"]
#: Between looks whether an export is ready.
_LOOK_SECONDS = 1.0
_CHUNK: Final = 1 << 18


def _client(session: Session) -> Client:
    return session.client.of("export")


@click.group()
def export() -> None:
    """Exports: take files of a workspace away; a stopped one is not started for it."""


@export.command()
@click.argument("workspace")
@click.option(
    "--folder",
    default="",
    help="As the workspace sees it, or from the home; left out: all volumes.",
)
@click.option("--everything", is_flag=True, help="All files; else notebooks alone.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["zip", "html", "pdf"]),
    default="zip",
    show_default=True,
    help="html and pdf: the one notebook that --folder names, as a document.",
)
@click.option(
    "--to",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Download it to this file or folder; - for standard output.",
)
@click.pass_obj
def create(
    session: Session,
    /,
    workspace: str,
    folder: str,
    everything: bool,  # noqa: FBT001
    form: str,
    to: Path | None,
) -> None:
    """
    Have files of WORKSPACE prepared, and print the link, which is good for an hour and for you alone.

    \b
    Examples:
      eugo export create thesis
      eugo export create thesis --folder /data/run-3 --everything --to .
      eugo export create thesis --folder results.ipynb --format pdf --to results.pdf
    """
    owner, server = place_of(session.client.of("workspaces"), workspace)
    client = _client(session)
    words = {
        "owner": owner, "server": server, "folder": folder, "everything": everything,
        "format": form,
    }  # fmt: skip
    made = _when_ready(client, client.post("/exports", words))
    if made["standing"] != "ready":
        raise click.ClickException(made["problem"] or f"The export is {made['word'].lower()}.")
    if to is None:
        session.show(made, lambda console: _show(console, client, made))
        return
    where = _download(client, made, to)
    if where is not None:
        session.show({**made, "path": str(where)}, lambda console: console.print(safe(str(where))))


def _when_ready(client: Client, made: Any) -> Any:
    """Return the export once it is no longer being prepared."""
    with click.progressbar(length=0, label="Reading the volume", file=sys.stderr) as bar:
        while made["standing"] == "preparing":
            time.sleep(_LOOK_SECONDS)
            made = client.get(f"/exports/{part(made['id'])}")
            bar.label = f"Reading the volume, {made['counted'] or made['files']} files"
            bar.update(0)
    return made


def _download(client: Client, made: Any, to: Path) -> Path | None:
    """Write the archive to *to*, whole or not at all; return where it is, `None`: on standard output."""
    if str(to) == "-":
        for chunk in client.fetch(made["link"]):
            click.echo(chunk, nl=False)
        return None
    path = to / made["name"] if to.is_dir() else to
    begun = path.with_name(f"{path.name}.part")
    try:
        with begun.open("wb") as file:
            for chunk in _watched(client.fetch(made["link"]), made["bytes"]):
                file.write(chunk)
        begun.replace(path)
    except OSError as error:
        message = f"{path} cannot be written: {error.strerror}."
        raise click.ClickException(message) from error
    finally:
        begun.unlink(missing_ok=True)
    return path


def _watched(chunks: Iterator[bytes], size: int, label: str = "Downloading") -> Iterator[bytes]:
    with click.progressbar(length=size, label=label, file=sys.stderr) as bar:
        for chunk in chunks:
            yield chunk
            bar.update(len(chunk))


@export.command(name="list")
@click.pass_obj
def list_exports(session: Session, /) -> None:
    """List what you took, newest first."""
    found = _client(session).get("/exports")
    rows = [_row(each) for each in found["exports"]]
    session.show(found, lambda console: console.print(table("Exports", _COLUMNS, rows)))


@export.command()
@click.argument("identifier", metavar="EXPORT")
@click.pass_obj
def show(session: Session, /, identifier: str) -> None:
    """Show an export with its link and what is left out."""
    client = _client(session)
    found = client.get(f"/exports/{part(identifier)}")
    session.show(found, lambda console: _show(console, client, found))


@export.command()
@click.argument("identifier", metavar="EXPORT")
@click.pass_obj
def revoke(session: Session, /, identifier: str) -> None:
    """
    Take an export back: its link is good for nothing from now on.

    \b
    Example:
      eugo export revoke 92c979965dc74bd3a77ff3b7ed6be774
    """
    found = _client(session).delete(f"/exports/{part(identifier)}", {})
    session.show(found, lambda console: console.print(safe(f"{found['word']}.")))


@export.command()
@click.argument("archive", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.argument("workspace")
@click.option(
    "--folder",
    default="",
    help="A new folder as the workspace sees it, or from the home; left out: named after the time.",
)
@click.pass_obj
def restore(session: Session, /, archive: Path, workspace: str, folder: str) -> None:
    """
    Unpack the ZIP ARCHIVE into a new folder of WORKSPACE, whether it runs or not; nothing is replaced.

    \b
    Examples:
      eugo export restore thesis.zip thesis
      eugo export restore thesis.zip thesis --folder /data/back
    """
    owner, server = place_of(session.client.of("workspaces"), workspace)
    words = {"owner": owner, "server": server, "folder": folder}
    try:
        with archive.open("rb") as file:
            parts = _watched(
                iter(lambda: file.read(_CHUNK), b""), archive.stat().st_size, "Sending"
            )
            done = _client(session).send("/restores", parts, "application/zip", words)
    except OSError as error:
        message = f"{archive} cannot be read: {error.strerror}."
        raise click.ClickException(message) from error
    session.show(done, lambda console: _show_restored(console, done))


def _show_restored(console: Console, done: Any) -> None:
    number = f"{done['files']} {'file' if done['files'] == 1 else 'files'}"
    console.print(safe(f"{number}, {done['size']}, in {done['folder']}."))
    for each in done["differing"]:
        console.print(safe(f"Not what SHA256SUMS says: {each}"))
    if done["left_out"]:
        rows = [[each["path"], each["sentence"]] for each in done["left"]]
        console.print(table(f"Left out, {done['left_out']}", ["Entry", "Why"], rows))


def _row(each: Any) -> list[object]:
    return [
        each["id"], each["workspace"], each["what"], each["word"], each["files"], each["size"],
        each["expires_at"] or "",
    ]  # fmt: skip


def _show(console: Console, client: Client, found: Any) -> None:
    console.print(table("Export", _COLUMNS, [_row(found)]))
    for each in found["skipped"]:
        console.print(safe(f"Left out, {each['count']}: {each['sentence']}"))
    if found["problem"]:
        console.print(safe(found["problem"]))
    if found["link"]:
        console.print(safe(f"{client.url.rstrip('/')}{found['link']}"), soft_wrap=True)
