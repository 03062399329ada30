"""The sweep over a fake cluster and a real store: what was seen is settled, once, to the unit."""

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from eugospawner.policy import windows
from eugospawner.policy.errors import ClusterError, StoreError
from eugospawner.policy.limits import Override
from eugospawner.policy.quota import Cell, Resource, Span, Subject, SubjectKind
from eugospawner.settings import Settings
from eugospawner.store import open_store, upgrade
from eugospawner.store.refusals import Refused
from hub_services.quota.service import Accountant, Swept
from tests.contract.store.consistency import check_ledger_consistency
from tests.factories import a_catalog, a_profile, a_quota
from tests.factories.accounts import a_directory, a_plan
from tests.factories.chance import chance
from tests.factories.sessions import begin
from tests.unit.hub_services.quota.worlds import FakeCluster, FakeLease, a_running_pod
from tests.unit.hub_services.reaper.fakes import FakeClock
from tests.unit.hub_services.reaper.worlds import HOUR, NOW, a_new_session

MINUTE = timedelta(minutes=1)
BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
async def store(migrated, tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(migrated.read_bytes())
    opened = await open_store(f"sqlite:///{path}")
    yield opened
    await check_ledger_consistency(opened)
    await opened.close()


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def lease():
    return FakeLease()


@dataclass
class World:
    """The settings, which a test changes."""

    settings: Settings


@pytest.fixture
def world():
    return World(Settings(catalog=a_catalog(), directory=a_directory()))


@pytest.fixture
def accountant(cluster, store, clock, lease, world):
    async def opened():
        return store

    async def settings():
        return world.settings

    return Accountant(
        cluster=cluster,
        open_store=opened,
        settings=settings,
        lease=lease,
        clock=clock,
        slug=lambda name: name,
    )


async def settled(store, day="2026-11-24", owner="alice"):
    cell = Cell(Subject(SubjectKind.USER, owner), Span.DAY, day, "")
    brief = await store.brief(revision=0, subjects=[cell.subject], since=NOW - 40 * 24 * HOUR)
    return brief.usage.used(cell).settled.cpu


async def test_what_runs_is_settled_until_it_was_seen_and_rolled_up(accountant, store, cluster):
    await begin(store, a_new_session())
    await store.sessions.bind("s1", granted_percent=0, at=NOW - HOUR)
    cluster.held = [a_running_pod()]
    swept = await accountant.sweep_once()
    assert (swept.acted, swept.settled, swept.running, swept.doubts) == (True, 1, 1, 0)
    assert swept.entries > 0
    assert await settled(store) == 2000 * 3_600_000
    again = await accountant.sweep_once()
    assert (again.settled, again.entries) == (0, 0)
    assert await settled(store) == 2000 * 3_600_000


async def test_what_nobody_has_bound_is_bound_and_charged_since_it_was_ready(
    accountant, store, cluster, caplog
):
    await begin(store, a_new_session())
    cluster.held = [a_running_pod(ready_at=NOW - HOUR / 2)]
    swept = await accountant.sweep_once()
    assert (swept.bound, swept.settled) == (1, 0)  # settled from the next sweep on
    assert "runs, and nobody had said so" in caplog.text
    assert (await store.sessions.get("s1")).bound_at == NOW - HOUR / 2
    await accountant.sweep_once()
    assert await settled(store) == 2000 * 1_800_000


async def test_who_does_not_hold_the_lease_does_nothing(accountant, lease, cluster):
    lease.is_held, cluster.is_down = False, True
    assert await accountant.sweep_once() == Swept(acted=False)


async def test_nothing_is_charged_while_the_cluster_cannot_be_seen(accountant, store, cluster):
    await begin(store, a_new_session())
    await store.sessions.bind("s1", granted_percent=0, at=NOW - HOUR)
    cluster.is_down = True
    with pytest.raises(ClusterError):
        await accountant.sweep_once()
    assert await settled(store) == 0


async def test_a_doubt_is_told_once_and_again_when_it_comes_back(accountant, cluster, caplog):
    caplog.set_level(logging.WARNING)
    strange, told = a_running_pod(session="unknown"), []
    for held in ([strange], [strange], [], [strange]):
        cluster.held = held
        await accountant.sweep_once()
        told.append(caplog.text.count("nobody is charged for it"))
    assert told == [1, 1, 1, 2]


def known(**changes):
    """Return alice's session of things that the catalog has."""
    return a_new_session(**{"profile": "notebook", "project": "personal-alice"} | changes)


async def running(store, cluster, **changes):
    """Have a session of *changes* run since an hour ago."""
    new = known(**changes)
    await begin(store, new, latest_end=NOW + 7 * HOUR)
    await store.sessions.bind(new.id, granted_percent=0, at=NOW - HOUR)
    cluster.held.append(a_running_pod(session=new.id))


async def deadline(store, session="s1"):
    found = await store.sessions.get(session)
    return found.ends_at - NOW, found.ends_because


def changed(world, **changes):
    world.settings = replace(world.settings, catalog=a_catalog(**changes))


async def test_another_max_session_holds_for_what_runs_at_the_next_sweep(
    accountant, store, cluster, world, caplog
):
    """F69."""
    caplog.set_level(logging.INFO)
    await running(store, cluster)
    assert (await accountant.sweep_once()).renewed == 0
    profile = a_profile("notebook", max_session=5 * HOUR)
    changed(world, profiles={"notebook": profile})
    assert (await accountant.sweep_once()).renewed == 1
    assert await deadline(store) == (4 * HOUR, "max-session")
    assert "s1 ends at 2026-11-24T16:00:00+00:00 (max-session)" in caplog.text
    assert (await accountant.sweep_once()).renewed == 0
    changed(world, profiles={"notebook": a_profile("notebook", max_session=HOUR / 2)})
    await accountant.sweep_once()
    assert await deadline(store) == (0 * HOUR, "max-session")


async def test_what_was_changed_while_nobody_swept_holds_from_the_first_sweep_on(
    accountant, store, cluster, world
):
    await running(store, cluster)
    changed(world, profiles={"notebook": a_profile("notebook", max_session=10 * HOUR)})
    assert (await accountant.sweep_once()).renewed == 1
    assert await deadline(store) == (9 * HOUR, "max-session")


async def test_a_quota_ends_what_runs_and_an_override_lets_it_go_on(
    accountant, store, cluster, clock, world
):
    """F101."""
    await running(store, cluster)
    await accountant.sweep_once()
    cpu_hours = 2000 * 3_600_000
    quota = a_quota("cpu", resource=Resource.CPU, span=Span.MONTH, amount=3 * cpu_hours)
    changed(world, quotas=(quota,))
    await accountant.sweep_once()
    assert await deadline(store) == (2 * HOUR, "quota-exhausted")
    override = Override(amount=6 * cpu_hours, expires_at=NOW + HOUR, reason="thesis")
    changed(world, quotas=(replace(quota, override=override),))
    await accountant.sweep_once()
    assert await deadline(store) == (5 * HOUR, "quota-exhausted")
    clock.time += HOUR  # it ends by itself
    await accountant.sweep_once()
    assert await deadline(store) == (2 * HOUR, "quota-exhausted")


async def test_what_somebody_else_left_goes_to_whom_the_quota_ends(
    accountant, store, cluster, world
):
    quota = a_quota("cpu", resource=Resource.CPU, span=Span.MONTH, amount=10 * 2000 * 3_600_000)
    changed(world, quotas=(quota,))
    await running(store, cluster)
    await running(store, cluster, id="s2", workspace="second")
    await accountant.sweep_once()
    assert await deadline(store, "s1") == (7 * HOUR, "max-session")
    assert await deadline(store, "s2") == (1 * HOUR, "quota-exhausted")
    await store.sessions.end("s1", reason="stopped", at=NOW)
    cluster.held = cluster.held[1:]
    await accountant.sweep_once()
    assert await deadline(store, "s2") == (7 * HOUR, "max-session")


async def test_another_window_holds_for_what_runs_in_its_queues(accountant, store, cluster, world):
    """Of the plan's queues, and of no other."""
    common = {"project": "vision", "group_key": "lab", "organization": "acme"}
    await running(store, cluster, id="bound", workspace="b", queue="batch", **common)
    await running(store, cluster, id="free", workspace="f", **common)
    await accountant.sweep_once()
    window = windows.OneOffWindow(
        zone="UTC",
        start=(NOW - 2 * HOUR).replace(tzinfo=None),
        end=(NOW + 3 * HOUR).replace(tzinfo=None),
    )
    project = world.settings.directory.projects["vision"]
    project = replace(project, plan=a_plan(windows=(window,)))
    world.settings = replace(world.settings, directory=a_directory(projects={"vision": project}))
    await accountant.sweep_once()
    assert await deadline(store, "bound") == (3 * HOUR, "plan-window")
    assert await deadline(store, "free") == (7 * HOUR, "max-session")


async def test_a_deadline_that_could_not_be_written_is_tried_again(
    accountant, store, cluster, world, monkeypatch
):
    await running(store, cluster)
    await accountant.sweep_once()
    changed(world, profiles={"notebook": a_profile("notebook", max_session=5 * HOUR)})

    async def fails(*_arguments, **_keywords):
        message = "away"
        raise StoreError(message)

    with monkeypatch.context() as broken:
        broken.setattr(type(store.sessions), "renew", fails)
        with pytest.raises(StoreError):
            await accountant.sweep_once()
    await accountant.sweep_once()
    assert await deadline(store) == (4 * HOUR, "max-session")


async def test_old_refusals_are_forgotten(accountant, store):
    for days in (89, 91):
        await store.refusals.add(
            Refused(
                at=NOW - days * 24 * HOUR,
                owner="alice",
                workspace="",
                actor="alice",
                reason="in-use",
                options={},
            )
        )
    assert (await accountant.sweep_once()).forgotten == 1
    assert len(await store.refusals.since(NOW - 100 * 24 * HOUR, limit=9)) == 1


async def test_a_session_that_ends_during_the_sweep_is_charged_once(accountant, store, cluster):
    await begin(store, a_new_session())
    await store.sessions.bind("s1", granted_percent=0, at=NOW - HOUR)
    cluster.held = [a_running_pod()]
    await asyncio.gather(
        accountant.sweep_once(), store.sessions.end("s1", reason="stopped", at=NOW)
    )
    assert await settled(store) == 2000 * 3_600_000


async def test_whatever_is_cut_off_is_made_good_by_the_next_sweep(accountant, store, cluster):
    """Cancelled after every number of steps of the loop, as a kill would: nothing twice."""
    for steps in range(40):
        session = f"s{steps}"
        await begin(store, a_new_session(id=session, workspace=session))
        await store.sessions.bind(session, granted_percent=0, at=NOW - HOUR)
        cluster.held.append(a_running_pod(session=session))
        sweep = asyncio.ensure_future(accountant.sweep_once())
        for _ in range(steps):
            await asyncio.sleep(0)
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        # Writes are done in order, and one whose caller is gone is done, too: wait for it.
        await store.refusals.forget(NOW - 999 * 24 * HOUR)
        await check_ledger_consistency(store)
    await accountant.sweep_once()
    assert await settled(store) == 40 * 2000 * 3_600_000


@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.nightly)])
async def test_a_month_of_life_is_to_the_unit_what_is_added_up_here(
    accountant, store, cluster, clock, seed
):
    """Sessions come and go over a change of clocks; sweeps are late, fail and are cut off."""
    random, start = chance(seed), datetime(2026, 10, 15, tzinfo=UTC)
    clock.time, number = start, 0
    alive, expected = {}, Counter()
    while clock.time < start + timedelta(days=31):
        clock.time += timedelta(milliseconds=random.randrange(1, 6 * 3_600_000))
        number += 1
        name, owner = f"s{number}", random.choice(["alice", "bob"])
        millicores = random.choice([500, 2000, 8000])
        new = a_new_session(
            id=name,
            owner=owner,
            workspace=name,
            cpu_millicores=millicores,
            admitted_at=clock.time,
        )
        deadline = clock.time + random.choice([1, 9, 30]) * HOUR
        await begin(store, new, latest_end=deadline)
        if random.random() < 0.9:
            alive[name] = (owner, millicores, clock.time, deadline)
            if random.random() < 0.8:  # else the hub died before it bound: this service does
                await store.sessions.bind(name, granted_percent=0, at=clock.time)
            cluster.held.append(
                a_running_pod(session=name, created_at=clock.time, ready_at=clock.time)
            )
        cluster.is_down = random.random() < 0.2
        await swept_or_cut(accountant, random)
        for ending in [each for each in alive if random.random() < 0.3]:
            if (await store.sessions.get(ending)).bound_at is None:
                continue  # it will be
            owner, millicores, since, deadline = alive.pop(ending)
            add_up(expected, owner, millicores, since, min(clock.time, deadline))
            await store.sessions.end(ending, reason="stopped", at=clock.time)
            cluster.held = [pod for pod in cluster.held if pod.session != ending]
    clock.time += 40 * HOUR
    cluster.is_down = False
    for _ in range(2):
        await accountant.sweep_once()
    for owner, millicores, since, deadline in alive.values():
        add_up(expected, owner, millicores, since, deadline)
    assert sum(expected.values()) > 0
    found = Counter()
    for owner in ("alice", "bob"):
        for days in range(40):
            day = (start + timedelta(days=days - 1)).date().isoformat()
            cell = Cell(Subject(SubjectKind.USER, owner), Span.DAY, day, "")
            brief = await store.brief(
                revision=0, subjects=[cell.subject], since=start - timedelta(days=1)
            )
            found[owner, day] = brief.usage.used(cell).settled.cpu
    assert +found == +expected
    consumed = await store.consumption.of(
        Subject(SubjectKind.USER, "bob"),
        first_day="2026-10-01",
        last_day="2026-12-01",
        limit=10**6,
    )
    total = sum(each.used.settled.cpu for each in consumed)
    assert total == sum(amount for (owner, _), amount in expected.items() if owner == "bob")


async def swept_or_cut(accountant, random):
    sweep = asyncio.ensure_future(accountant.sweep_once())
    if random.random() < 0.2:
        for _ in range(random.randrange(60)):
            await asyncio.sleep(0)
        sweep.cancel()
    (answer,) = await asyncio.gather(sweep, return_exceptions=True)
    assert isinstance(answer, Swept | ClusterError | asyncio.CancelledError | StoreError)


def add_up(expected, owner, millicores, since, until):
    """Add what was used, minute by minute, to the days on a calendar in Berlin."""
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    first, last = ((at - epoch) // timedelta(milliseconds=1) for at in (since, until))
    while first < last:
        following = min((first // 60_000 + 1) * 60_000, last)
        at = epoch + timedelta(milliseconds=first)
        expected[owner, at.astimezone(BERLIN).date().isoformat()] += millicores * (
            following - first
        )
        first = following
