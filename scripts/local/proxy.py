"""
Install configurable-http-proxy, the hub's front door, at the versions of its lock file.

The chart runs the same proxy from its own image, so nothing else would do for a demo that wants
to be the product. It goes into `.venv` (`share/eugo/proxy`), never to a global prefix. npm works in
a folder beside it and the result is renamed into place, so that an interrupted download leaves
no half-installed proxy, and the lock file in it is the stamp.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import download, say

if TYPE_CHECKING:
    from .environment import Environment
    from .tools import Node

SCRIPT = Path("node_modules", "configurable-http-proxy", "bin", "configurable-http-proxy")


def script(share: Path) -> Path:
    """Return the proxy's entry point below *share*."""
    return share / "proxy" / SCRIPT


def install(sources: Path, environment: Environment, *, node: Node) -> None:
    """
    Install the proxy of *sources* (package.json and lock file), if it is not there.

    Raises:
        Trouble: npm reached no registry, or failed, or nothing can be written.
    """
    if is_current(sources, environment.share):
        return
    with environment.alone():
        if not is_current(sources, environment.share):
            say("Installing the proxy (configurable-http-proxy) …")
            environment.share.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix="proxy-", dir=environment.share) as scratch:
                built = _build(sources, Path(scratch, "proxy"), node=node)
                target = environment.share / "proxy"
                shutil.rmtree(target, ignore_errors=True)
                built.rename(target)


def _build(sources: Path, folder: Path, *, node: Node) -> Path:
    """Let npm install the lock file of *sources* into the new *folder*."""
    folder.mkdir()
    for name in ("package.json", "package-lock.json"):
        shutil.copyfile(sources / name, folder / name)
    quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
    command = [*node.npm, "ci", "--omit=dev", "--ignore-scripts", *quiet]
    download(command, _settings(node), folder=folder)
    return folder


def is_current(sources: Path, share: Path) -> bool:
    """Tell whether the proxy below *share* is the one that the lock file of *sources* names."""
    lock = "package-lock.json"
    try:
        same = (share / "proxy" / lock).read_bytes() == (sources / lock).read_bytes()
    except OSError:
        return False
    return same and script(share).is_file()


def _settings(node: Node) -> dict[str, str]:
    """Return the environment of npm, in which `node` is the one that was found."""
    path = f"{node.executable.parent}:{os.environ.get('PATH', '')}"
    return os.environ | {"PATH": path}
