"""
Open the Node's enclosure from outside, and say in words why a machine does not let us.

`enclosure.py` is the program inside; here is its supervisor's half: what it is told to arrange, the
maps of its user namespace, the command that starts another program in it. Root needs no user
namespace and gets none, so that Pods run as the very users they ask for.

What a machine may forbid is found by trying, never by guessing from version numbers: an enclosure
is opened, and only if that fails are the known reasons looked at. unshare(2), user_namespaces(7),
Ubuntu's restriction by AppArmor (release notes of 23.10).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from . import enclosure as inside
from . import identities
from .errors import Trouble

if TYPE_CHECKING:
    from collections.abc import Sequence

KUBELET_ROOT = "/var/lib/kubelet"
"""Also where programs in the enclosure find it; parts of it are fixed in the kubelet's code."""

_OPEN_SECONDS = 20.0
_CONTAINER_SIGNS = (".dockerenv", "run/.containerenv")
_NO_PIPE = "started without a pipe"

SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
"""What a kubelet sets for the whole machine, with the values it wants to see there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """How the machine looks from inside."""

    hold: Path
    """An empty folder to work in."""

    binds: tuple[tuple[Path, str], ...]
    """What lies at which place."""


def prepare_view(folder: Path, *, machine: Sequence[tuple[Path, str]] = ()) -> View:
    """Make the node's own folders and files below *folder*; *machine* are further binds."""
    own = {name: folder / name for name in ("kubelet", "log", "hold", "sysctl")}
    for path in own.values():
        path.mkdir(mode=0o700, exist_ok=True)
    # Users inside pass through on the way to what is theirs.
    own["kubelet"].chmod(0o711)
    binds = [(own["log"], "/var/log"), (own["kubelet"], KUBELET_ROOT)]
    for name, value in SYSCTLS.items():
        file = own["sysctl"] / name.replace("/", "_")
        file.write_text(f"{value}\n", "ascii")
        target = Path("/proc/sys") / name
        if target.exists():
            binds.append((file, str(target)))
    return View(hold=own["hold"], binds=(*binds, *machine))


def needs_user_namespace() -> bool:
    """Tell whether whoever runs this may not mount without one."""
    return os.geteuid() != 0


def is_in_user_namespace() -> bool:
    """Tell whether this process already lives in one (a rootless container, for instance)."""
    maps = Path("/proc/self/uid_map").read_text("ascii").split()
    return maps != ["0", "0", "4294967295"]


class Enclosure:
    """The namespaces of one Node, while they are open."""

    def __init__(self, *, view: View, mapping: identities.Mapping | None, log: Path) -> None:
        """
        Args:
            mapping: Of the user namespace; None for root, who needs none.

            log: Where the first process complains.
        """
        self._view = view
        self._mapping = mapping
        self._log = log
        self._process: asyncio.subprocess.Process | None = None
        self.init: int | None = None
        """Process id, as seen from outside, of the first process inside."""

    async def open(self) -> None:
        """
        Make the namespaces.

        Raises:
            Trouble: The machine does not let us; says what an admin can do.
        """
        specification = {
            "user": self._mapping is not None,
            "hold": str(self._view.hold),
            "binds": [[str(source), target] for source, target in self._view.binds],
        }
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-IS",
                inside.__file__,
                json.dumps(specification),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                start_new_session=True,
                cwd="/",
            )
        try:
            async with asyncio.timeout(_OPEN_SECONDS):
                await self._agree()
        except BaseException:
            await self.close()
            raise

    async def closed(self) -> int:
        """Wait until the enclosure has ended, with everything in it; return its exit code."""
        code = await self._opened.wait()
        self.init = None
        return code

    async def close(self) -> None:
        """End everything inside: asked first, killed after a grace."""
        process = self._process
        if process is None:
            return
        _standard_input(process).write(inside.END)
        _standard_input(process).close()
        try:
            async with asyncio.timeout(inside.GRACE_SECONDS + 2):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()  # its child follows it (PR_SET_PDEATHSIG)
            await process.wait()
        self.init = None

    def entering(self) -> tuple[str, ...]:
        """Return the words before a command that let it run inside."""
        if self.init is None:
            message = "nobody can enter: the enclosure is not open"
            raise RuntimeError(message)
        user = ("--user", "--preserve-credentials") if self._mapping is not None else ()
        return ("nsenter", f"--target={self.init}", "--mount", "--pid", *user, "--")

    async def _agree(self) -> None:
        """Follow the lines of `enclosure.py`."""
        process = self._opened
        await self._expect("unshared")
        if self._mapping is not None:
            identities.apply(self._mapping, pid=process.pid)
        _standard_input(process).write(b"mapped\n")
        init: int | None = None
        # Two processes speak now, and either may be first.
        for _ in range(2):
            line = await self._line()
            if line.startswith("init "):
                init = int(line.removeprefix("init "))
            elif line != "ready":
                raise refusal(line.removeprefix("failed "), user=self._mapping is not None)
        self.init = init

    async def _expect(self, wanted: str) -> None:
        line = await self._line()
        if line != wanted:
            raise refusal(line.removeprefix("failed "), user=self._mapping is not None)

    async def _line(self) -> str:
        output = self._opened.stdout
        if output is None:
            raise RuntimeError(_NO_PIPE)
        return (await output.readline()).decode("utf-8", "replace").strip()

    @property
    def _opened(self) -> asyncio.subprocess.Process:
        if self._process is None:
            message = "the enclosure has not been opened"
            raise RuntimeError(message)
        return self._process


def _standard_input(process: asyncio.subprocess.Process) -> asyncio.StreamWriter:
    if process.stdin is None:
        raise RuntimeError(_NO_PIPE)
    return process.stdin


def refusal(why: str, *, user: bool, machine: Path = Path("/")) -> Trouble:
    """
    Say why there is no enclosure, and what to do.

    Args:
        why: The step and the system's own words.

        user: Whether a plain user asked, for a user namespace.

        machine: Where its settings are read.
    """

    def setting(name: str) -> str | None:
        with contextlib.suppress(OSError):
            return (machine / "proc" / "sys" / name).read_text("ascii").strip()
        return None

    problem = f"This machine does not let us make the node's namespaces ({why or 'no reason'})."
    if user and setting("kernel/apparmor_restrict_unprivileged_userns") == "1":
        remedy = (
            "Ubuntu restricts user namespaces of plain users by AppArmor. An admin can allow them "
            "with `sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0`, or for this "
            "Python alone with an AppArmor profile that says `userns,`; or run as root."
        )
    elif user and setting("kernel/unprivileged_userns_clone") == "0":
        remedy = (
            "An admin can allow them with `sudo sysctl -w kernel.unprivileged_userns_clone=1`; "
            "or run as root."
        )
    elif setting("user/max_user_namespaces") == "0":
        remedy = "An admin can allow them with `sudo sysctl -w user.max_user_namespaces=16384`."
    elif any((machine / sign).exists() for sign in _CONTAINER_SIGNS):
        remedy = (
            "We are in a container that forbids it: run it with `--privileged`, or give "
            "scripts/demo an existing cluster with --kubeconfig FILE."
        )
    else:
        remedy = (
            "Run as root on the machine itself, or give scripts/demo an existing cluster with "
            "--kubeconfig FILE."
        )
    return Trouble(problem=problem, remedy=remedy)
