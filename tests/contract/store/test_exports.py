"""An export goes from the wish to the last download, and is taken back at any time (F85, L8)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store.exports import MOST, Export, Standing

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
MILLISECOND = timedelta(milliseconds=1)


def an_export(identifier="a", **changes):
    return replace(
        Export(
            id=identifier,
            owner="alice",
            server="lab",
            creator="alice",
            choice={"home": {"folder": "", "notebooks": True}},
            name="alice-lab-2026-11-27.zip",
            secret="5ec7e7",
            created_at=NOON,
        ),
        **changes,
    )


async def ready(store, identifier="a", expires_at=NOON + HOUR):
    return await store.exports.ready(
        identifier, files=3, size_bytes=1200, summary={"skipped": {}}, expires_at=expires_at
    )


async def actions(store):
    found = await store.audit.lines(about="workspace.alice/lab")
    return [(each.actor, each.action) for each in reversed(found)]


async def test_it_comes_back_as_it_was_recorded_with_a_line_in_the_audit(store):
    made = an_export()
    assert await store.exports.add(made)
    assert await store.exports.get("a") == made
    assert await store.exports.get("b") is None
    assert await actions(store) == [("alice", "export")]
    assert "5ec7e7" not in repr(made)
    with pytest.raises(StoreError):
        await store.exports.add(made)


async def test_it_is_ready_until_its_end_and_not_a_moment_longer(store):
    await store.exports.add(an_export())
    assert await ready(store)
    found = await store.exports.get("a")
    assert (found.files, found.size_bytes, found.summary) == (3, 1200, {"skipped": {}})
    assert found.standing(NOON + HOUR - MILLISECOND) is Standing.READY
    assert found.standing(NOON + HOUR) is Standing.EXPIRED
    assert not await ready(store), "only once"
    assert not await store.exports.failed("a", "too late")


async def test_what_was_revoked_is_never_ready_again(store):
    await store.exports.add(an_export())
    revoked = await store.exports.revoke("a", actor="root", at=NOON)
    assert revoked.standing(NOON) is Standing.REVOKED
    assert (revoked.revoked_at, revoked.revoked_by) == (NOON, "root")
    assert await store.exports.revoke("a", actor="root", at=NOON) is None
    assert await store.exports.revoke("b", actor="root", at=NOON) is None
    assert not await ready(store)
    assert not await store.exports.failed("a", "too late")
    assert await actions(store) == [("alice", "export"), ("root", "revoke-export")]


async def test_what_failed_says_why(store):
    await store.exports.add(an_export())
    assert await store.exports.failed("a", "The volume is elsewhere.")
    found = await store.exports.get("a")
    assert (found.standing(NOON), found.problem) == (Standing.FAILED, "The volume is elsewhere.")


async def test_what_is_long_or_strange_is_kept_all_the_same(store):
    folder = "d" * 1000
    strange = {"listed": [{"path": "\0\ud800\u202e" + "x" * 5000}] * 500}
    await store.exports.add(an_export(choice={"home": {"folder": folder, "notebooks": False}}))
    await store.exports.add(an_export("b"))
    assert await store.exports.ready(
        "a", files=1, size_bytes=1, summary=strange, expires_at=NOON + HOUR
    )
    found = await store.exports.get("a")
    assert found.choice["home"]["folder"] == folder
    assert found.summary == strange
    assert await store.exports.failed("b", "Kubernetes says: " + "much " * 1000)
    assert (await store.exports.get("b")).problem.startswith("Kubernetes says: much")


async def test_nobody_has_more_at_a_time_than_they_may_whoever_asks_at_once(store):
    given = await asyncio.gather(
        *(store.exports.add(an_export(f"e{number}"), most=3) for number in range(12))
    )
    assert sum(given) == 3
    assert len(await store.exports.alive(NOON)) == 3
    assert await store.exports.add(an_export("bob's", creator="bob"), most=3)
    first = (await store.exports.of_creator("alice"))[0].id
    # However many have been taken back since: the first three are good.
    for number in range(MOST + 5):
        await store.exports.revoke(first, actor="alice", at=NOON)
        first = f"later{number}"
        assert await store.exports.add(
            an_export(first, created_at=NOON + number * MILLISECOND), most=3
        )
    assert not await store.exports.add(an_export("more", created_at=NOON + HOUR), most=3)


async def test_downloads_are_counted(store):
    await store.exports.add(an_export())
    await ready(store)
    for minutes in (1, 2):
        await store.exports.downloaded("a", at=NOON + timedelta(minutes=minutes))
    found = await store.exports.get("a")
    assert (found.downloads, found.downloaded_at) == (2, NOON + timedelta(minutes=2))


async def test_alive_are_those_that_somebody_may_still_fetch(store):
    for number, identifier in enumerate("abcde"):
        await store.exports.add(an_export(identifier, created_at=NOON + timedelta(seconds=number)))
    await ready(store, "b")
    await ready(store, "c", expires_at=NOON + MILLISECOND)
    await store.exports.failed("d", "No.")
    await store.exports.revoke("e", actor="alice", at=NOON)
    assert [each.id for each in await store.exports.alive(NOON)] == ["a", "b", "c"]
    assert [each.id for each in await store.exports.alive(NOON + MILLISECOND)] == ["a", "b"]


async def test_each_sees_what_they_took_the_newest_first(store):
    await store.exports.add(an_export("a"))
    await store.exports.add(an_export("b", created_at=NOON + HOUR))
    await store.exports.add(an_export("c", creator="root"))
    assert [each.id for each in await store.exports.of_creator("alice")] == ["b", "a"]
    assert [each.id for each in await store.exports.of_creator("bob")] == []
