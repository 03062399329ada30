"""Whatever is done in whatever order: the store agrees with a model, and its promises hold."""

import asyncio
import itertools
from dataclasses import dataclass, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eugospawner.policy.quota import Fits
from eugospawner.store import open_store
from tests.contract.store.values import MINUTE, NOON, a_session, check_sessions
from tests.factories.sessions import a_demand, begin

_examples = itertools.count()

numbers = st.integers(0, 3)
minutes = st.integers(-2, 5)
steps = st.one_of(
    st.tuples(st.just("open"), numbers, st.sampled_from(["", "second"]), minutes),
    st.tuples(st.just("bind"), numbers, st.integers(0, 800), minutes),
    st.tuples(st.just("renew"), numbers, st.integers(1, 900), minutes),
    st.tuples(st.just("end"), numbers, st.sampled_from(["idle", "stopped"]), minutes),
)


@dataclass
class Known:
    workspace: str
    admitted: int
    bound: tuple[int, int] | None = None
    ended: tuple[str, int] | None = None


def foretell(known: dict[int, Known], step: tuple) -> bool | None:
    """Do *step* on the model, as the interface's words say, and return the answer."""
    what, number, value, minute = step
    session = known.get(number)
    if what == "open" and session is None:
        for other in known.values():
            if other.workspace == value and other.ended is None:
                other.ended = ("superseded", max(minute, began(other)))
        known[number] = Known(value, minute)
    if what == "bind" and session and not session.bound and not session.ended:
        session.bound = (value, max(minute, session.admitted))
    if what == "end":
        if session is None or session.ended:
            return False
        session.ended = (value, max(minute, began(session)))
        return True
    return None


def began(session: Known) -> int:
    return session.bound[1] if session.bound else session.admitted


async def perform(store, owner: str, step: tuple) -> bool | None:
    what, number, value, minute = step
    at, name = NOON + minute * MINUTE, f"{owner}-{number}"
    if what == "open":
        new = replace(a_session(name), owner=owner, workspace=value, admitted_at=at)
        assert isinstance(await begin(store, new), Fits)
        return None
    if what == "bind":
        if await store.sessions.get(name) is None:
            return None
        await store.sessions.bind(name, granted_percent=value, at=at)
        return None
    if what == "renew":  # no answer of the model's depends on deadlines; the checker follows them
        new = replace(a_session(name), owner=owner)
        demand = a_demand(new, latest_end=NOON + value * MINUTE)
        await store.sessions.renew({name: demand}, at=at)
        return None
    return await store.sessions.end(name, reason=value, at=at)


@pytest.fixture(scope="session")
def shared_url(new_url):
    return new_url(migrated=True)


@settings(max_examples=60, deadline=None)
@given(history=st.lists(steps, max_size=14))
def test_one_after_another_as_the_model(shared_url, history):
    async def run():
        store, owner = await open_store(shared_url), f"owner-{next(_examples)}"
        known: dict[int, Known] = {}
        try:
            for step in history:
                assert await perform(store, owner, step) == foretell(known, step)
            found = {
                int(session.id.rpartition("-")[2]): session
                for session in await check_sessions(store, owner)
            }
        finally:
            await store.close()
        assert {number: told(session) for number, session in found.items()} == known

    asyncio.run(run())


def told(session) -> Known:
    def minute(at) -> int:
        return round((at - NOON) / MINUTE)

    return Known(
        session.workspace,
        minute(session.admitted_at),
        session.bound_at and (session.granted_percent, minute(session.bound_at)),
        session.ended_at and (session.end_reason, minute(session.ended_at)),
    )


@settings(max_examples=40, deadline=None)
@given(history=st.lists(steps, max_size=40))
def test_all_at_once_and_each_session_ended_once(shared_url, history):
    async def run():
        store, owner = await open_store(shared_url), f"owner-{next(_examples)}"
        try:
            answers = await asyncio.gather(*(perform(store, owner, step) for step in history))
            every = await check_sessions(store, owner)
        finally:
            await store.close()
        ended = [step[1] for step, answer in zip(history, answers, strict=True) if answer is True]
        assert len(ended) == len(set(ended)), "two callers were told that they ended a session"
        by_us = [s for s in every if s.ended_at is not None and s.end_reason != "superseded"]
        assert {int(session.id.rpartition("-")[2]) for session in by_us} == set(ended)

    asyncio.run(run())
