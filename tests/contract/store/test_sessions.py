import asyncio
from dataclasses import asdict, replace
from datetime import datetime, timedelta, timezone

import pytest

from eugospawner.policy.catalog import Kind
from eugospawner.policy.errors import StoreError
from tests.contract.store.values import MINUTE, NOON, a_session, check_sessions
from tests.factories.sessions import a_demand, begin


async def test_what_was_opened_comes_back_as_it_was(store):
    new = a_session(kind=Kind.VSCODE, workspace="tö 🐍")
    await begin(store, new)
    session = await store.sessions.get("s1")
    known = {
        "ends_at": NOON.replace(microsecond=123_000) + timedelta(hours=8),
        "ends_because": "max-session",
        "zone": "Europe/Berlin",
        "reserved_from": NOON.replace(microsecond=123_000),
        "bound_at": None,
        "granted_percent": None,
        "ended_at": None,
        "end_reason": None,
        "active_at": None,
        "kept_at": None,
        "extended_ms": 0,
        "stop_at": None,
        "stop_reason": None,
        "stop_by": None,
        "problem": None,
    }
    assert asdict(session) == asdict(new) | known
    assert session.kind is Kind.VSCODE


async def test_a_session_without_gpu_is_one_too(store):
    new = a_session(gpu_model=None, gpu_count=0, sm_percent=100, requested_percent=0)
    await begin(store, new)
    assert (await store.sessions.get("s1")).gpu_model is None


async def test_times_come_back_in_utc_to_the_microsecond(store):
    berlin = timezone(timedelta(hours=1))
    await begin(store, a_session(admitted_at=NOON.astimezone(berlin)))
    admitted_at = (await store.sessions.get("s1")).admitted_at
    assert admitted_at == NOON
    assert admitted_at.utcoffset() == timedelta(0)


async def test_an_unknown_session_is_none(store):
    assert await store.sessions.get("nobody's") is None


async def test_opening_again_changes_nothing(store):
    await begin(store, a_session())
    await begin(store, a_session(image="another"))
    session = await store.sessions.get("s1")
    assert session.image == a_session().image
    assert session.ended_at is None


async def test_the_next_session_of_a_workspace_supersedes_the_one_before(store):
    await begin(store, a_session("s1"))
    await begin(store, a_session("s2", admitted_at=NOON + MINUTE))
    first = await store.sessions.get("s1")
    assert (first.end_reason, first.ended_at) == ("superseded", NOON + MINUTE)
    assert [session.id for session in await store.sessions.open_sessions()] == ["s2"]


async def test_other_workspaces_and_owners_are_not_superseded(store):
    await begin(store, a_session("s1"))
    await begin(store, a_session("s2", workspace="second"))
    await begin(store, a_session("s3", owner="bob"))
    assert len(await store.sessions.open_sessions()) == 3


async def test_a_late_repetition_does_not_end_the_successor(store):
    await begin(store, a_session("s1"))
    await begin(store, a_session("s2", admitted_at=NOON + MINUTE))
    await begin(store, a_session("s1"))
    assert [session.id for session in await store.sessions.open_sessions()] == ["s2"]


async def test_binding_records_what_the_allocation_consumes_once(store):
    await begin(store, a_session())
    await store.sessions.bind("s1", granted_percent=30, at=NOON + MINUTE)
    await store.sessions.bind("s1", granted_percent=99, at=NOON + 2 * MINUTE)
    session = await store.sessions.get("s1")
    assert (session.granted_percent, session.bound_at) == (30, NOON + MINUTE)
    assert session.requested_percent == 25


async def test_a_session_that_ended_is_not_bound_any_more(store):
    await begin(store, a_session())
    await store.sessions.end("s1", reason="stopped", at=NOON + MINUTE)
    await store.sessions.bind("s1", granted_percent=30, at=NOON + 2 * MINUTE)
    assert (await store.sessions.get("s1")).bound_at is None


async def test_binding_what_was_never_opened_is_an_error(store):
    with pytest.raises(StoreError, match=r"no session 'ghost'.*open it first"):
        await store.sessions.bind("ghost", granted_percent=30, at=NOON)


async def test_the_first_reason_wins(store):
    await begin(store, a_session())
    assert await store.sessions.end("s1", reason="idle", at=NOON + MINUTE) is True
    assert await store.sessions.end("s1", reason="stopped", at=NOON + 2 * MINUTE) is False
    session = await store.sessions.get("s1")
    assert (session.end_reason, session.ended_at) == ("idle", NOON + MINUTE)


async def test_ending_what_is_unknown_is_false(store):
    assert await store.sessions.end("ghost", reason="stopped", at=NOON) is False


async def test_of_many_that_end_a_session_at_once_one_did(store):
    await begin(store, a_session())
    answers = await asyncio.gather(
        *(store.sessions.end("s1", reason=f"r{n}", at=NOON) for n in range(20))
    )
    assert answers.count(True) == 1
    assert (await store.sessions.get("s1")).end_reason == f"r{answers.index(True)}"


async def test_a_clock_that_went_back_ends_nothing_before_it_began(store):
    await begin(store, a_session("s1"))
    await store.sessions.bind("s1", granted_percent=25, at=NOON - MINUTE)
    await begin(store, a_session("s2", admitted_at=NOON - MINUTE))
    first = await store.sessions.get("s1")
    assert (first.bound_at, first.ended_at) == (NOON, NOON)
    await store.sessions.end("s2", reason="stopped", at=NOON - 2 * MINUTE)
    assert (await store.sessions.get("s2")).ended_at == NOON - MINUTE
    await check_sessions(store, "alice")


async def test_history_is_newest_first_and_limited(store):
    for n in range(5):
        at = NOON + n * MINUTE
        await begin(store, a_session(f"s{n}", workspace="ab"[n % 2], admitted_at=at))
    ids = [session.id for session in await store.sessions.history("alice")]
    assert ids == ["s4", "s3", "s2", "s1", "s0"]
    assert [s.id for s in await store.sessions.history("alice", "b")] == ["s3", "s1"]
    assert [s.id for s in await store.sessions.history("alice", limit=2)] == ["s4", "s3"]
    assert await store.sessions.history("bob") == ()
    with pytest.raises(StoreError, match="at least one"):
        await store.sessions.history("alice", limit=0)


IMPOSSIBLE = {
    "no share of a GPU": {"sm_percent": 0},
    "more than a GPU": {"sm_percent": 101},
    "a GPU of no model": {"gpu_model": None},
    "less than no GPU": {"gpu_count": -1, "gpu_model": None},
    "a negative charge": {"requested_percent": -1},
    "more bytes than 64 bits": {"memory_bytes": 2**63},
    "a naive time": {"admitted_at": NOON.replace(tzinfo=None)},
    "a time out of this world": {
        "admitted_at": datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
    },
    "NUL in a text": {"workspace": "a\0b"},
    "half a surrogate pair": {"workspace": "\ud83d"},
    "an endless text": {"image": "i" * 513},
    "an unknown kind": {"kind": "emacs"},
    "no owner": {"owner": None},
}


@pytest.mark.parametrize("changes", IMPOSSIBLE.values(), ids=IMPOSSIBLE.keys())
async def test_the_store_takes_no_session_with(store, changes):
    with pytest.raises(StoreError):
        await store.sessions.open(a_session(**changes), a_demand(a_session()))
    assert await store.sessions.get("s1") is None
    await check_sessions(store, "alice")


async def test_hostile_text_is_only_text(store):
    for n, text in enumerate(
        ["'; DROP TABLE sessions; --", "%s", ":id", "\\", "\n", "İ", "𝒳" * 512]
    ):
        await begin(store, replace(a_session(f"s{n}"), owner=text))
        assert [session.id for session in await store.sessions.history(text)] == [f"s{n}"]
