"""
Find a Chromium for the browser tests, or get one where the machine leaves that to us.

A CI machine is root on Debian: there the package is installed, and said to be. Nobody else's
machine is changed: the tests that need a browser are then skipped, by name, with the command
that enables them. Candidates are run once, because Ubuntu's `chromium-browser` without snap is a
script that only explains itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .environment import say
from .tools import ANSWER_SECONDS

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMES = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")

INSTALL = "apt-get install -y --no-install-recommends chromium"


def find() -> Path | None:
    """Return a Chromium or Chrome that runs: on the PATH, or one that Playwright keeps."""
    return next((candidate for candidate in _candidates() if _runs(candidate)), None)


def find_or_install() -> Path | None:
    """Return a Chromium; on a Debian where we are root it is installed if there is none."""
    found = find()
    if found is not None or not _may_install():
        return found
    say(f"No Chromium for the browser tests; installing it: {INSTALL} …")
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    for command in ("apt-get update -q", f"{INSTALL} -q"):
        if subprocess.run(command.split(), env=quiet, check=False).returncode != 0:
            return None
    return find()


def remedy(release: str) -> str:
    """Return the command that gets a Chromium on the machine with this os-release file."""
    if _is_debian(release):
        return INSTALL
    return ".venv/bin/playwright install --with-deps chromium"


def os_release() -> str:
    """Return the words of /etc/os-release, "" if there is none."""
    try:
        return Path("/etc/os-release").read_text("utf-8")
    except OSError:
        return ""


def _candidates() -> Iterator[Path]:
    for name in _NAMES:
        found = shutil.which(name)
        if found is not None:
            yield Path(found)
    kept = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or "~/.cache/ms-playwright"
    yield from Path(kept).expanduser().glob("chromium-*/chrome-linux*/chrome")


def _runs(executable: Path) -> bool:
    try:
        answer = subprocess.run(
            [executable, "--version"], capture_output=True, timeout=ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.returncode == 0 and b"Chrom" in answer.stdout


def _may_install() -> bool:
    may_write = os.geteuid() == 0 and shutil.which("apt-get") is not None
    return may_write and _is_debian(os_release())


def _is_debian(release: str) -> bool:
    return "ID=debian" in release.splitlines()
