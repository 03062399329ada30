"""
Names are taken by whoever is admitted first, and free again with the server; F3, F36.

Each test ends with the checker of `consistency`: who gets no name reserves nothing.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.lifecycle import State
from eugospawner.policy.quota import Exceeds, Fits, Limit, Resource, Span, Subject, SubjectKind
from eugospawner.store import Wish, Workspace
from eugospawner.store.workspaces import NameTaken
from tests.contract.store.consistency import check_ledger_consistency
from tests.contract.store.values import a_session
from tests.factories.sessions import a_demand

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOON + timedelta(hours=1)


@pytest.fixture(autouse=True)
async def consistent(store):
    yield
    await check_ledger_consistency(store)


async def start(store, number, *, name=None, options=None, limits=(), **changes):
    session = a_session(f"s{number}", **{"admitted_at": NOON} | changes)
    wish = Wish(name=name, options=options or {})
    return await store.sessions.open(session, a_demand(session, limits=limits), wish=wish)


async def names_of(store, owner="alice"):
    return {each.server: each.name for each in await store.workspaces.of_owner(owner)}


async def test_what_was_admitted_is_recorded_and_kept_up_to_date(store):
    await start(store, 1, name="Train", options={"profile": "gpu", "sm_percent": 25})
    await start(store, 2, name="Train v2", options={"profile": "cpu"}, admitted_at=LATER)
    (found,) = await store.workspaces.of_owner("alice")
    assert found == Workspace(
        owner="alice", server="", project=a_session("s").project, name="Train v2",
        options={"profile": "cpu"}, created_at=NOON, changed_at=LATER, id=found.id,
        state=State.STARTING, since=LATER, actor="alice", session_id="s2",
    )  # fmt: skip
    assert len(found.id) == 32
    assert await store.workspaces.of_owner("bob") == ()


async def test_a_name_of_the_project_is_taken_without_regard_to_case(store):
    assert isinstance(await start(store, 1, name="Straße", project="lab"), Fits)
    taken = await start(store, 2, owner="bob", name="STRASSE", project="lab")
    assert taken == NameTaken(free="STRASSE-2")
    assert await store.sessions.get("s2") is None
    assert isinstance(await start(store, 3, owner="bob", name="STRASSE", project="other"), Fits)
    assert isinstance(await start(store, 4, owner="carol", name=taken.free, project="lab"), Fits)
    again = await start(store, 5, owner="dave", name="strasse", project="lab")
    assert again == NameTaken(free="strasse-3")


async def test_the_same_workspace_keeps_its_name_whether_it_says_so_or_not(store):
    await start(store, 1, name="Train")
    assert isinstance(await start(store, 2, name="TRAIN"), Fits)
    assert await names_of(store) == {"": "TRAIN"}
    assert isinstance(await start(store, 3), Fits)
    assert await names_of(store) == {"": "TRAIN"}


async def test_whoever_names_nothing_gets_a_name_that_is_free(store):
    for number, (owner, workspace) in enumerate(
        [("alice", "train"), ("bob", "train"), ("carol", "Train"), ("dave", "")]
    ):
        await start(store, number, owner=owner, workspace=workspace, project="lab")
    found = [await names_of(store, owner) for owner in ("alice", "bob", "carol", "dave")]
    assert found == [{"train": "train"}, {"train": "train-2"}, {"Train": "Train-3"}, {"": "dave"}]


async def test_in_another_project_it_takes_its_name_along_as_far_as_that_is_free(store):
    await start(store, 1, name="Train", project="lab")
    await start(store, 2, owner="bob", name="train", project="other")
    await start(store, 3, project="other")
    assert await names_of(store) == {"": "Train-2"}
    assert isinstance(await start(store, 4, owner="carol", name="train", project="lab"), Fits)


async def test_a_renamed_or_removed_workspace_sets_its_name_free(store):
    await start(store, 1, name="Train")
    await start(store, 2, name="Test")
    assert isinstance(await start(store, 3, workspace="two", name="train"), Fits)
    assert await store.workspaces.remove("alice", "two")
    assert not await store.workspaces.remove("alice", "two")
    assert isinstance(await start(store, 4, workspace="three", name="TRAIN"), Fits)
    assert (await store.sessions.get("s3")) is not None


async def test_what_does_not_fit_takes_no_name(store):
    nothing = Limit(
        key="none", subject=Subject(SubjectKind.USER, "alice"), resource=Resource.GPU,
        span=Span.AT_ONCE, gpu_model=None, amount=0,
    )  # fmt: skip
    assert isinstance(await start(store, 1, name="Train", limits=(nothing,)), Exceeds)
    assert await names_of(store) == {}


async def test_of_many_at_once_exactly_one_gets_a_name_and_all_others_a_free_one(store):
    answers = await asyncio.gather(
        *(start(store, n, owner=f"user{n}", name="Train", project="lab") for n in range(40))
    )
    assert sum(isinstance(answer, Fits) for answer in answers) == 1
    assert {type(answer) for answer in answers} == {Fits, NameTaken}
    await asyncio.gather(
        *(start(store, 100 + n, owner=f"other{n}", workspace="x", project="lab") for n in range(40))
    )
    found = [name for n in range(40) for name in (await names_of(store, f"other{n}")).values()]
    assert sorted(found) == sorted(["x", *(f"x-{n}" for n in range(2, 41))])


async def test_names_with_the_signs_of_a_pattern_are_names(store):
    for number, name in enumerate(["100%", "1000", "a_b", "acb", "back\\slash", "x" * 64]):
        assert isinstance(await start(store, number, owner=f"u{number}", name=name), Fits)
    for number, name in enumerate(["100%", "a_b", "back\\slash"], start=10):
        taken = await start(store, number, owner=f"u{number}", name=name)
        assert taken == NameTaken(free=f"{name}-2")
    taken = await start(store, 20, owner="u20", name="x" * 64)
    assert taken == NameTaken(free="x" * 62 + "-2")


async def test_a_brief_says_who_has_a_name_and_nobody_else(store):
    await start(store, 1, name="Train", project="lab")
    await start(store, 2, owner="bob", name="train-2", project="lab")
    await start(store, 3, owner="carol", name="train", project="other")
    brief = await store.brief(revision=0, name="TRAIN", projects=["lab"], workspaces_of="alice")
    assert brief.holders == {("lab", "train"): ("alice", ""), ("lab", "train-2"): ("bob", "")}
    assert [each.name for each in brief.workspaces] == ["Train"]
    assert (await store.brief(revision=0)).workspaces == ()


async def test_a_name_that_no_database_could_hold_is_refused(store):
    with pytest.raises(StoreError, match="name cannot be stored"):
        await start(store, 1, name="a\0b")
