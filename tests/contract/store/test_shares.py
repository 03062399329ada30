"""A share holds its document as it was, until it ends or is taken back (F88)."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store.shares import MOST, Share

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
DAY = timedelta(days=1)
DOCUMENT = bytes(range(256)) * 10


def a_share(identifier="a", **changes):
    return replace(
        Share(
            id=identifier, owner="alice", server="lab", creator="alice",
            notebook="home/" + "deep/" * 200 + "a.ipynb", form="html", name="a.html",
            people=("bob", "carol"), groups=("lab",), organization="acme",
            size_bytes=len(DOCUMENT), created_at=NOON, expires_at=NOON + DAY,
        ),
        **changes,
    )  # fmt: skip


async def actions(store):
    found = await store.audit.lines(about="workspace.alice/lab")
    return [(each.actor, each.action) for each in reversed(found)]


async def test_it_comes_back_with_its_document(store):
    await store.shares.add(a_share(), DOCUMENT)
    assert await store.shares.get("a") == a_share()
    assert await store.shares.document("a") == DOCUMENT
    assert await store.shares.of_creator("alice") == (a_share(),)
    assert await store.shares.of_creator("bob") == ()
    assert await store.shares.get("b") is None
    assert await store.shares.document("b") is None
    assert await actions(store) == [("alice", "share")]
    with pytest.raises(StoreError):
        await store.shares.add(a_share(), DOCUMENT)


async def test_all_that_can_be_read_is_there_however_much_it_is(store):
    """Whoever reads is not the one who knows which of them are theirs."""
    for number in range(MOST + 5):
        await store.shares.add(a_share(f"s{number:04}", creator=f"c{number}"), b"")
    assert len(await store.shares.open_shares(NOON)) == MOST + 5


async def test_what_is_taken_back_is_gone_with_its_document(store):
    await store.shares.add(a_share(), DOCUMENT)
    revoked = await store.shares.revoke("a", actor="root", at=NOON)
    assert (revoked.revoked_by, revoked.is_open(NOON)) == ("root", False)
    assert await store.shares.document("a") is None
    assert await store.shares.revoke("a", actor="root", at=NOON) is None
    assert await store.shares.revoke("b", actor="root", at=NOON) is None
    assert await actions(store) == [("alice", "share"), ("root", "revoke-share")]


async def test_it_ends_by_itself_to_the_millisecond_and_its_document_is_taken_away(store):
    await store.shares.add(a_share("a"), DOCUMENT)
    await store.shares.add(a_share("b", expires_at=NOON + 2 * DAY), DOCUMENT)
    end = NOON + DAY
    assert a_share().is_open(end - timedelta(milliseconds=1))
    assert not a_share().is_open(end)
    assert [each.id for each in await store.shares.open_shares(end)] == ["b"]
    assert await store.shares.clear(end) == 1
    assert await store.shares.clear(end) == 0
    assert await store.shares.document("a") is None
    assert await store.shares.document("b") == DOCUMENT
