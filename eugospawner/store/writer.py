"""
Group commit: concurrent writes share one transaction, and each caller gets its own answer.

Making a transaction durable costs far more than the statements in it (measured: 20 times), and
many people start workspaces in the same second. So callers leave a job and wait; one task takes
whatever has gathered, writes it in one transaction and answers after the commit. Nobody waits
for company: a lone job is written at once, and a batch is what arrived during the last one.

Jobs are written in the order in which they came. Neighbours of the same kind go to the database
in one call (`Write`), unless two of them concern the same thing. When a batch fails it is halved
until the job at fault stands alone, so that it fails nobody else; when the database itself is at
fault, all fail at once. A caller that no longer waits is still written: what was asked is done,
whether or not somebody listens. A job that got an error may be asked again, as all are idempotent.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

from eugospawner.policy.errors import StoreError
from eugospawner.store.database import problem_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable, Sequence

    from sqlalchemy import Connection

_Argument = TypeVar("_Argument")
_Result = TypeVar("_Result")

#: Jobs in one transaction; more gain little and make the first of them wait (measured at 64: 20 ×).
LARGEST_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Write(Generic[_Argument, _Result]):
    """
    One kind of write.

    Attributes:
        apply: Writes many arguments in the transaction of the connection and returns an outcome
            for each, in order. An outcome that is a `StoreError` is raised to its caller alone.
        key: What an argument concerns. `apply` never gets two arguments with equal keys.
        what: Ends the sentence "The store could not …".
    """

    apply: Callable[[Connection, Sequence[_Argument]], Sequence[_Result | StoreError]]
    key: Callable[[_Argument], Hashable]
    what: str


class Transact(Protocol):
    """Runs a function in one transaction, durable when it returns; see `database.Database`."""

    def __call__(
        self, work: Callable[[Connection], list[Any]], /
    ) -> Awaitable[list[Any]]:  # pragma: no cover
        """Raise what went wrong as it came; `blames` takes it apart."""
        ...


@dataclass(eq=False, slots=True)
class _Job:
    write: Write[Any, Any]
    argument: Any
    answer: asyncio.Future[Any]

    def settle(self, outcome: object) -> None:
        if self.answer.done():  # its caller was cancelled
            return
        if isinstance(outcome, StoreError):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)

    def fail(self, cause: BaseException | None, problem: str) -> None:
        error = StoreError(f"The store could not {self.write.what}: {problem}")
        error.__cause__ = cause
        self.settle(error)


class Writer:
    """
    The one task of this process that writes to the store.

    Belongs to the event loop that is running when it is made.

    Args:
        transact: Runs a function in a transaction.
        is_outage: Whether an error is the database's fault rather than a job's.
        require_open: Raises a `StoreError` if nothing can be written from here and now.
    """

    def __init__(
        self,
        transact: Transact,
        is_outage: Callable[[Exception], bool],
        require_open: Callable[[str], None],
    ) -> None:
        self._transact = transact
        self._require_open = require_open
        self._is_outage = is_outage
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue()
        self._batch: list[_Job] = []
        self._closed = False
        self._loop = asyncio.get_running_loop()
        self._task = self._loop.create_task(self._run(), name="store-writer")

    async def write(self, write: Write[_Argument, _Result], argument: _Argument) -> _Result:
        """
        Return the outcome once it is durable.

        Raises:
            StoreError: It was not written, or the answer to the commit was lost.
        """
        self._require_open(write.what)
        if self._closed or self._task.done():
            message = f"The store could not {write.what}: it is closed"
            raise StoreError(message)
        answer: asyncio.Future[_Result] = self._loop.create_future()
        self._jobs.put_nowait(_Job(write, argument, answer))
        return await answer

    async def close(self) -> None:
        """Write what is waiting, then end; later writes are refused."""
        if not self._closed:
            self._closed = True
            self._jobs.put_nowait(None)
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        try:
            going_on = True
            while going_on:
                going_on = await self._gather()
                if self._batch:
                    await self._write(self._batch)
        finally:  # cancelled with its loop: nobody may be left waiting
            while not self._jobs.empty():
                self._batch.extend(filter(None, [self._jobs.get_nowait()]))
            for job in self._batch:
                job.fail(None, "it was stopped before the answer was known")

    async def _gather(self) -> bool:
        """Fill the batch with what is waiting; return whether there may be more to come."""
        self._batch = []
        job = await self._jobs.get()
        while job is not None:
            self._batch.append(job)
            if len(self._batch) == LARGEST_BATCH or self._jobs.empty():
                return True
            job = self._jobs.get_nowait()
        return False

    async def _write(self, jobs: list[_Job]) -> None:
        try:
            outcomes = await self._transact(lambda connection: _apply(connection, jobs))
        except Exception as error:  # noqa: BLE001 - the loop's guard: each job gets the cause
            if len(jobs) == 1 or self._is_outage(error):
                for job in jobs:
                    job.fail(error, problem_of(error))
                return
            middle = len(jobs) // 2
            await self._write(jobs[:middle])
            await self._write(jobs[middle:])
            return
        for job, outcome in zip(jobs, outcomes, strict=True):
            job.settle(outcome)


def _apply(connection: Connection, jobs: Sequence[_Job]) -> list[Any]:
    """Write *jobs* in order; neighbours of one kind together."""
    outcomes: list[Any] = []
    for write, neighbours in groupby(jobs, key=lambda job: job.write):
        group: dict[Hashable, Any] = {}
        for job in neighbours:
            key = write.key(job.argument)
            if key in group:
                outcomes += write.apply(connection, list(group.values()))
                group = {}
            group[key] = job.argument
        outcomes += write.apply(connection, list(group.values()))
    return outcomes
