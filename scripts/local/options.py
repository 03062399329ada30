"""
The options of `scripts/demo`, read before anything is installed.

So that `--help` and a mistyped option answer at once on a bare machine, this module imports
nothing but the standard library and is used twice: by the bootstrap, and by the demo itself.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

HIGHEST_PORT = 65535


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the user chose."""

    port: int
    """Where people reach the hub, on 127.0.0.1; 0 means any free port."""

    data: Path
    """The folder that holds everything the demo remembers; absolute."""

    kubeconfig: Path | None
    """An existing cluster to use; None means the embedded one."""

    catalog: Path
    """What people can pick, as catalog.yaml says; absolute."""

    hub_address: str
    """The address of this machine under which Pods reach the hub."""

    open_browser: bool
    """Show the hub in the default browser once it is ready."""

    sso: bool
    """Sign people in through an example identity provider."""

    vscode: bool
    """Install VS Code (code-server) for workspaces, if it is not there."""


def parse(arguments: Sequence[str], *, root: Path) -> Options:
    """
    Read *arguments*; exits with a usage line if they make no sense.

    Args:
        arguments: Without the program's name.

        root: The checkout, below which the default data folder lies.
    """
    parser = argparse.ArgumentParser(
        prog="scripts/demo",
        description="Start the hub with an embedded Kubernetes on this machine. "
        "The first start installs into .venv and compiles Kubernetes; later ones take seconds. "
        "Ctrl-C stops everything; people, workspaces and files are kept in the data folder.",
    )
    parser.add_argument(
        "--port", type=_port, default=8000, metavar="N",
        help="where to serve on 127.0.0.1 (default 8000; 0 takes any free port)",
    )  # fmt: skip
    parser.add_argument(
        "--data", type=Path, default=root / ".eugo" / "demo", metavar="DIR",
        help="what the demo remembers (default .eugo/demo in this checkout)",
    )  # fmt: skip
    parser.add_argument(
        "--kubeconfig", type=Path, metavar="FILE",
        help="use this cluster, as its admin, instead of the embedded one",
    )  # fmt: skip
    parser.add_argument(
        "--catalog", type=Path, default=root / "helm-values" / "catalog.yaml", metavar="FILE",
        help="what people can pick (default helm-values/catalog.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--hub-address", default="127.0.0.1", metavar="ADDRESS",
        help="the address at which Pods of that cluster reach this machine (default 127.0.0.1)",
    )  # fmt: skip
    parser.add_argument(
        "--open", action="store_true", dest="open_browser", help="open the hub in a browser"
    )
    parser.add_argument(
        "--sso", action="store_true",
        help="sign in through an example OpenID Connect provider, as organizations do",
    )  # fmt: skip
    parser.add_argument(
        "--vscode", action="store_true",
        help="install VS Code (code-server, 620 MB) for workspaces; later starts find it",
    )  # fmt: skip
    chosen = parser.parse_args(arguments)
    return Options(
        port=chosen.port,
        data=_absolute(chosen.data),
        kubeconfig=_absolute(chosen.kubeconfig) if chosen.kubeconfig else None,
        catalog=_absolute(chosen.catalog),
        hub_address=chosen.hub_address,
        open_browser=chosen.open_browser,
        sso=chosen.sso,
        vscode=chosen.vscode,
    )


def _absolute(path: Path) -> Path:
    """Return *path* as the user's shell sees it, without resolving symbolic links."""
    return Path(os.path.abspath(path.expanduser()))  # noqa: PTH100  # Path.resolve follows links


def _port(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() else -1
    if not 0 <= number <= HIGHEST_PORT:
        message = f"{text!r} is not a port number (0 to {HIGHEST_PORT})"
        raise argparse.ArgumentTypeError(message)
    return number
