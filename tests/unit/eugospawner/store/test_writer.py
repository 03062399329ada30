"""Group commit by itself: a database that is a list, with failures by name."""

import asyncio

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store.writer import LARGEST_BATCH, Write, Writer


class Down(Exception):
    """The database does not answer."""

    def __str__(self):
        return "no answer"


class BadRow(ValueError):
    """The database does not take a row."""

    def __str__(self):
        return "bad row"


class Table:
    """Keeps what was committed; `transact` can be held, and can fail."""

    def __init__(self):
        self.rows = []
        self.transactions = []
        self.down = False
        self.free = asyncio.Event()
        self.free.set()

    async def transact(self, work):
        await self.free.wait()
        if self.down:
            raise Down
        calls = []
        outcomes = work(calls)
        self.transactions.append(calls)
        self.rows += [row for call in calls for row in call]
        return outcomes


def apply(calls, rows):
    if "bad" in rows:
        raise BadRow
    calls.append(list(rows))
    return [StoreError("refused") if row == "refused" else f"did {row}" for row in rows]


ADD = Write(apply=apply, key=lambda row: row, what="add a row")
DROP = Write(apply=apply, key=lambda row: row, what="drop a row")


def nothing_wrong(_what):
    return None


@pytest.fixture
async def table():
    return Table()


@pytest.fixture
async def writer(table):
    writer = Writer(table.transact, lambda error: isinstance(error, Down), nothing_wrong)
    yield writer
    table.free.set()
    await writer.close()


def together(*writes):
    return asyncio.gather(*writes, return_exceptions=True)


async def test_a_lone_write_is_written_at_once(table, writer):
    assert await writer.write(ADD, "a") == "did a"
    assert table.transactions == [[["a"]]]


async def test_what_gathers_meanwhile_shares_the_next_transaction(table, writer):
    answers = await together(*(writer.write(ADD, n) for n in range(10)))
    assert answers == [f"did {n}" for n in range(10)]
    assert table.rows == list(range(10))
    assert len(table.transactions) == 1


async def test_a_transaction_is_not_endless(table, writer):
    await together(*(writer.write(ADD, n) for n in range(LARGEST_BATCH + 1)))
    assert [len(calls[0]) for calls in table.transactions] == [LARGEST_BATCH, 1]


async def test_neighbours_of_one_kind_are_one_call_unless_they_concern_the_same(table, writer):
    await together(
        *(writer.write(kind, row) for kind, row in
          [(ADD, "a"), (ADD, "b"), (ADD, "a"), (DROP, "a"), (ADD, "c"), (ADD, "d")])
    )  # fmt: skip
    assert table.transactions == [[["a", "b"], ["a"], ["a"], ["c", "d"]]]


async def test_an_outcome_can_be_an_error_of_its_caller_alone(table, writer):
    answers = await together(*(writer.write(ADD, row) for row in ("a", "refused", "b")))
    assert answers[0::2] == ["did a", "did b"]
    assert str(answers[1]) == "refused"
    assert len(table.transactions) == 1


@pytest.mark.parametrize("place", [0, 31, 63])
async def test_the_write_at_fault_fails_alone(table, writer, place):
    rows = [f"row {n}" for n in range(64)]
    rows[place] = "bad"
    answers = await together(*(writer.write(ADD, row) for row in rows))
    error = answers.pop(place)
    rows.pop(place)
    assert str(error) == "The store could not add a row: bad row"
    assert isinstance(error.__cause__, BadRow)
    assert answers == [f"did {row}" for row in rows]
    assert table.rows == rows
    assert len(table.transactions) <= 6


async def test_an_outage_fails_all_at_once_and_is_over_when_it_is_over(table, writer):
    table.down = True
    answers = await together(*(writer.write(ADD, n) for n in range(5)))
    assert {str(answer) for answer in answers} == {"The store could not add a row: no answer"}
    table.down = False
    assert await writer.write(ADD, "a") == "did a"


async def test_a_cancelled_caller_is_written_and_disturbs_nobody(table, writer):
    table.free.clear()
    first = asyncio.ensure_future(writer.write(ADD, "first"))
    await asyncio.sleep(0)
    cancelled = asyncio.ensure_future(writer.write(ADD, "cancelled"))
    last = asyncio.ensure_future(writer.write(ADD, "last"))
    await asyncio.sleep(0)
    cancelled.cancel()
    first.cancel()
    table.free.set()
    assert await last == "did last"
    assert cancelled.cancelled()
    assert table.rows == ["first", "cancelled", "last"]


async def test_closing_writes_what_waits_and_refuses_what_comes(table, writer):
    table.free.clear()
    waiting = [asyncio.ensure_future(writer.write(ADD, n)) for n in range(3)]
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(writer.close())
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="could not add a row: it is closed"):
        await writer.write(ADD, "late")
    table.free.set()
    await closing
    assert await asyncio.gather(*waiting) == ["did 0", "did 1", "did 2"]


async def test_a_writer_whose_loop_ends_leaves_nobody_waiting(table, writer):
    table.free.clear()
    waiting = [asyncio.ensure_future(writer.write(ADD, n)) for n in range(3)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    waiting.append(asyncio.ensure_future(writer.write(ADD, "queued")))
    await asyncio.sleep(0)
    writer._task.cancel()
    for answer in await together(*waiting):
        assert "stopped before the answer was known" in str(answer)
    with pytest.raises(StoreError, match="closed"):
        await writer.write(ADD, "late")
