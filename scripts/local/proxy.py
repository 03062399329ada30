"""
Install configurable-http-proxy, the hub's front door, at the versions of its lock file.

The chart runs the same proxy from its own image, so nothing else would do for a demo that wants
to be the product. It goes into `.venv` (`share/eugo/proxy`), never to a global prefix. npm works in
a folder beside it and the result is renamed into place, so that an interrupted download leaves
no half-installed proxy; the lock file is copied last and thereby serves as the stamp.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import OTHERS_MAY_READ, download, say

if TYPE_CHECKING:
    from .tools import Node

SCRIPT = Path("node_modules", "configurable-http-proxy", "bin", "configurable-http-proxy")


def script(share: Path) -> Path:
    """Return the proxy's entry point below *share*."""
    return share / "proxy" / SCRIPT


def install(sources: Path, share: Path, *, node: Node) -> None:
    """
    Install the proxy of *sources* (package.json and lock file) below *share*, if it is not there.

    Raises:
        Trouble: npm reached no registry, or failed.
    """
    target = share / "proxy"
    if _is_current(sources, target):
        return
    say("Installing the proxy (configurable-http-proxy) …")
    share.mkdir(parents=True, exist_ok=True)
    before = os.umask(OTHERS_MAY_READ)
    try:
        with tempfile.TemporaryDirectory(prefix="proxy-", dir=share) as scratch:
            built = Path(scratch, "proxy")
            built.mkdir()
            for name in ("package.json", "package-lock.json"):
                shutil.copyfile(sources / name, built / name)
            quiet = [
                "--no-audit",
                "--no-fund",
                "--ignore-scripts",
                "--loglevel=error",
                "--no-update-notifier",
            ]
            download([*node.npm, "ci", "--omit=dev", *quiet], _settings(node), folder=built)
            shutil.rmtree(target, ignore_errors=True)
            built.rename(target)
    finally:
        os.umask(before)


def _is_current(sources: Path, target: Path) -> bool:
    try:
        same = (target / "package-lock.json").read_bytes() == (
            sources / "package-lock.json"
        ).read_bytes()
    except OSError:
        return False
    return same and (target / SCRIPT).is_file()


def _settings(node: Node) -> dict[str, str]:
    """Return the environment of npm, in which `node` is the one that was found."""
    path = f"{node.executable.parent}:{os.environ.get('PATH', '')}"
    return os.environ | {"PATH": path}
