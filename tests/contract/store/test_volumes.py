import asyncio

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.storage import StorageLimit
from eugospawner.policy.volumes import Volume
from tests.contract.store.values import NOON

DATA = Volume(key="data", claim_name="volume-1", size_bytes=10 * 2**30)


def user(name):
    return Subject(SubjectKind.USER, name)


def volume(key, owner):
    return Volume(key=key, claim_name=f"{owner}-{key}", size_bytes=10)


def at_most(size_bytes, owner):
    return StorageLimit(quota="", subject=user(owner), size_bytes=size_bytes)


async def add_to(store, owner, new, *payers, limits=()):
    return await store.volumes.add(
        owner, new, payers=[user(owner), *payers], limits=limits, at=NOON
    )


async def test_an_owner_without_volumes_has_none(store):
    assert await store.volumes.of_owner("alice") == {}


async def test_volumes_come_back_by_key_to_their_owner_only(store):
    other = Volume(key="a-first", claim_name="volume-2", size_bytes=1)
    await add_to(store, "alice", DATA)
    await add_to(store, "alice", other)
    kept = await store.volumes.of_owner("alice")
    assert kept == {"a-first": other, "data": DATA}
    assert list(kept) == ["a-first", "data"]
    assert await store.volumes.of_owner("bob") == {}


async def test_two_owners_may_use_the_same_key(store):
    theirs = Volume(key="data", claim_name="volume-2", size_bytes=1)
    await add_to(store, "alice", DATA)
    await add_to(store, "bob", theirs)
    assert await store.volumes.of_owner("bob") == {"data": theirs}


async def test_a_projects_volumes_come_to_whoever_may_mount_them_under_its_name(store):
    shared = Volume(key="data", claim_name="volume-3", size_bytes=7)
    vision = Subject(SubjectKind.PROJECT, "vision")
    await add_to(store, "alice", DATA)
    assert await store.volumes.add("project/vision", shared, payers=[vision], at=NOON)
    of_alice = await store.brief(
        revision=0, subjects=[vision, user("alice")], volumes_of="alice", projects=["vision", "b"]
    )
    assert of_alice.volumes == {"data": DATA, "data@vision": shared}
    assert of_alice.held == {vision: 7, user("alice"): DATA.size_bytes}
    of_bob = await store.brief(revision=0, volumes_of="bob", projects=["b"])
    assert of_bob.volumes == {}
    assert await store.volumes.of_owner("project/vision") == {"data": shared}
    assert await store.volumes.payers_of("project/vision", "data") == (vision,)


async def test_adding_again_changes_nothing(store):
    larger = Volume(key="data", claim_name="volume-1", size_bytes=2**40)
    await add_to(store, "alice", DATA)
    await add_to(store, "alice", larger)
    assert await store.volumes.of_owner("alice") == {"data": DATA}


async def test_new_volumes_stop_where_the_limit_is_and_those_that_exist_stay(store):
    async def add(key, most, owner="alice"):
        return await add_to(store, owner, volume(key, owner), limits=[at_most(most, owner)])

    assert await add("a", 20)
    assert await add("b", 20)
    assert not await add("c", 20)
    assert await add("a", 20)
    assert await add("b", 0), "it exists"
    assert await add("c", 30)
    assert not await add("d", 30)
    assert list(await store.volumes.of_owner("alice")) == ["a", "b", "c"]
    assert not await add("e", 9, "bob")
    assert await add("e", 10, "bob")


async def test_of_many_new_volumes_at_once_as_many_are_made_as_fit(store):
    added = await asyncio.gather(
        *(
            add_to(store, owner, volume(f"v{n}", owner), limits=limits)
            for n in range(40)
            for owner, limits in (
                ("alice", [at_most(70, "alice")]),
                ("bob", []),
                ("carol", [at_most(0, "carol")]),
            )
        )
    )
    assert sum(added) == 7 + 40
    assert len(await store.volumes.of_owner("alice")) == 7
    assert len(await store.volumes.of_owner("carol")) == 0


@pytest.mark.parametrize("kind", [SubjectKind.PROJECT, SubjectKind.GROUP, SubjectKind.ORGANIZATION])
async def test_what_many_share_holds_for_all_of_them_together(store, kind):
    """F99: forty people at once, each with one volume, in a project with room for seven."""
    payers = [
        Subject(SubjectKind.PROJECT, "vision"),
        Subject(SubjectKind.GROUP, "lab"),
        Subject(SubjectKind.ORGANIZATION, "acme"),
    ]
    shared = next(each for each in payers if each.kind is kind)
    limit = StorageLimit(quota="shared", subject=shared, size_bytes=79)
    added = await asyncio.gather(
        *(
            add_to(store, f"user-{n}", volume("data", f"user-{n}"), *payers, limits=[limit])
            for n in range(40)
        )
    )
    assert sum(added) == 7
    brief = await store.brief(revision=0, subjects=[shared, user("user-0")], volumes_of="user-0")
    assert brief.held[shared] == 70
    elsewhere = Subject(kind, "elsewhere")
    assert await add_to(
        store,
        "user-99",
        volume("data", "user-99"),
        elsewhere,
        limits=[StorageLimit(quota="shared", subject=elsewhere, size_bytes=10)],
    )


async def test_what_volumes_have_is_read_for_whoever_pays(store):
    project, group = Subject(SubjectKind.PROJECT, "vision"), Subject(SubjectKind.GROUP, "lab")
    queue = Subject(SubjectKind.QUEUE, "vision")
    await add_to(store, "alice", volume("a", "alice"), project, group)
    await add_to(store, "alice", volume("b", "alice"))
    await add_to(store, "bob", volume("a", "bob"), project)
    asked = [user("alice"), user("bob"), user("carol"), project, group, queue]
    brief = await store.brief(revision=0, subjects=asked, volumes_of="alice")
    assert brief.held == {user("alice"): 20, user("bob"): 10, project: 20, group: 10}
    assert (await store.brief(revision=0, subjects=asked)).held == {}


async def test_a_claim_belongs_to_one_volume_only(store):
    await add_to(store, "alice", DATA)
    with pytest.raises(StoreError, match=r"'data' of 'bob'.*'volume-1'"):
        await add_to(store, "bob", DATA)
    assert await store.volumes.of_owner("bob") == {}


async def test_a_volume_keeps_its_claim(store):
    await add_to(store, "alice", DATA)
    with pytest.raises(StoreError, match="to another claim"):
        await add_to(store, "alice", Volume(key="data", claim_name="volume-9", size_bytes=1))
    assert await store.volumes.of_owner("alice") == {"data": DATA}


async def test_of_two_that_want_a_claim_at_once_one_gets_it(store):
    answers = await asyncio.gather(
        *(add_to(store, owner, DATA) for owner in ("alice", "bob")),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [bool, StoreError]


@pytest.mark.parametrize("size_bytes", [0, -1, 2**63])
async def test_a_volume_has_a_size(store, size_bytes):
    with pytest.raises(StoreError):
        await add_to(store, "alice", Volume(key="data", claim_name="c", size_bytes=size_bytes))
