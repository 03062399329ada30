"""``eugo workspace``: workspaces, how they stand, and what is done to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import click

from hub_services.cli.client import part
from hub_services.cli.output import Session, safe, table

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import Console

    from hub_services.cli.client import Client

#: The default server in addresses.
_DEFAULT: Final = "_"
_COLUMNS: Final = [
    "Workspace", "Owner", "State", "Since", "Why", "Project", "Queue", "GPUs", "Ends",
]  # fmt: skip


def _client(session: Session) -> Client:
    return session.client.of("workspaces")


def _path(client: Client, named: str) -> str:
    """Return the path of the workspace that is *named*; as of `place_of`."""
    owner, server = place_of(client, named)
    return f"/workspaces/{part(owner)}/{part(server)}"


def place_of(client: Client, named: str) -> tuple[str, str]:
    """
    Return owner and server of the workspace that is *named*: OWNER/SERVER, SERVER of one's own, or its name.

    Args:
        client: Of the workspaces service.

    Raises:
        ClickException: None of one's own is called so.
    """
    owner, slash, server = named.partition("/")
    if slash:
        return owner, server or _DEFAULT
    for each in client.get("/workspaces")["workspaces"]:
        if named in {each["server"], each["name"]}:
            return each["owner"], each["server"]
    message = f"You have no workspace {named!r}: write OWNER/SERVER for somebody else's."
    raise click.ClickException(message)


@click.group()
def workspace() -> None:
    """Workspaces: how they stand, and what is done to them. Name yours, or give OWNER/SERVER."""


@workspace.command(name="list")
@click.option("--state", help="running, stopped, …; or what another product calls it: deployed.")
@click.option("--owner", help="Whose; '*' for everybody's that you may see.")
@click.option("--project", help="Key of a project.")
@click.option("--profile", help="Key of a profile.")
@click.option("--text", help="What its name, owner or server contains.")
@click.pass_obj
def list_workspaces(session: Session, /, **wanted: str | None) -> None:
    """
    List workspaces.

    \b
    Examples:
      eugo workspace list
      eugo workspace list --owner '*' --state running
    """
    found = _client(session).get("/workspaces", wanted)
    rows = [_row(each) for each in found["workspaces"]]
    session.show(found, lambda console: console.print(table("Workspaces", _COLUMNS, rows)))


def _row(each: Any) -> list[object]:
    gpus = each["gpus"]
    held = f"{gpus['granted'] or gpus['requested']} × {gpus['model']}" if gpus else ""
    deadline = each["deadline"]
    return [
        f"{each['name']} ({each['server']})",
        each["owner"],
        f"{each['icon']} {each['word']}",
        each["since"] or "",
        (each["said"] or each["why"]) if each["state"] != "running" else "",
        each["project_name"],
        each["queue"],
        held,
        f"{deadline['at']} ({deadline['reason']})" if deadline else "",
    ]


@workspace.command()
@click.argument("name")
@click.pass_obj
def show(session: Session, name: str) -> None:
    """Show a workspace with its notices, and what can be done."""
    client = _client(session)
    found = client.get(_path(client, name))
    session.show(found, lambda console: _show(console, found))


def _show(console: Console, found: Any) -> None:
    console.print(table("Workspace", _COLUMNS, [_row(found)]))
    for notice in found["notices"]:
        console.print(safe(f"{notice['title']} at {notice['at']}. {notice['sentence']}"))
    if found["note"]:
        console.print(safe(found["note"]))
    can = [each["key"] for each in found["acts"] if not each["denied"]]
    can += [act["key"] for each in found["notices"] for act in each["acts"] if not act["denied"]]
    console.print(safe(f"Can be done: {', '.join(dict.fromkeys(can)) or 'nothing'}"))


def _words(pairs: tuple[str, ...]) -> dict[str, Any]:
    """
    Return the words of a request that WORD=VALUE *pairs* say; JSON values are taken as such.

    Raises:
        UsageError: One has no value.
    """
    found: dict[str, Any] = {}
    for pair in pairs:
        word, equals, value = pair.partition("=")
        if not equals:
            message = f"{pair}: write WORD=VALUE, for example gpu_model=H100."
            raise click.UsageError(message)
        try:
            found[word] = json.loads(value)
        except ValueError:
            found[word] = value
    return found


_WORDS: Final = click.argument("words", nargs=-1, metavar="[WORD=VALUE]…")


@workspace.command()
@_WORDS
@click.option("--server", help="Its server; left out: made of its name.")
@click.option("--start", is_flag=True, help="Start it, too.")
@click.pass_obj
def create(session: Session, words: tuple[str, ...], server: str | None, start: bool) -> None:  # noqa: FBT001
    """
    Create a workspace, in the words of the launch form.

    \b
    Examples:
      eugo workspace create name=Thesis profile=notebook-cpu-small
      eugo workspace create name=Train profile=nb-gpu-h100 sm_percent=25 --start
    """
    body = {"options": _words(words)} | ({"server": server} if server else {})
    answer = _client(session).post("/ide" if start else "/workspaces", body)
    found = answer["workspace"] if start else answer
    session.show(answer, lambda console: _show(console, found))


@workspace.command()
@click.argument("name")
@_WORDS
@click.pass_obj
def edit(session: Session, name: str, words: tuple[str, ...]) -> None:
    """
    Change what a workspace is started with; not while it runs.

    Words that are not given stay as they are.

    \b
    Example:
      eugo workspace edit Thesis flavor=mem-4x32
    """
    client = _client(session)
    path = _path(client, name)
    kept = client.get(path)["options"] | _words(words)
    answer = client.put(f"{path}/options", {"options": kept})
    session.show(answer, lambda console: _show(console, answer))


def _act(key: str, about: str) -> click.Command:
    """Return a command that does *key* to a workspace, and shows how it stands then."""

    @click.command(name=key, help=f"{about}\n\n\b\nExample:\n  eugo workspace {key} Thesis")
    @click.argument("name")
    @click.pass_obj
    def act(session: Session, name: str) -> None:
        client = _client(session)
        answer = client.post(f"{_path(client, name)}/{key}", {})
        found = answer.get("workspace", answer)
        session.show(answer, lambda console: _show(console, found))

    return act


for _key, _about in (
    ("start", "Start a workspace with what it was last started with."),
    ("stop", "Stop a workspace, or give a start up; files are kept."),
    ("keep", "Have a running workspace go on though it is idle."),
    (
        "extend",
        "Give a running workspace more time, as far as profile, quota and window leave some.",
    ),
    ("reset", "Have a workspace whose start failed be a stopped one."),
    ("resume", "Lift a suspension."),
):
    workspace.add_command(_act(_key, _about))


@workspace.command(name="switch-queue")
@click.argument("name")
@click.option("--queue", default="default", show_default=True, help="Key of a queue.")
@click.pass_obj
def switch_queue(session: Session, name: str, queue: str) -> None:
    """
    Move a workspace to another queue: at once if it runs, else from the next start on.

    \b
    Example:
      eugo workspace switch-queue Train
    """
    client = _client(session)
    answer = client.post(f"{_path(client, name)}/switch-queue", {"queue": queue})
    session.show(answer, lambda console: _show(console, answer))


@workspace.command()
@click.argument("name")
@click.option("--reason", required=True, help="Its owner reads it.")
@click.pass_obj
def suspend(session: Session, name: str, reason: str) -> None:
    """
    Have a workspace end and not start again until it is resumed; data is kept.

    \b
    Example:
      eugo workspace suspend bob/training --reason "The payment is overdue"
    """
    client = _client(session)
    answer = client.post(f"{_path(client, name)}/suspend", {"reason": reason})
    session.show(answer, lambda console: _show(console, answer))


@workspace.command()
@click.argument("name")
@click.pass_obj
def delete(session: Session, name: str) -> None:
    """
    Take a workspace off the list; what runs is stopped, and its data stays.

    \b
    Example:
      eugo workspace delete Thesis
    """
    client = _client(session)
    answer = client.delete(_path(client, name), {})
    session.show(answer, lambda console: console.print("Deleted. Its files are kept."))


@workspace.command()
@click.argument("name")
@click.option("--confirm", help="DELETE; left out: you are asked.")
@click.pass_obj
def terminate(session: Session, name: str, confirm: str | None) -> None:
    """
    Destroy a workspace with everything that belongs to it alone.

    This action is irreversible. What is destroyed and what is kept is said before you are asked.

    \b
    Example:
      eugo workspace terminate Thesis
    """
    client = _client(session)
    path = _path(client, name)
    plan = client.get(f"{path}/termination")
    if confirm is None:
        click.echo(f"Destroyed: {', '.join(plan['destroyed'])}.", err=True)
        click.echo(f"Kept: {', '.join(plan['kept']) or 'nothing'}.", err=True)
        confirm = click.prompt("Type DELETE to go on", err=True)
    answer = client.post(f"{path}/terminate", {"confirmation": confirm})
    session.show(answer, lambda console: _show(console, answer))


@workspace.command()
@click.argument("name")
@click.option("--log", "session_id", metavar="SESSION", help="Show what was seen of this start.")
@click.pass_obj
def deployments(session: Session, name: str, session_id: str | None) -> None:
    """
    List the starts of a workspace, the last first; or show the log of one.

    \b
    Examples:
      eugo workspace deployments Thesis
      eugo workspace deployments Thesis --log 0123abcd
    """
    client = _client(session)
    path = f"{_path(client, name)}/deployments"
    if session_id is not None:
        log = client.get(f"{path}/{part(session_id)}")
        rows: list[list[object]] = [[each["at"], each["sentence"]] for each in log["lines"]]
        session.show(
            log, lambda console: console.print(table("Log", ["Time", "What was seen"], rows))
        )
        return
    found = client.get(path)
    columns = ["Session", "When", "What", "Status", "Took", "Version", "Plan", "Ended", "By"]
    rows = [
        [
            each["session"], each["at"], each["kind"], each["problem"] or each["status"],
            "" if each["seconds"] is None else f"{each['seconds']:.1f} s", each["version"],
            each["plan"], each["end_words"], each["stopped_by"],
        ]
        for each in found["deployments"]
    ]  # fmt: skip
    session.show(found, lambda console: console.print(table("Deployments", columns, rows)))


@workspace.command()
@click.argument("name")
@click.pass_obj
def activity(session: Session, name: str) -> None:
    """
    Show who did what to a workspace, looks into it included; the last first.

    \b
    Example:
      eugo workspace activity Thesis
    """
    client = _client(session)
    found = client.get(f"{_path(client, name)}/activity")
    session.show(found, _lines(found))


def _lines(found: Any) -> Callable[[Console], None]:
    rows = [
        [each["at"], each["actor"], each["action"], each["object"], each["reason"]]
        for each in found["lines"]
    ]
    columns = ["Time", "Who", "What", "To what", "Why"]
    return lambda console: console.print(table("Activity", columns, rows))
