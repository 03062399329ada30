"""
Start programs so that none of them outlives the demo, however the demo ends.

Three nets, because each has holes. An orderly stop asks a child to end, and kills its whole
process group when the grace is over. A *subreaper* (prctl, Linux ≥ 3.4) inherits the orphans of
children that died early, so the last sweep finds every descendant in /proc, whatever session it
hides in. And a parent-death signal kills the children when the demo itself is killed with -9: at
once, because a child that ended in good order would still be at it when the next demo starts on
the same data.

The last two exist on Linux only; elsewhere the first must do.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import shutil
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

_TAIL_BYTES = 4096
_TAIL_LINES = 15
_SWEEP_SECONDS = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Child:
    """A program that the demo has started."""

    name: str
    """As users know it."""

    process: asyncio.subprocess.Process

    log: Path
    """Where its output goes, or where it keeps its logs."""

    grace_seconds: float
    """How long it may take to end when asked."""

    async def stop(self, *, hurry: asyncio.Event) -> None:
        """Ask it to end; kill its process group when its grace is over or *hurry* is set."""
        if self.process.returncode is None:
            self.process.terminate()
            ended = asyncio.ensure_future(self.process.wait())
            impatient = asyncio.ensure_future(hurry.wait())
            await asyncio.wait(
                {ended, impatient}, timeout=self.grace_seconds, return_when=asyncio.FIRST_COMPLETED
            )
            impatient.cancel()
            ended.cancel()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


async def start(
    command: Sequence[str],
    *,
    name: str,
    log: Path,
    environment: Mapping[str, str],
    output: IO[bytes] | int,
    folder: Path,
    grace_seconds: float,
    umask: int = -1,
) -> Child:
    """
    Start *command* in a session of its own, so that a terminal's Ctrl-C reaches only the demo.

    Args:
        output: A file, or `asyncio.subprocess.PIPE` for a caller that reads standard output;
            standard error follows it into a file, and goes to the demo's own otherwise.

        umask: Of the program; -1 leaves it as it is.
    """
    process = await asyncio.create_subprocess_exec(
        *dying_with_its_parent(),
        *command,
        cwd=folder,
        env=dict(environment),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=output,
        stderr=None if output == asyncio.subprocess.PIPE else asyncio.subprocess.STDOUT,
        start_new_session=True,
        umask=umask,
    )
    return Child(name=name, process=process, log=log, grace_seconds=grace_seconds)


def become_subreaper() -> None:
    """Make orphaned descendants our children, where the system can."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


async def sweep() -> tuple[int, ...]:
    """End every descendant that is left, and return their ids."""
    swept: set[int] = set()
    deadline = asyncio.get_running_loop().time() + _SWEEP_SECONDS
    while left := tuple(descendants(os.getpid())):
        late = asyncio.get_running_loop().time() > deadline
        for pid in left:
            swept.add(pid)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL if late else signal.SIGTERM)
        await asyncio.sleep(0.1)
        _bury()
        if asyncio.get_running_loop().time() > deadline + _SWEEP_SECONDS:
            break  # a process that SIGKILL does not end (D state) must not keep us
    return tuple(sorted(swept))


def _bury() -> None:
    """Collect the exit status of inherited orphans, so that they leave /proc."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def descendants(pid: int) -> Iterator[int]:
    """Yield the ids of all processes below *pid*, zombies left out; nothing without /proc."""
    children: dict[int, list[int]] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name stands in parentheses and may hold anything; after it: state, parent.
            state, parent = status.read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if state != "Z":
                children.setdefault(int(parent), []).append(int(status.parent.name))
    waiting = children.pop(pid, [])
    while waiting:
        found = waiting.pop()
        yield found
        waiting += children.pop(found, [])


def tail(log: Path) -> str:
    """Return the last lines of *log*, indented; "" if there is none."""
    try:
        with log.open("rb") as lines:
            lines.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            words = lines.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in words.splitlines()[-_TAIL_LINES:])


def dying_with_its_parent() -> tuple[str, ...]:
    """Return the prefix that has a program killed with its parent; util-linux ≥ 2.33 has it."""
    setpriv = shutil.which("setpriv")
    return (setpriv, "--pdeathsig", "KILL", "--") if setpriv else ()
