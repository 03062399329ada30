import asyncio

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.volumes import Volume
from tests.contract.store.values import NOON

DATA = Volume(key="data", claim_name="volume-1", size_bytes=10 * 2**30)


async def test_an_owner_without_volumes_has_none(store):
    assert await store.volumes.of_owner("alice") == {}


async def test_volumes_come_back_by_key_to_their_owner_only(store):
    other = Volume(key="a-first", claim_name="volume-2", size_bytes=1)
    await store.volumes.add("alice", DATA, at=NOON)
    await store.volumes.add("alice", other, at=NOON)
    kept = await store.volumes.of_owner("alice")
    assert kept == {"a-first": other, "data": DATA}
    assert list(kept) == ["a-first", "data"]
    assert await store.volumes.of_owner("bob") == {}


async def test_two_owners_may_use_the_same_key(store):
    theirs = Volume(key="data", claim_name="volume-2", size_bytes=1)
    await store.volumes.add("alice", DATA, at=NOON)
    await store.volumes.add("bob", theirs, at=NOON)
    assert await store.volumes.of_owner("bob") == {"data": theirs}


async def test_adding_again_changes_nothing(store):
    larger = Volume(key="data", claim_name="volume-1", size_bytes=2**40)
    await store.volumes.add("alice", DATA, at=NOON)
    await store.volumes.add("alice", larger, at=NOON)
    assert await store.volumes.of_owner("alice") == {"data": DATA}


async def test_new_volumes_stop_where_the_limit_is_and_those_that_exist_stay(store):
    def volume(key):
        return Volume(key=key, claim_name=f"volume-{key}", size_bytes=10)

    async def add(key, most_bytes, owner="alice"):
        return await store.volumes.add(owner, volume(key), at=NOON, most_bytes=most_bytes)

    assert await add("a", 20)
    assert await add("b", 20)
    assert not await add("c", 20)
    assert await add("a", 20)
    assert await add("b", 0), "it exists"
    assert await add("c", 30)
    assert not await add("d", 30)
    assert list(await store.volumes.of_owner("alice")) == ["a", "b", "c"]
    assert not await store.volumes.add("bob", volume("e"), at=NOON, most_bytes=9)
    assert await store.volumes.add("bob", volume("e"), at=NOON, most_bytes=10)


async def test_of_many_new_volumes_at_once_as_many_are_made_as_fit(store):
    added = await asyncio.gather(
        *(
            store.volumes.add(
                owner,
                Volume(key=f"v{n}", claim_name=f"{owner}-{n}", size_bytes=10),
                at=NOON,
                most_bytes=most,
            )
            for n in range(40)
            for owner, most in (("alice", 70), ("bob", None), ("carol", 0))
        )
    )
    assert sum(added) == 7 + 40
    assert len(await store.volumes.of_owner("alice")) == 7
    assert len(await store.volumes.of_owner("carol")) == 0


async def test_a_claim_belongs_to_one_volume_only(store):
    await store.volumes.add("alice", DATA, at=NOON)
    with pytest.raises(StoreError, match=r"'data' of 'bob'.*'volume-1'"):
        await store.volumes.add("bob", DATA, at=NOON)
    assert await store.volumes.of_owner("bob") == {}


async def test_a_volume_keeps_its_claim(store):
    await store.volumes.add("alice", DATA, at=NOON)
    with pytest.raises(StoreError, match="to another claim"):
        await store.volumes.add(
            "alice", Volume(key="data", claim_name="volume-9", size_bytes=1), at=NOON
        )
    assert await store.volumes.of_owner("alice") == {"data": DATA}


async def test_of_two_that_want_a_claim_at_once_one_gets_it(store):
    answers = await asyncio.gather(
        *(store.volumes.add(owner, DATA, at=NOON) for owner in ("alice", "bob")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [bool, StoreError]


@pytest.mark.parametrize("size_bytes", [0, -1, 2**63])
async def test_a_volume_has_a_size(store, size_bytes):
    with pytest.raises(StoreError):
        await store.volumes.add(
            "alice", Volume(key="data", claim_name="c", size_bytes=size_bytes), at=NOON
        )
