"""What each kind of workspace runs, and where people land (F4, F46)."""

import json
import subprocess

import pytest

from eugospawner.manifests import editors
from eugospawner.policy.catalog import Kind, Web
from tests.factories import a_grant, an_image

STREAMLIT = ("streamlit", "run", "app.py", "--server.port={port}")


def a_custom_grant(command: tuple[str, ...] = STREAMLIT, path: str = "/"):
    web = Web(command=command, path=path)
    return a_grant(kind=Kind.CUSTOM, image=an_image("web", kinds=frozenset({Kind.CUSTOM}), web=web))


def test_jupyterlab_is_the_images_own_command():
    assert editors.make_command(a_grant(kind=Kind.JUPYTERLAB), "/home/user") is None


@pytest.mark.parametrize(
    ("declared", "command"),
    [
        (None, ["jupyterhub-singleuser", "--allow-root"]),
        (["start-singleuser.sh"], ["start-singleuser.sh", "--allow-root"]),
    ],
)
def test_jupyterlab_as_root_of_its_pod_is_told_that_it_may(declared, command):
    """F38: unasked it ends at once."""
    assert editors.make_root_command(declared) == command


def test_vs_code_opens_the_home_behind_the_hubs_sign_in():
    command = editors.make_command(a_grant(kind=Kind.VSCODE), "/home/user")
    assert command is not None
    proxy, program = command[: command.index("--")], command[command.index("--") + 1 :]
    assert proxy[0] == "jupyter-standaloneproxy"
    assert "--no-authentication" not in proxy
    assert "code-server" in program
    assert program[-1] == "/home/user"


def test_vs_code_listens_on_a_socket_that_only_its_user_can_reach():
    """Without a password of its own, a port would be open to whoever shares the address."""
    command = editors.make_command(a_grant(kind=Kind.VSCODE), "/home/user")
    assert command is not None
    assert "--unix-socket=True" in command
    assert "--socket={unix_socket}" in command
    assert not any("{port}" in word for word in command)


@pytest.mark.parametrize("before", [None, '{"mine": 1}\n'])
def test_the_assistant_is_off_for_whoever_has_no_settings_yet(before, tmp_path):
    """The command itself, as the proxy fills it in, with a program in the place of code-server."""
    command = editors.make_command(a_grant(kind=Kind.VSCODE), "/home/user")
    assert command is not None
    words = [
        word.format(port=1, unix_socket="/run/x.sock", base_url="/")
        for word in command[command.index("--") + 1 :]
    ]
    program = tmp_path / "bin" / "code-server"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o755)
    settings = tmp_path / ".local" / "share" / "code-server" / "User" / "settings.json"
    if before is not None:
        settings.parent.mkdir(parents=True)
        settings.write_text(before)
    done = subprocess.run(
        words,
        env={"PATH": f"{program.parent}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "--socket=/run/x.sock" in done.stdout
    if before is not None:
        assert settings.read_text() == before
    else:
        assert json.loads(settings.read_text()) == {
            "chat.disableAIFeatures": True,
            "workbench.secondarySideBar.defaultVisibility": "hidden",
        }


@pytest.mark.parametrize("kind", [Kind.VSCODE, Kind.CUSTOM])
def test_an_open_tab_is_no_activity(kind):
    """jupyter-server-proxy 4.6 reports activity by the clock, whether anybody is there or not."""
    grant = a_custom_grant() if kind is Kind.CUSTOM else a_grant(kind=kind)
    command = editors.make_command(grant, "/home/user")
    assert command is not None
    assert "--activity-interval=0" in command


def test_a_custom_image_runs_its_web_program_word_for_word():
    command = editors.make_command(a_custom_grant(), "/home/user")
    assert command is not None
    assert tuple(command[command.index("--") + 1 :]) == STREAMLIT
    assert "--unix-socket=True" not in command


def test_a_web_program_may_listen_on_a_socket():
    command = editors.make_command(a_custom_grant(("app", "{unix_socket}")), "/home/user")
    assert command is not None
    assert "--unix-socket=True" in command


def test_people_land_where_the_web_program_wants_to_be_seen():
    assert editors.landing_path(a_custom_grant(path="/app/")) == "/app/"
    assert editors.landing_path(a_grant(kind=Kind.VSCODE)) == ""
    assert editors.landing_path(a_grant(kind=Kind.JUPYTERLAB)) == ""
