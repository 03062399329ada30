"""What volumes hold is known for good, and who has to be measured again is found (F84, F86)."""

from datetime import UTC, datetime, timedelta

from eugospawner.policy.lifecycle import State
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.volumes import HOME, Volume
from eugospawner.store import Wish
from eugospawner.store.measures import Measure
from eugospawner.store.workspaces import NewWorkspace
from tests.contract.store.values import a_session
from tests.factories.sessions import a_demand

NOON = datetime(2026, 11, 27, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
GIB = 1 << 30


def a_measure(owner="alice", volume=HOME, **words):
    values = {
        "capacity_bytes": 10 * GIB, "used_bytes": 9 * GIB, "free_bytes": GIB, "files": 7,
        "summary": {"folders": [{"path": "\udcff", "bytes": 1}]}, "measured_at": NOON,
    }  # fmt: skip
    return Measure(owner=owner, volume=volume, **values | words)


async def wanted(store, limit=10):
    return [(each.owner, each.volume) for each in await store.measures.wanted(limit=limit)]


async def test_it_is_wanted_until_it_is_measured_and_keeps_its_turn(store):
    await store.measures.want("alice", HOME, at=NOON + MINUTE)
    await store.measures.want("bob", "data", at=NOON)
    await store.measures.want("alice", HOME, at=NOON - MINUTE)
    assert await wanted(store) == [("bob", "data"), ("alice", HOME)]
    assert await wanted(store, limit=1) == [("bob", "data")]
    await store.measures.measured(a_measure())
    assert await wanted(store) == [("bob", "data")]
    found = (await store.measures.of_owner("alice"))[HOME]
    assert found == a_measure(looked_at=NOON)


async def test_a_try_that_fails_leaves_the_amounts_and_says_why(store):
    await store.measures.want("alice", HOME, at=NOON)
    await store.measures.measured(a_measure())
    await store.measures.want("alice", HOME, at=NOON + MINUTE)
    await store.measures.failed("alice", HOME, "no Node " * 100, at=NOON + 2 * MINUTE)
    found = (await store.measures.of_owner("alice"))[HOME]
    assert (found.used_bytes, found.measured_at) == (9 * GIB, NOON)
    assert found.looked_at == NOON + 2 * MINUTE
    assert found.problem.startswith("no Node")
    assert len(found.problem) == 500
    assert await wanted(store) == []
    await store.measures.want("alice", HOME, at=NOON + 3 * MINUTE)
    await store.measures.measured(a_measure(used_bytes=GIB))
    found = (await store.measures.of_owner("alice"))[HOME]
    assert (found.used_bytes, found.problem) == (GIB, "")


async def test_it_is_forgotten_with_its_volume(store):
    await store.measures.want("alice", "data", at=NOON)
    await store.measures.forget("alice", "data")
    await store.measures.forget("alice", "data")
    assert await store.measures.of_owner("alice") == {}
    await store.measures.measured(a_measure(volume="data"))  # too late: nobody wants to know
    assert await store.measures.of_owner("alice") == {}


async def runs(store, owner, server="lab", at=NOON, project=None):
    session = a_session(
        f"{owner}-{server}",
        owner=owner,
        workspace=server,
        admitted_at=at,
        project=project or f"personal-{owner}",
    )
    wish = Wish(name=server, options={})
    await store.sessions.open(session, a_demand(session), wish=wish)
    await store.sessions.bind(session.id, granted_percent=0, at=at)
    return session


async def test_what_was_never_measured_is_due_as_soon_as_somebody_may_have_written(store):
    await runs(store, "alice")
    await store.volumes.add(
        "alice",
        Volume(key="data", claim_name="c-alice-data", size_bytes=GIB),
        payers=[Subject(SubjectKind.USER, "alice")],
        at=NOON,
    )
    created = NewWorkspace(
        owner="bob", server="lab", project="personal-bob", name="lab", options={}, actor="bob",
        at=NOON,
    )  # fmt: skip
    await store.workspaces.create(created)
    just_begun = NOON - MINUTE
    assert await store.measures.want_due(before=NOON, settled=just_begun, at=NOON, limit=10) == 0
    assert await store.measures.want_due(before=NOON, settled=NOON, at=NOON, limit=10) == 2
    assert await wanted(store) == [("alice", HOME), ("alice", "data")]
    assert await store.measures.want_due(before=NOON, settled=NOON, at=NOON, limit=10) == 0


async def test_a_projects_volume_is_due_once_whoever_of_it_may_have_written(store):
    for owner in ("alice", "bob"):
        await runs(store, owner, f"of-{owner}", project="vision")
    await runs(store, "carol", project="course")
    for holder in ("project/vision", "project/empty"):
        await store.volumes.add(
            holder,
            Volume(key="data", claim_name=f"c-{holder}", size_bytes=GIB),
            payers=[Subject(SubjectKind.PROJECT, holder.partition("/")[2])],
            at=NOON,
        )
    assert await store.measures.want_due(before=NOON, settled=NOON, at=NOON, limit=10) == 4
    assert ("project/vision", "data") in await wanted(store)
    assert ("project/empty", "data") not in await wanted(store)


async def test_what_runs_is_due_again_and_what_was_stopped_once_more(store):
    session = await runs(store, "alice")
    await store.measures.want_due(before=NOON, settled=NOON, at=NOON, limit=10)
    await store.measures.measured(a_measure(measured_at=NOON + MINUTE))
    later = NOON + timedelta(days=1)

    async def due(before):
        return await store.measures.want_due(before=before, settled=before, at=before, limit=10)

    assert await due(NOON + MINUTE) == 0  # looked at just then
    assert await due(later) == 1
    await store.measures.failed("alice", HOME, "x", at=later)
    assert await due(later) == 0  # it was tried; once more only after as long again
    await store.sessions.end(session.id, reason="stopped", at=later + MINUTE)
    (workspace,) = await store.workspaces.of_owner("alice")
    assert workspace.state is State.STOPPED
    assert await due(later + MINUTE) == 1
    await store.measures.measured(a_measure(measured_at=later + 2 * MINUTE))
    assert await due(later + timedelta(days=30)) == 0  # nobody has written since


async def test_no_more_are_due_at_once_than_asked_for(store):
    for number in range(5):
        await runs(store, f"user-{number}")
    assert await store.measures.want_due(before=NOON, settled=NOON, at=NOON, limit=3) == 3
    assert await store.measures.want_due(before=NOON, settled=NOON, at=NOON, limit=3) == 2
