"""
The Node's own view of this machine: a mount and a process namespace, entered by its programs.

A kubelet believes that the machine is its own. It writes below /var/log and /var/lib/kubelet
whatever it is told, sets sysctls for everybody, and mounts volumes. In here those are its own
folders and files, so that it disturbs neither the machine nor another kubelet. A plain user gets a
user namespace around it, in which he may mount.

The process namespace is for the end: whatever its first process sees die, dies with it. No container
outlives the cluster, neither one that forked away from its runtime nor one whose supervisor was
killed with -9, because this first process ends when its standard input does, and that is a pipe
which only the supervisor holds.

This file is run as a program, by path and isolated from everybody's site-packages, and imports
nothing but the standard library. It speaks lines on its standard output: `unshared`, then
(told `mapped`) `init PID`, then `ready`; or `failed STEP: WHY`. unshare(2), user_namespaces(7).
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000

MS_RDONLY = 0x1
MS_NOSUID = 0x2
MS_NODEV = 0x4
MS_NOEXEC = 0x8
MS_BIND = 0x1000
MS_REC = 0x4000
MS_PRIVATE = 0x40000

_PR_SET_PDEATHSIG = 1

END = b"end\n"
"""What is said to the first process, before its standard input is closed, to end all in order."""

GRACE_SECONDS = 3.0
"""From asking everything inside to end, to the end."""

_libc = ctypes.CDLL(None, use_errno=True)


def main(specification: dict[str, Any]) -> int:
    """
    Make the namespaces, prepare the view, and live until standard input ends.

    Args:
        specification: `user` (make a user namespace; somebody outside writes its maps), `hold`
            (an empty folder to work in), `binds` (list of [source, target]; a target that does not
            exist is made, without a trace on the machine).
    """
    try:
        flags = CLONE_NEWNS | CLONE_NEWPID | (CLONE_NEWUSER if specification["user"] else 0)
        _check("unshare", _libc.unshare(flags))
        say("unshared")
        if sys.stdin.readline().strip() != "mapped":
            return 1
        child = os.fork()  # the first process of the new process namespace
        if child == 0:
            _inside(specification)
        say(f"init {child}")
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status)
    except OSError as error:
        say(f"failed {error.filename or 'system'}: {error.strerror}")
        return 1


def _inside(specification: dict[str, Any]) -> NoReturn:
    """Be the first process."""
    code = 1
    try:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prepare(Path(specification["hold"]), specification["binds"])
        signal.signal(signal.SIGCHLD, _reap)
        signal.signal(signal.SIGTERM, _leave)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        say("ready")
        said = b""
        while word := os.read(0, len(END)):
            said += word
        if said != END:
            # Whoever held us was killed, and so is everything here, by the kernel: programs that
            # ended in order now would be said to have wanted to.
            os._exit(0)
        code = 0
    except OSError as error:
        say(f"failed {error.filename or 'system'}: {error.strerror}")
    except SystemExit:
        code = 0
    if code == 0:
        end_all(grace_seconds=GRACE_SECONDS)
    os._exit(code)


def prepare(hold: Path, binds: list[tuple[str, str]]) -> None:
    """
    Arrange this mount namespace.

    Raises:
        OSError: With the step in its `filename`.
    """
    mount("none", "/", flags=MS_REC | MS_PRIVATE)
    # Of the new process namespace: with the machine's own, every process id would be a wrong one.
    mount("proc", "/proc", kind="proc", flags=MS_NOSUID | MS_NODEV | MS_NOEXEC)
    for source, target in binds:
        if not Path(target).exists():
            make_room(Path(target), hold)
        mount(source, target, flags=MS_BIND)


def make_room(target: Path, hold: Path) -> None:
    """
    Let *target*, a folder, exist in this mount namespace, and nowhere else.

    The nearest folder that exists gets an empty one laid over it, with everything that was in it
    bound back to its place. A plain mkdir(2) would leave the folder on the machine.
    """
    parent = target.parent
    while not parent.exists():
        parent = parent.parent
    mount(str(parent), str(hold), flags=MS_BIND | MS_REC)
    mount("tmpfs", str(parent), kind="tmpfs", flags=MS_NOSUID | MS_NODEV, data="mode=755")
    for entry in hold.iterdir():
        place = parent / entry.name
        if entry.is_symlink():
            place.symlink_to(entry.readlink())
            continue
        with contextlib.suppress(OSError):  # what may not be looked at stays away
            if entry.is_dir():
                place.mkdir()
            else:
                place.touch()
            mount(str(entry), str(place), flags=MS_BIND | MS_REC)
    _check(f"umount {hold}", _libc.umount2(os.fsencode(hold), 2))  # MNT_DETACH
    target.mkdir(parents=True)


def mount(source: str, target: str, *, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Lay *source* over *target*, or a new file system of *kind*."""
    _check(
        f"mount {source} on {target}",
        _libc.mount(source.encode(), target.encode(), kind.encode(), flags, data.encode()),
    )


def end_all(*, grace_seconds: float) -> None:
    """Ask every process of this namespace to end, and wait; the kernel kills the rest."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(-1, signal.SIGTERM)
    deadline = time.monotonic() + grace_seconds
    while time.monotonic() < deadline and _others():
        time.sleep(0.02)


def say(line: str) -> None:
    """Tell the supervisor; one that is gone need not hear."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, f"{line}\n".encode())


def _others() -> bool:
    return any(name.isdigit() and name != "1" for name in os.listdir("/proc"))  # noqa: PTH208


def _reap(*_: object) -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _leave(*_: object) -> NoReturn:
    raise SystemExit


def _check(step: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), step)


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
