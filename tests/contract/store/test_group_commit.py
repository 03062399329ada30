"""Concurrent writes share transactions, and nobody notices."""

import asyncio
import contextlib

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Fits
from eugospawner.store import open_store
from tests.contract.store.values import NOON, a_session, check_sessions
from tests.factories.sessions import begin


async def test_a_failing_write_fails_none_of_its_neighbours(store):
    answers = await asyncio.gather(
        *(
            begin(store, a_session(f"s{n}", workspace=str(n), sm_percent=0 if n % 30 == 7 else 25))
            for n in range(100)
        ),
        return_exceptions=True,
    )
    failed = [n for n, answer in enumerate(answers) if not isinstance(answer, Fits)]
    assert failed == [7, 37, 67, 97]
    for n in failed:
        assert isinstance(answers[n], StoreError)
        assert "sm_percent" in str(answers[n])
        assert answers[n].__cause__ is not None
    assert len(await store.sessions.open_sessions()) == 96


async def test_writes_of_every_kind_at_once_keep_their_order(store):
    for n in range(30):
        await begin(store, a_session(f"s{n}", workspace=str(n)))
    calls = []
    for n in range(30):
        calls.append(store.sessions.bind(f"s{n}", granted_percent=n, at=NOON))
        calls.append(store.sessions.end(f"s{n}", reason="first", at=NOON))
        calls.append(store.sessions.end(f"s{n}", reason="second", at=NOON))
    answers = await asyncio.gather(*calls)
    assert all(isinstance(answer, Fits) for answer in answers[::3])
    assert answers[1::3] == [True] * 30
    assert answers[2::3] == [False] * 30
    for session in await check_sessions(store, "alice"):
        assert (session.granted_percent, session.end_reason) == (int(session.workspace), "first")


async def test_of_many_opened_in_one_workspace_at_once_the_last_stays(store):
    await asyncio.gather(*(begin(store, a_session(f"s{n}")) for n in range(100)))
    assert [session.id for session in await store.sessions.open_sessions()] == ["s99"]
    assert len(await check_sessions(store, "alice")) == 100


async def test_a_caller_may_be_cancelled_at_any_time(store):
    for steps in range(12):
        name = f"c{steps}"
        task = asyncio.ensure_future(begin(store, a_session(name, workspace=name)))
        neighbour = begin(store, a_session(f"n{steps}", workspace=f"n{steps}"))
        waiting = asyncio.ensure_future(neighbour)
        for _ in range(steps):
            await asyncio.sleep(0)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await waiting
        # What was asked before the cancellation is not undone by it, and can be gone on with.
        ended = await store.sessions.end(name, reason="cancelled", at=NOON)
        assert ended == (await store.sessions.get(name) is not None)
    assert len(await store.sessions.open_sessions()) == 12


async def test_two_processes_may_write_at_once(store, url):
    other = await open_store(url)
    try:
        await asyncio.gather(
            *(
                begin(each, a_session(f"{name}{n}", workspace=str(n % 5)))
                for n in range(60)
                for name, each in (("a", store), ("b", other))
            )
        )
        assert len(await check_sessions(other, "alice")) == 120
        assert len(await store.sessions.open_sessions()) == 5
    finally:
        await other.close()


async def test_closing_writes_what_is_waiting(url):
    store = await open_store(url)
    calls = [
        asyncio.ensure_future(begin(store, a_session(f"s{n}", workspace=str(n))))
        for n in range(200)
    ]
    await asyncio.sleep(0)
    await store.close()
    await asyncio.gather(*calls)
    store = await open_store(url)
    assert len(await store.sessions.open_sessions()) == 200
    await store.close()


async def test_a_closed_store_says_so(url):
    store = await open_store(url)
    await store.close()
    await store.close()
    with pytest.raises(StoreError, match="could not open a session: it is closed"):
        await begin(store, a_session())
    with pytest.raises(StoreError, match="closed"):
        await store.sessions.get("s1")
    with pytest.raises(StoreError, match="closed"):
        await store.ping()
