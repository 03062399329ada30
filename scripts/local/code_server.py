"""
code-server, VS Code in the browser, for the workspaces of the demo (`scripts/demo --vscode`).

It wants exactly the Node it was built with (24, its package.json `engines`), and compiles some of
its parts against libraries of the system, which need root to install: what is missing is said
before 620 MB are fetched. A launcher of ours runs it with that Node, whatever is on the PATH.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .npm import Package
from .trouble import Trouble

if TYPE_CHECKING:
    from .environment import Environment
    from .tools import Node

NODE_MAJOR = 24

CODE_SERVER = Package(
    name="code-server",
    title="VS Code (code-server; 620 MB, some minutes)",
    script=Path("node_modules", "code-server", "out", "node", "entry.js"),
    runs_scripts=True,
)

_LIBRARIES = {
    "krb5-gssapi": "libkrb5-dev",
    "libsecret-1": "libsecret-1-dev",
    "xkbfile": "libxkbfile-dev",
    "x11": "libx11-dev",
}
"""What pkg-config calls them, and Debian."""

_COMPILERS = {"g++": "g++", "make": "make", "pkg-config": "pkg-config"}


def folder(share: Path) -> Path:
    """Return the folder of the launcher, for the PATH of a workspace."""
    return share / "code-server-launcher"


def is_installed(share: Path) -> bool:
    """Tell whether some earlier start has installed it."""
    return CODE_SERVER.installed(share).is_file() and _launcher(share).is_file()


def install(sources: Path, environment: Environment, *, node: Node) -> None:
    """
    Install it with *node*, if it is not there.

    Raises:
        Trouble: A library or a compiler is missing, or npm failed.
    """
    if not CODE_SERVER.is_current(sources, environment.share):
        if missing := _missing():
            raise Trouble(
                problem="VS Code cannot be compiled here: "
                f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing.",
                remedy=f"As root: apt-get install {' '.join(missing)}",
            )
        CODE_SERVER.install(sources, environment, node=node)
    launcher = _launcher(environment.share)
    launcher.parent.mkdir(exist_ok=True)
    program = CODE_SERVER.installed(environment.share)
    launcher.write_text(f'#!/bin/sh\nexec "{node.executable}" "{program}" "$@"\n', "utf-8")
    launcher.chmod(0o755)


def _launcher(share: Path) -> Path:
    return folder(share) / "code-server"


def _missing() -> list[str]:
    """Return the Debian packages without which it does not compile."""
    tools = [package for tool, package in _COMPILERS.items() if shutil.which(tool) is None]
    if "pkg-config" in tools:
        return [*tools, *_LIBRARIES.values()]
    known = [
        package
        for library, package in _LIBRARIES.items()
        if subprocess.run(["pkg-config", "--exists", library], check=False).returncode != 0
    ]
    return [*tools, *known]
