"""
Keep the cluster's programs running: start them, start them again when they end, end them in order.

A program that ends is started again, at once the first time and with growing pauses if it keeps
ending; so kill -9 of any of them is an incident that the cluster survives, as it would in a data
centre. What it said stands in its log, its process id in `run/NAME.pid` while it lives.

None outlives the supervisor, however that ends. Programs of the machine get a parent-death signal;
those of the Node live in a process namespace that ends with us (`enclosure.py`). The signal is set
by setpriv(1) after the namespaces are entered, because entering clears it: prctl(2).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import ExitCode, Trouble

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from .layout import Layout
    from .node import Enclosure

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 5.0
_HEALTHY_SECONDS = 20.0
"""Who ran this long failed for a new reason: pauses begin anew."""

_HOPELESS_STARTS = 4
"""Who ended so often before the cluster was ever ready will not come up by itself."""

_TAIL_BYTES = 3000
_TAIL_LINES = 12

ENCLOSURE = "enclosure"
"""Its name among the programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What is to run."""

    name: str

    command: tuple[str, ...]

    enclosed: bool = False
    """Whether it runs in the Node's enclosure."""

    grace_seconds: float = 4.0
    """From being asked to end to being killed."""


@dataclass(slots=True)
class _Running:
    program: Program
    task: asyncio.Task[None]
    process: asyncio.subprocess.Process | None = None
    pid: int | None = None
    """Of the program itself, where *process* is the one that entered the enclosure for it."""
    ended: int = 0
    """How often it has ended so far."""
    started: asyncio.Event = field(default_factory=asyncio.Event)


class Supervisor:
    """The programs of one cluster."""

    def __init__(
        self,
        layout: Layout,
        *,
        environment: Mapping[str, str],
        report: Callable[[str], None],
    ) -> None:
        """
        Args:
            environment: Of all programs.

            report: Told in a line when something ended by itself.
        """
        self._layout = layout
        self._environment = dict(environment)
        self._report = report
        self._running: dict[str, _Running] = {}
        self._enclosure: Enclosure | None = None
        self._enclosure_task: asyncio.Task[None] | None = None
        self._enclosure_open = asyncio.Event()
        self._ready = False
        self.failure: asyncio.Future[Trouble] = asyncio.get_running_loop().create_future()
        """Done when a program is given up."""

    async def enclose(self, enclosure: Enclosure) -> None:
        """Open *enclosure*, and open it again whenever it ends."""
        self._enclosure = enclosure
        await enclosure.open()
        self._note_pid(ENCLOSURE, enclosure.init)
        self._enclosure_open.set()
        self._enclosure_task = asyncio.create_task(self._keep_enclosure(), name=ENCLOSURE)

    def start(self, program: Program) -> None:
        """Run *program* until told otherwise; returns at once."""
        task = asyncio.create_task(self._keep(program), name=program.name)
        self._running[program.name] = _Running(program=program, task=task)

    def declare_ready(self) -> None:
        """From now on, programs that keep ending are started again without end."""
        self._ready = True

    async def stop(self, names: Iterable[str]) -> None:
        """End the programs *names*, all at once, and wait for them."""
        stopping = [self._running.pop(name) for name in names if name in self._running]
        await asyncio.gather(*(self._end(running) for running in stopping))

    async def close_enclosure(self) -> None:
        """End everything that is left in the enclosure, containers above all."""
        if self._enclosure_task is not None:
            self._enclosure_task.cancel()
            await asyncio.wait([self._enclosure_task])
            self._enclosure_task = None
        if self._enclosure is not None:
            await self._enclosure.close()
            self._note_pid(ENCLOSURE, None)

    def tail(self, name: str) -> str:
        """Return the last lines of the log of *name*, indented; "" if there are none."""
        return tail(self._layout.log(name))

    async def _keep(self, program: Program) -> None:
        loop = asyncio.get_running_loop()
        pause = _FIRST_PAUSE_SECONDS
        while True:
            since = loop.time()
            code = await self._run_once(program)
            running = self._running.get(program.name)
            if running is None:
                return
            running.ended += 1
            lived = loop.time() - since
            if not self._ready and running.ended >= _HOPELESS_STARTS:
                self._give_up(program, code)
                return
            pause = _FIRST_PAUSE_SECONDS if lived >= _HEALTHY_SECONDS else pause
            self._report(
                f"{program.name} ended ({describe(code)}) after {lived:.1f} s; starting it again "
                f"({self._layout.log(program.name)})"
            )
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _run_once(self, program: Program) -> int:
        """Start *program*, wait until it ends, return its exit code."""
        if program.enclosed:
            await self._enclosure_open.wait()
        running = self._running.get(program.name)
        if running is None:
            return 0
        with self._layout.log(program.name).open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                *self._command(program),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environment,
                cwd="/" if program.enclosed else self._layout.root,
                start_new_session=True,
            )
        running.process = process
        try:
            running.pid = await _inner(process) if program.enclosed else process.pid
            self._note_pid(program.name, running.pid)
            running.started.set()
            return await process.wait()
        finally:
            self._note_pid(program.name, None)
            running.process = running.pid = None

    def _command(self, program: Program) -> tuple[str, ...]:
        dying = ("setpriv", "--pdeathsig", "KILL", "--")
        if not program.enclosed:
            return (*dying, *program.command)
        return (*self._opened.entering(), *dying, *program.command)

    async def _end(self, running: _Running) -> None:
        process, pid = running.process, running.pid
        if process is not None and process.returncode is None and pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            waiting = asyncio.ensure_future(process.wait())
            await asyncio.wait([waiting], timeout=running.program.grace_seconds)
            if not waiting.done():
                for each in {pid, process.pid}:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(each, signal.SIGKILL)
            await waiting
        running.task.cancel()
        await asyncio.wait([running.task])

    async def _keep_enclosure(self) -> None:
        enclosure = self._opened
        while True:
            code = await enclosure.closed()
            self._enclosure_open.clear()
            self._note_pid(ENCLOSURE, None)
            self._report(f"the node's enclosure ended ({describe(code)}); opening it again")
            try:
                await enclosure.open()
            except Trouble as trouble:
                if not self.failure.done():
                    self.failure.set_result(trouble)
                return
            self._note_pid(ENCLOSURE, enclosure.init)
            self._enclosure_open.set()

    @property
    def _opened(self) -> Enclosure:
        if self._enclosure is None:
            message = "an enclosed program needs an enclosure first"
            raise RuntimeError(message)
        return self._enclosure

    def _give_up(self, program: Program, code: int) -> None:
        if self.failure.done():
            return
        self.failure.set_result(
            Trouble(
                problem=f"{program.name} does not start ({describe(code)}).",
                remedy=f"Its log {self._layout.log(program.name)} ends with:\n"
                f"{self.tail(program.name)}",
                exit_code=ExitCode.FAILED,
            )
        )

    def _note_pid(self, name: str, pid: int | None) -> None:
        file = self._layout.pid(name)
        if pid is None:
            file.unlink(missing_ok=True)
        else:
            file.write_text(f"{pid}\n", "ascii")


def tail(log: Path) -> str:
    """Return the last lines of *log*, indented; "" if there are none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return ""
    return "\n".join(f"    {line}" for line in text.splitlines()[-_TAIL_LINES:])


def describe(code: int) -> str:
    """Say in words how a process ended."""
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"


async def _inner(entering: asyncio.subprocess.Process) -> int | None:
    """
    Return the id of the program for which *entering* went into the namespaces.

    nsenter(1) cannot enter a process namespace itself: its child does.
    """
    while entering.returncode is None:
        child = child_of(entering.pid)
        if child is not None:
            return child
        await asyncio.sleep(0.005)
    return None


def child_of(pid: int) -> int | None:
    """Return the process whose parent is *pid*, the first found; None if there is none."""
    for status in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # The name stands in parentheses and may hold anything; after it: state, parent.
            parent = status.read_text("utf-8", "replace").rpartition(")")[2].split()[1]
            if int(parent) == pid:
                return int(status.parent.name)
    return None
