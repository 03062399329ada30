"""
Run a command as a plain user of this machine, for a test that itself runs as root.

    unshare --mount --propagation=private -- python plain_user.py SPECIFICATION COMMAND…

The user has an id and a home and nothing else: no groups, no capabilities, no range in /etc/subuid.
What the command needs may lie below a folder that is closed to others (an interpreter below
root's home): in this mount namespace, which only the command shares, the closed folder is covered
by an empty one that holds the needed folders at their own paths. Nothing of the machine changes.

SPECIFICATION is JSON: `{"id": 12345, "home": "/…", "needs": ["/…", …]}`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

NAME: Final = "newcomer"
_OTHERS_MAY_ENTER: Final = 0o001


def closed_ancestor(path: Path) -> Path | None:
    """Return the topmost folder on the way to *path* that others may not enter."""
    for folder in reversed((path, *path.parents)):
        if not folder.stat().st_mode & _OTHERS_MAY_ENTER:
            return folder
    return None


def mount(*words: str | Path) -> None:
    """Run mount(8)."""
    subprocess.run(["mount", *map(str, words)], check=True)


def open_ways_to(needs: list[Path]) -> None:
    """Let others reach each of *needs*, in this mount namespace only."""
    closed: dict[Path, list[Path]] = {}
    for need in needs:
        ancestor = closed_ancestor(need)
        if ancestor is not None:
            closed.setdefault(ancestor, []).append(need)
    for ancestor, below in closed.items():
        outermost = [each for each in below if not any(other in each.parents for other in below)]
        with tempfile.TemporaryDirectory() as folder:
            held = []
            for number, need in enumerate(outermost):
                place = Path(folder) / str(number)
                place.mkdir()
                mount("--rbind", need, place)
                held.append((place, need))
            mount("-t", "tmpfs", "-o", "mode=0755", "tmpfs", ancestor)
            for place, need in held:
                need.mkdir(parents=True, exist_ok=True)
                mount("--move", place, need)


def name_the_user(number: int, home: Path) -> None:
    """Give the id a name, as every user has one."""
    # It stays: what is mounted from a file that is gone cannot be mounted once more.
    passwd = home / "passwd"
    lines = Path("/etc/passwd").read_text("utf-8")
    passwd.write_text(f"{lines}{NAME}:x:{number}:{number}::{home}:/bin/sh\n", "utf-8")
    mount("--bind", passwd, "/etc/passwd")


def main() -> None:
    """Become the user and then the command."""
    specification, *command = sys.argv[1:]
    asked = json.loads(specification)
    number, home = int(asked["id"]), Path(asked["home"])
    open_ways_to([Path(each) for each in asked["needs"]])
    name_the_user(number, home)
    os.setgroups([])
    os.setgid(number)
    os.setuid(number)
    os.chdir(home)
    os.umask(0o022)
    environment = os.environ | {"HOME": str(home), "USER": NAME, "LOGNAME": NAME}
    for name in ("XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CONFIG_HOME"):
        environment.pop(name, None)
    os.execvpe(command[0], command, environment)  # noqa: S606 - the caller's own command


if __name__ == "__main__":
    main()
