"""
Editors: what a workspace's container runs, and where people land in it.

JupyterLab is the image's own command, as for every JupyterHub. Other programs know nothing of a
hub, so `jupyter-standaloneproxy` (jupyter-server-proxy) runs in their place, asks the hub who is
there, and hands requests on to the program, which listens where nobody but the workspace's own
user reaches it. Source: design §5; facts on JupyterHub, §5; F4, F8, F46.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, assert_never

from eugospawner.policy.catalog import Kind

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eugospawner.policy.decisions import Grant

#: A first start of VS Code unpacks and compiles; the proxy's own 5 s would be too short.
_START_SECONDS: Final = 60
#: VS Code sends whole files and notebooks as one message.
_MESSAGE_BYTES: Final = 100 * 2**20
#: Settings of somebody who has none yet. VS Code's assistant sends what people work on to a
#: service outside and is for them to switch on; the side bar for it would stand open and empty.
#: Braces are doubled for the proxy, which fills words in.
_FIRST_SETTINGS: Final = """\
settings="${{XDG_DATA_HOME:-$HOME/.local/share}}/code-server/User/settings.json"
if [ ! -e "$settings" ]; then
  mkdir -p "${{settings%/*}}" && cat > "$settings" <<'END'
{{
  "chat.disableAIFeatures": true,
  "workbench.secondarySideBar.defaultVisibility": "hidden"
}}
END
fi
exec code-server "$@"
"""
#: What every image of JupyterHub has.
_JUPYTERLAB: Final = ("jupyterhub-singleuser",)
#: By a socket and not by a port: where Pods share addresses, nobody else may connect to it.
_CODE_SERVER: Final = (
    *("sh", "-c", _FIRST_SETTINGS, "code-server"),
    "--auth=none",
    "--socket={unix_socket}",
    "--disable-telemetry",
    "--disable-update-check",
    "--disable-workspace-trust",
    "--disable-getting-started-override",
)


def make_command(grant: Grant, home_path: str) -> list[str] | None:
    """Return what the notebook container runs; `None`: the image's own command."""
    match grant.kind:
        case Kind.JUPYTERLAB:
            return None
        case Kind.VSCODE:
            return _proxied((*_CODE_SERVER, home_path))
        case Kind.CUSTOM:
            web = grant.image.web
            return None if web is None else _proxied(web.command)
        case _:
            assert_never(grant.kind)


def make_root_command(declared: Sequence[str] | None) -> list[str]:
    """
    Return what a JupyterLab runs as root of its Pod, which it would refuse unasked (F38).

    Args:
        declared: The command of the configuration, if it has one; only then could it be told anything
            beside: an image's own command is not known here.
    """
    return [*(declared or _JUPYTERLAB), "--allow-root"]


def landing_path(grant: Grant) -> str:
    """Return where people land, below the workspace's address; empty: as the program says."""
    if grant.kind is Kind.CUSTOM and grant.image.web is not None:
        return grant.image.web.path
    return ""


def _proxied(command: Sequence[str]) -> list[str]:
    """Return *command* behind the hub's sign-in; a tab that is merely open is no activity."""
    socket = any("{unix_socket}" in word for word in command)
    return [
        "jupyter-standaloneproxy",
        f"--timeout={_START_SECONDS}",
        f"--websocket-max-message-size={_MESSAGE_BYTES}",
        "--activity-interval=0",
        *(["--unix-socket=True"] if socket else []),
        "--",
        *command,
    ]
