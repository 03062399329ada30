"""
Which users and groups exist inside a plain user's node, and by which numbers outside.

In a user namespace a plain user is root, and there is nobody else, unless an admin gave him a range
of further numbers in /etc/subuid and /etc/subgid. With a range Pods run as the users they ask for;
without one they all run as him, and the runtime says so.

Files carry the outer numbers. So the mapping belongs to the data: it is chosen at the first start,
kept in a file and used ever after, because under another one the same files belong to somebody else.
user_namespaces(7), newuidmap(1), subuid(5).
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import Trouble
from .layout import write_private

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENOUGH = 65536
"""The numbers that Kubernetes and most images suppose to exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Range:
    """Numbers that an admin gave to a user."""

    start: int
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Mapping:
    """Users and groups of the namespace: 0 is whoever runs it, 1 and up are the ranges."""

    users: Range | None = None
    groups: Range | None = None

    @property
    def has_ranges(self) -> bool:
        """Whether Pods can run as other users than root."""
        return self.users is not None and self.groups is not None


def chosen(kept: Path) -> Mapping:
    """Return the mapping of the data, choosing one and writing it to *kept* at the first start."""
    try:
        content = json.loads(kept.read_text("ascii"))
    except FileNotFoundError:
        mapping = available()
        write_private(
            kept,
            json.dumps(
                {
                    kind: [entry.start, entry.count] if entry else None
                    for kind, entry in (("users", mapping.users), ("groups", mapping.groups))
                }
            ),
        )
        return mapping
    ranges = {
        kind: Range(start=entry[0], count=entry[1]) if entry else None
        for kind, entry in content.items()
    }
    return Mapping(**ranges)


def available() -> Mapping:
    """Return what this user was given; nothing if the programs that apply it are missing."""
    if not (shutil.which("newuidmap") and shutil.which("newgidmap")):
        return Mapping()
    name = pwd.getpwuid(os.getuid()).pw_name
    users = granted(_lines(Path("/etc/subuid")), name=name, number=os.getuid())
    groups = granted(_lines(Path("/etc/subgid")), name=name, number=os.getuid())
    return Mapping(users=users, groups=groups) if users and groups else Mapping()


def _lines(file: Path) -> list[str]:
    try:
        return file.read_text("utf-8", "replace").splitlines()
    except OSError:
        return []


def granted(lines: Iterable[str], *, name: str, number: int) -> Range | None:
    """Return the first range of sufficient size in the *lines* of a subuid(5) file."""
    for line in lines:
        owner, _, rest = line.strip().partition(":")
        start, _, count = rest.partition(":")
        if owner in {name, str(number)} and start.isdigit() and count.isdigit():
            entry = Range(start=int(start), count=int(count))
            if entry.count >= _ENOUGH:
                return entry
    return None


def apply(mapping: Mapping, *, pid: int) -> None:
    """
    Write the maps of the user namespace in which the process *pid* waits.

    Raises:
        Trouble: The system refuses, for instance because a range was taken away.
    """
    process = Path("/proc") / str(pid)
    try:
        if mapping.users is None or mapping.groups is None:
            # Without it an unprivileged process may not map groups: setgroups(2) could drop one
            # that denies access.
            (process / "setgroups").write_text("deny", "ascii")
            (process / "uid_map").write_text(f"0 {os.getuid()} 1", "ascii")
            (process / "gid_map").write_text(f"0 {os.getgid()} 1", "ascii")
            return
        for program, own, entry in (
            ("newuidmap", os.getuid(), mapping.users),
            ("newgidmap", os.getgid(), mapping.groups),
        ):
            subprocess.run(
                [
                    shutil.which(program) or program, str(pid),
                    "0", str(own), "1", "1", str(entry.start), str(entry.count),
                ],
                check=True, capture_output=True, text=True,
            )  # fmt: skip
    except (OSError, subprocess.CalledProcessError) as error:
        why = error.stderr.strip() if isinstance(error, subprocess.CalledProcessError) else error
        raise Trouble(
            problem=f"The users of the node cannot be mapped: {why}.",
            remedy="The data was made with the ranges of /etc/subuid and /etc/subgid as they were "
            "then: restore them, or start anew with another --data DIR."
            if mapping.has_ranges
            else "Write the kernel's refusal into a bug report, or run as root.",
        ) from error
