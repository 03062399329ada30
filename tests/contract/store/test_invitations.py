"""An invitation is redeemed once, by its link or its address, until it ends (F111)."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store.invitations import Invitation

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
WEEK = timedelta(days=7)


def invitation(identifier="a", **changes):
    return replace(
        Invitation(
            id=identifier,
            email="jane@example.org",
            organization="acme",
            roles=("member",),
            quotas=({"gpu_model": "A100", "gpu_hours": 8, "per": "day"},),
            created_by="alice",
            created_at=NOON,
            expires_at=NOON + WEEK,
        ),
        **changes,
    )


async def add(store, identifier="a", token_hash=None, **changes):
    found = invitation(identifier, **changes)
    await store.invitations.add(found, token_hash=token_hash or f"hash-{identifier}")
    return found


async def redeem(store, username="jane", at=NOON, changes=None, **words):
    """Redeem the first that is open for somebody; return its name, or nothing."""
    values = {"organization": "", "email": "", "token_hash": ""} | words
    for each in await store.invitations.open_for(**values, at=at):
        revision = max((change.revision for change in await store.changes.since(0)), default=0)
        if await store.invitations.redeem(
            each.id, username, at=at, changes=changes or {}, expected=revision, reason="invited"
        ):
            return [each.id]
    return []


async def lines(store, identifier="a"):
    found = await store.audit.lines(about=f"invitations.{identifier}")
    return [(each.actor, each.action) for each in reversed(found)]


async def test_it_comes_back_as_it_was_recorded(store):
    made = await add(store)
    assert await store.invitations.find("a") == made
    assert await store.invitations.find("b") is None
    assert await store.invitations.of_organization("acme") == (made,)
    assert await store.invitations.of_organization(None) == (made,)
    assert await store.invitations.of_organization("umbrella") == ()
    assert await lines(store) == [("alice", "invite")]


@pytest.mark.parametrize(
    ("words", "redeemed"),
    [
        ({"email": "jane@example.org"}, True),
        ({"token_hash": "hash-a"}, True),
        ({"email": "other@example.org", "token_hash": "hash-a"}, True),
        ({"email": "jane@example.org", "organization": "acme"}, True),
        ({"email": "other@example.org"}, False),
        ({"email": "jane@example.org", "organization": "umbrella"}, False),
        ({"token_hash": "hash-b"}, False),
        ({"email": "jane@example.org", "at": NOON + WEEK}, False),
        ({"email": "jane@example.org", "at": NOON + WEEK - timedelta(seconds=1)}, True),
        ({}, False),
    ],
)
async def test_it_is_for_the_link_or_the_address_until_it_ends(store, words, redeemed):
    await add(store)
    assert await redeem(store, **words) == (["a"] if redeemed else [])
    assert [each.id for each in await store.invitations.of_person("jane")] == (
        ["a"] if redeemed else []
    )
    assert len(await lines(store)) == (2 if redeemed else 1)


async def test_it_is_redeemed_once(store):
    await add(store)
    assert await redeem(store, "jane", token_hash="hash-a") == ["a"]
    assert await redeem(store, "omar", token_hash="hash-a", email="jane@example.org") == []
    assert await redeem(store, "jane", token_hash="hash-a") == []
    found = await store.invitations.find("a")
    assert (found.redeemed_by, found.redeemed_at, found.status(NOON)) == ("jane", NOON, "redeemed")
    assert await store.invitations.find_open("hash-a", NOON) is None


async def test_of_many_at_once_one_redeems_it(store):
    await add(store)
    found = await asyncio.gather(
        *(redeem(store, f"user-{number}", token_hash="hash-a") for number in range(40))
    )
    assert sum(map(bool, found)) == 1


async def test_nobody_is_brought_into_two_organizations(store):
    await add(store, "a", organization="acme")
    await add(store, "b", organization="umbrella", created_at=NOON - WEEK)
    await add(store, "c", organization="umbrella", created_at=NOON - WEEK, roles=("admin",))
    assert await redeem(store, email="jane@example.org", token_hash="hash-a") == ["a"]
    assert await redeem(store, organization="acme", email="jane@example.org") == []
    assert await redeem(store, "omar", email="jane@example.org") == ["b"]
    assert await redeem(store, "omar", organization="umbrella", email="jane@example.org") == ["c"]


async def test_what_it_gives_is_written_with_it_or_not_at_all(store):
    """A crash between the two would leave somebody with a spent link and nothing."""
    await add(store)
    entry = {("people", "jane"): {"organization": "acme"}}
    stale = {"at": NOON, "changes": entry, "expected": 7, "reason": "invited by alice"}
    assert not await store.invitations.redeem("a", "jane", **stale)
    assert (await store.invitations.find("a")).status(NOON) == "open"
    assert await store.changes.since(0) == ()
    assert await redeem(store, token_hash="hash-a", changes=entry) == ["a"]
    (change,) = await store.changes.since(0)
    assert (change.section, change.key, change.document) == (
        "people", "jane", {"organization": "acme"},
    )  # fmt: skip
    (line,) = await store.audit.lines(about="people.jane")
    assert (line.actor, line.action, line.reason) == ("jane", "change", "invited")
    assert not await store.invitations.redeem("a", "omar", **stale | {"expected": change.revision})
    assert len(await store.changes.since(0)) == 1


async def test_another_link_makes_the_first_one_useless(store):
    await add(store)
    renewed = {"expires_at": NOON + 2 * WEEK, "actor": "alice", "at": NOON}
    assert await store.invitations.renew("a", token_hash="second", **renewed)
    assert await store.invitations.find_open("hash-a", NOON) is None
    assert (await store.invitations.find_open("second", NOON + WEEK)).id == "a"
    assert await redeem(store, token_hash="hash-a") == []
    assert await redeem(store, token_hash="second") == ["a"]
    assert not await store.invitations.renew("a", token_hash="third", **renewed)


async def test_what_is_revoked_is_redeemed_by_nobody_and_counts_no_more(store):
    await add(store, "a")
    await add(store, "b")
    assert await redeem(store, token_hash="hash-b") == ["b"]
    for identifier in "ab":
        assert (await store.invitations.revoke(identifier, actor="alice", at=NOON)).id == identifier
        assert await store.invitations.revoke(identifier, actor="alice", at=NOON) is None
    assert await store.invitations.revoke("none", actor="alice", at=NOON) is None
    assert await redeem(store, token_hash="hash-a", email="jane@example.org") == []
    assert await store.invitations.of_person("jane") == ()
    assert (await store.invitations.find("a")).status(NOON) == "revoked"
    assert await lines(store, "b") == [("alice", "invite"), ("jane", "redeem"), ("alice", "revoke")]


async def test_whether_the_link_was_sent_is_known(store):
    await add(store)
    await store.invitations.sent("a", at=NOON, problem="the server is away")
    found = await store.invitations.find("a")
    assert (found.sent_at, found.problem) == (None, "the server is away")
    await store.invitations.sent("a", at=NOON, problem="")
    found = await store.invitations.find("a")
    assert (found.sent_at, found.problem) == (NOON, "")


async def test_the_token_stands_nowhere(store):
    """Who reads the database finds no link that works."""
    await add(store, token_hash="hash-of-it")
    found = await store.invitations.find("a")
    assert "hash-of-it" not in repr(found)
    assert "hash-of-it" not in repr(await store.audit.lines(about="invitations.a"))


async def test_what_no_database_keeps_is_refused_at_the_door(store):
    with pytest.raises(StoreError, match="email"):
        await add(store, email="a\0b")
    with pytest.raises(StoreError, match="token_hash"):
        await redeem(store, token_hash="\0")
