"""A program that ends is started again; one that never starts is given up with its last words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from typing import TYPE_CHECKING

import pytest

from devcluster import layout as layouts
from devcluster import supervisor
from devcluster.supervisor import Program, Supervisor, describe

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from pathlib import Path

    from devcluster.layout import Layout


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    with layouts.opened(tmp_path) as opened:
        yield opened


def a_program(script: str, **fields: float) -> Program:
    return Program(name="it", command=("sh", "-c", script), **fields)  # type: ignore[arg-type]


@contextlib.asynccontextmanager
async def supervised(layout: Layout, program: Program) -> AsyncIterator[Supervisor]:
    keeper = Supervisor(layout, environment=os.environ, report=print)
    keeper.start(program)
    try:
        yield keeper
    finally:
        await keeper.stop([program.name])


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():  # noqa: ASYNC110  # it is the world that changes
            await asyncio.sleep(0.01)


async def test_a_killed_program_is_started_again(layout: Layout) -> None:
    async with supervised(layout, a_program("exec sleep 100")):
        await until(layout.pid("it").exists)
        first = int(layout.pid("it").read_text())
        os.kill(first, signal.SIGKILL)
        await until(
            lambda: layout.pid("it").exists() and layout.pid("it").read_text() != f"{first}\n"
        )


async def test_a_program_that_never_starts_is_given_up_with_its_last_words(layout: Layout) -> None:
    async with supervised(layout, a_program("echo no such thing; exit 4")) as keeper:
        async with asyncio.timeout(20):
            trouble = await keeper.failure
        assert "exit code 4" in str(trouble)
        assert "no such thing" in str(trouble)


async def test_once_ready_nothing_is_given_up(layout: Layout) -> None:
    async with supervised(layout, a_program("echo x >> runs; exit 4")) as keeper:
        keeper.declare_ready()
        runs = layout.root / "runs"
        await until(lambda: runs.exists() and len(runs.read_text()) >= 10)
        assert not keeper.failure.done()


async def test_a_program_that_ignores_the_request_to_end_is_killed(layout: Layout) -> None:
    stubborn = a_program("trap '' TERM; echo up > up; while :; do sleep 1; done", grace_seconds=0.2)
    async with supervised(layout, stubborn):
        await until((layout.root / "up").exists)
        pid = int(layout.pid("it").read_text())
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not layout.pid("it").exists()


async def test_an_enclosed_program_needs_an_enclosure(layout: Layout) -> None:
    keeper = Supervisor(layout, environment={}, report=print)
    with pytest.raises(RuntimeError, match="enclosure first"):
        keeper._command(Program(name="it", command=("true",), enclosed=True))


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (-9, "SIGKILL"), (-99, "signal 99")]
)
def test_an_end_is_described_in_words(code: int, words: str) -> None:
    assert describe(code) == words


def test_the_tail_of_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert supervisor.tail(tmp_path / "none") == ""
