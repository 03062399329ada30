"""A volume grows as far as there is room, exactly, and whoever dies over it leaves it to the next (F83)."""

import asyncio
from datetime import UTC, datetime

import pytest

from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.storage import StorageLimit
from eugospawner.policy.volumes import HOME, Volume
from eugospawner.store.resizes import Resize

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
GIB = 1 << 30
ALICE = Subject(SubjectKind.USER, "alice")
VISION = Subject(SubjectKind.PROJECT, "vision")
LIMITS = (
    StorageLimit(quota="", subject=ALICE, size_bytes=50 * GIB),
    StorageLimit(quota="vision-storage", subject=VISION, size_bytes=40 * GIB),
)


def a_resize(size=20, former=10, volume="data", owner="alice"):
    return Resize(
        owner=owner, volume=volume, size_bytes=size * GIB, former_bytes=former * GIB, actor="ada",
        at=NOON,
    )  # fmt: skip


async def has(store, key="data", size=10, owner="alice"):
    await store.volumes.add(
        owner,
        Volume(key=key, claim_name=f"c-{owner}-{key}", size_bytes=size * GIB),
        payers=[Subject(SubjectKind.USER, owner), VISION],
        at=NOON,
    )


async def size(store, key="data", owner="alice"):
    return (await store.volumes.of_owner(owner))[key].size_bytes // GIB


async def lines(store, what="volume.alice/data"):
    found = await store.audit.lines(about=what)
    return [(each.actor, each.action, each.reason, each.detail) for each in reversed(found)]


async def test_it_counts_with_its_new_size_at_once_and_is_wished_until_it_was_told(store):
    await has(store)
    assert await store.resizes.wish(a_resize(), limits=LIMITS) == ()
    assert await size(store) == 20
    assert await store.resizes.wished() == (a_resize(),)
    await store.resizes.told(a_resize())
    assert await store.resizes.wished() == ()
    assert await size(store) == 20
    told = {"from": 10 * GIB, "to": 20 * GIB}
    assert await lines(store) == [("ada", "resize-volume", "", told)]


async def test_without_room_it_says_which_limit_leaves_none_and_nothing_changes(store):
    await has(store)
    await has(store, "more", 25)
    assert await store.resizes.wish(a_resize(16), limits=LIMITS) == (LIMITS[1],)
    assert await store.resizes.wish(a_resize(26), limits=LIMITS) == LIMITS
    assert await size(store) == 10
    assert await store.resizes.wished() == ()
    assert await lines(store) == []
    assert await store.resizes.wish(a_resize(15), limits=LIMITS) == ()


async def test_what_kubernetes_refuses_has_its_former_size(store):
    await has(store)
    await store.resizes.wish(a_resize(20))
    await store.resizes.wish(a_resize(30, former=20))
    assert (await store.resizes.wished())[0].former_bytes == 10 * GIB
    await store.resizes.refused(a_resize(20), "volume-fixed", at=NOON)  # an earlier wish
    assert await size(store) == 30
    await store.resizes.refused(a_resize(30), "volume-fixed", at=NOON)
    await store.resizes.refused(a_resize(30), "volume-fixed", at=NOON)
    assert await size(store) == 10
    assert await store.resizes.wished() == ()
    assert [line[1:3] for line in await lines(store)] == [
        ("resize-volume", ""), ("resize-volume", ""), ("resize-refused", "volume-fixed"),
    ]  # fmt: skip


async def test_what_is_refused_counts_as_before_whatever_room_its_disk_has(store):
    await has(store)
    await store.resizes.wish(a_resize(20, former=16))  # its StorageClass rounds up
    await store.resizes.refused(a_resize(20), "volume-fixed", at=NOON)
    assert await size(store) == 10


async def test_a_home_counts_for_nobody_and_is_told_of_all_the_same(store):
    resize = a_resize(volume=HOME)
    assert await store.resizes.wish(resize, limits=LIMITS) == ()
    assert await store.resizes.wished() == (resize,)
    await store.resizes.refused(resize, "volume-fixed", at=NOON)
    assert await store.resizes.wished() == ()
    assert [line[1] for line in await lines(store, "volume.alice/~")] == [
        "resize-volume", "resize-refused",
    ]  # fmt: skip


@pytest.mark.parametrize("former", [None, 30])
async def test_one_that_is_gone_or_larger_by_now_is_not_resized(store, former):
    if former is not None:
        await has(store, size=former)
    assert await store.resizes.wish(a_resize(), limits=LIMITS) is None
    assert await store.resizes.wished() == ()


async def test_of_many_at_once_as_many_grow_as_there_is_room_for(store):
    for number in range(20):
        await has(store, f"v{number}", 1)
    wishes = [a_resize(3, former=1, volume=f"v{number}") for number in range(20)]
    found = await asyncio.gather(*(store.resizes.wish(each, limits=LIMITS[1:]) for each in wishes))
    assert found.count(()) == 10  # 20 GiB and ten times 2 more
    assert sum([await size(store, f"v{number}") for number in range(20)]) == 40
