"""
Install an npm package at the versions of its lock file, into `.venv` (`share/eugo/NAME`).

Never to a global prefix. npm works in a folder beside it and the result is renamed into place, so
that an interrupted download leaves nothing half-installed, and the lock file in it is the stamp.
"""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import download, say

if TYPE_CHECKING:
    from .environment import Environment
    from .tools import Node

_LOCK = "package-lock.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """Something that npm installs."""

    name: str
    """The folder it gets below the environment's share."""

    title: str
    """What people read while it is being installed."""

    script: Path
    """Its entry point, from that folder."""

    runs_scripts: bool = False
    """Whether its packages may run programs of their own while they are installed: compilers."""

    def installed(self, share: Path) -> Path:
        """Return where the entry point lies below *share*, or would."""
        return share / self.name / self.script

    def is_current(self, sources: Path, share: Path) -> bool:
        """Tell whether what lies below *share* is what the lock file of *sources* names."""
        try:
            same = (share / self.name / _LOCK).read_bytes() == (sources / _LOCK).read_bytes()
        except OSError:
            return False
        return same and self.installed(share).is_file()

    def install(self, sources: Path, environment: Environment, *, node: Node) -> None:
        """
        Install the lock file of *sources*, if that has not been done.

        Raises:
            Trouble: npm reached no registry, or failed, or nothing can be written.
        """
        share = environment.share
        if self.is_current(sources, share):
            return
        with environment.alone():
            if not self.is_current(sources, share):
                say(f"Installing {self.title} …")
                share.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(prefix=f"{self.name}-", dir=share) as scratch:
                    built = self._build(sources, Path(scratch, self.name), node=node)
                    target = share / self.name
                    shutil.rmtree(target, ignore_errors=True)
                    built.rename(target)

    def _build(self, sources: Path, folder: Path, *, node: Node) -> Path:
        """Let npm install the lock file of *sources* into the new *folder*."""
        folder.mkdir()
        for name in ("package.json", _LOCK):
            shutil.copyfile(sources / name, folder / name)
        quiet = ["--no-audit", "--no-fund", "--no-update-notifier", "--loglevel=error"]
        scripts = [] if self.runs_scripts else ["--ignore-scripts"]
        command = [*node.npm, "ci", "--omit=dev", *scripts, *quiet]
        with tempfile.TemporaryDirectory(prefix="eugo-node-") as tools:
            _link(node, Path(tools))
            path = f"{tools}:{os.environ.get('PATH', '')}"
            download(command, os.environ | {"PATH": path}, folder=folder)
        return folder


def _link(node: Node, folder: Path) -> None:
    """Make *node* the `node` and `npm` of *folder*: packages' own scripts call them by name."""
    (folder / "node").symlink_to(node.executable)
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\nexec {shlex.join(node.npm)} "$@"\n', "utf-8")
    npm.chmod(0o755)
