"""
The culler's sweep over a real store and a hub that fails: acts once, on what is still so, and never too early.

F66, F68, F69, F101, F116; L5; promises 3, 6 and 8.
"""

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.lifecycle import State
from eugospawner.settings import Settings
from eugospawner.store import Wish, open_store, upgrade
from hub_services.common.hub import HubError
from hub_services.culler.prometheus import MetricsError
from hub_services.culler.service import Culler, Swept
from tests.factories.accounts import a_directory
from tests.factories.catalog import a_catalog, a_profile
from tests.factories.sessions import a_demand
from tests.unit.hub_services.reaper.fakes import FakeClock
from tests.unit.hub_services.reaper.worlds import HOUR, NOW, a_new_session

MINUTE = timedelta(minutes=1)


@dataclass
class FakeHub:
    """Stops what it is asked to, unless it is told to fail."""

    store: object = None
    clock: object = None
    asked: list = field(default_factory=list)
    fails: list = field(default_factory=list)
    just_before: object = None

    async def stop(self, owner, server, session, *, remove=False):
        self.asked.append((owner, server, session, remove))
        if self.just_before is not None:
            await self.just_before()
        if self.fails:
            outcome = self.fails.pop(0)
            if outcome == "after success":
                await self.store.sessions.end(session, reason="stopped", at=self.clock.now())
            message = "The hub answers 500"
            raise HubError(message)
        if session:
            await self.store.sessions.end(session, reason="stopped", at=self.clock.now())


@dataclass
class Held:
    is_held: bool = True


@dataclass
class FakeGpus:
    used: dict = field(default_factory=dict)
    is_down: bool = False
    asked: list = field(default_factory=list)

    async def percent_of(self, pods):
        self.asked.append(list(pods))
        if self.is_down:
            message = "Prometheus does not answer"
            raise MetricsError(message)
        return self.used


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
    await opened.close()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def hub(store, clock):
    return FakeHub(store=store, clock=clock)


@pytest.fixture
def gpus():
    return FakeGpus()


class World:
    def __init__(self, store, hub, clock, gpus):
        self.store, self.hub, self.clock, self.gpus = store, hub, clock, gpus
        self.lease = Held()
        self.catalog = a_catalog()

    def culler(self, **changes):
        async def opened():
            return self.store

        async def settings():
            return Settings(catalog=self.catalog, directory=a_directory())

        return Culler(
            **{
                "open_store": opened, "settings": settings, "hub": self.hub, "lease": self.lease,
                "clock": self.clock, "utilisation": self.gpus,
            } | changes
        )  # fmt: skip

    async def begin(self, session="s1", *, at=NOW, **changes):
        new = a_new_session(
            **{"id": session, "workspace": session, "admitted_at": at, "profile": "notebook"}
            | changes
        )
        demand = a_demand(new, latest_end=at + 8 * HOUR)
        await self.store.sessions.open(new, demand, wish=Wish(name=None, options={}))
        await self.store.sessions.bind(session, granted_percent=new.requested_percent, at=at)

    async def end_of(self, session="s1"):
        return (await self.store.sessions.get(session)).end_reason


@pytest.fixture
def world(store, hub, clock, gpus):
    return World(store, hub, clock, gpus)


async def test_an_idle_workspace_is_stopped_once_with_its_reason(world):
    await world.begin()
    culler = world.culler()
    world.clock.time = NOW + 30 * MINUTE - timedelta(milliseconds=1)
    assert (await culler.sweep_once()).stopped == 0
    world.clock.time = NOW + 30 * MINUTE
    assert await culler.sweep_once() == Swept(acted=True, due=1, stopped=1)
    assert world.hub.asked == [("alice", "s1", "s1", False)]
    assert await world.end_of() == "idle"
    found = await world.store.workspaces.get("alice", "s1")
    assert (found.state, found.because, found.actor) == (State.STOPPED, "idle", "culler")
    assert found.said.startswith("Nothing happened in it for 30 min")
    assert await culler.sweep_once() == Swept(acted=True)
    stops = await world.store.audit.lines(action="stop")
    assert [(each.actor, each.reason) for each in stops] == [("culler", "idle")]


async def test_a_session_ends_at_its_deadline_however_busy_it_is(world):
    await world.begin()
    world.clock.time = NOW + 8 * HOUR
    await world.store.sessions.note_activity("s1", world.clock.time)
    await world.culler().sweep_once()
    assert await world.end_of() == "max-session"


async def test_who_does_not_hold_the_lease_does_nothing(world):
    await world.begin()
    world.clock.time = NOW + HOUR
    world.lease.is_held = False
    assert await world.culler().sweep_once() == Swept(acted=False)
    assert world.hub.asked == []


async def test_what_is_tuned_holds_at_the_next_sweep_for_what_runs(world):
    """F69."""
    await world.begin()
    culler = world.culler()
    world.clock.time = NOW + 15 * MINUTE
    assert (await culler.sweep_once()).stopped == 0
    profiles = {**world.catalog.profiles, "notebook": a_profile(idle_stop=15 * MINUTE)}
    world.catalog = a_catalog(profiles=profiles)
    assert (await culler.sweep_once()).stopped == 1


async def test_whoever_keeps_it_running_while_the_sweep_looks_has_won(world):
    await world.begin()
    world.clock.time = NOW + HOUR
    culler = world.culler()
    due = world.store.sessions.due

    async def then_kept(**words):
        found = await due(**words)
        await world.store.sessions.keep("s1", actor="alice", at=world.clock.time)
        return found

    world.store.sessions.due = then_kept
    assert await culler.sweep_once() == Swept(acted=True, due=1, spared=1)
    assert world.hub.asked == []
    assert await world.end_of() is None


async def test_what_was_started_anew_while_the_sweep_looks_goes_on(world):
    await world.begin()
    world.clock.time = NOW + HOUR
    due = world.store.sessions.due

    async def then_anew(**words):
        found = await due(**words)
        await world.begin("s2", at=world.clock.time, workspace="s1")
        return found

    world.store.sessions.due = then_anew
    assert (await world.culler().sweep_once()).spared == 1
    assert await world.end_of("s2") is None
    assert world.hub.asked == []


@pytest.mark.parametrize("outcome", ["refused", "after success"])
async def test_a_hub_that_fails_is_asked_again_and_what_it_did_is_not_done_twice(world, outcome):
    await world.begin()
    world.clock.time = NOW + HOUR
    culler = world.culler()
    world.hub.fails = [outcome]
    assert (await culler.sweep_once()).failed == 1
    # Why is on record already, and holds.
    assert (await world.store.workspaces.get("alice", "s1")).because == "idle"
    again = await culler.sweep_once()
    assert again.again == (1 if outcome == "refused" else 0)
    assert await world.end_of() == "idle"
    assert len(await world.store.audit.lines(action="stop")) == 1


async def test_two_cullers_stop_it_once(world):
    await world.begin()
    world.clock.time = NOW + HOUR
    swept = await asyncio.gather(*(world.culler().sweep_once() for _ in range(8)))
    assert sum(each.stopped - each.again for each in swept) == 1
    assert len(await world.store.audit.lines(action="ask-to-stop")) == 1


async def test_without_a_store_nothing_is_done(world):
    async def down():
        message = "The store is down"
        raise StoreError(message)

    with pytest.raises(StoreError):
        await world.culler(open_store=down).sweep_once()
    assert world.hub.asked == []


async def test_gpus_at_work_keep_a_workspace_and_are_asked_about_only_if_it_is_idle(world):
    """L5."""
    for name in ("s1", "s2"):
        await world.begin(
            name, gpu_model="H100", gpu_count=1, sm_percent=25, requested_percent=25,
            pod_name=f"pod-{name}",
        )  # fmt: skip
    world.gpus.used = {"pod-s1": 80.0, "pod-s2": 4.9}
    culler = world.culler()
    world.clock.time = NOW + 20 * MINUTE
    await culler.sweep_once()
    assert world.gpus.asked == []
    world.clock.time = NOW + HOUR
    await culler.sweep_once()
    assert world.gpus.asked == [["pod-s1", "pod-s2"]]
    assert await world.end_of("s1") is None
    assert (await world.store.sessions.get("s1")).active_at == world.clock.time
    assert await world.end_of("s2") == "idle"


async def test_while_nobody_knows_whether_gpus_work_they_are_left_alone_but_for_deadlines(world):
    await world.begin(gpu_model="H100", gpu_count=1, sm_percent=25, requested_percent=25)
    world.gpus.is_down = True
    culler = world.culler()
    world.clock.time = NOW + HOUR
    assert (await culler.sweep_once()).stopped == 0
    world.clock.time = NOW + 8 * HOUR
    assert (await culler.sweep_once()).stopped == 1
    assert await world.end_of() == "max-session"


async def test_where_idleness_is_only_listed_it_is_told_once_and_nothing_is_stopped(world):
    """L5: shadow mode."""
    world.catalog = a_catalog(idle_shadow=True)
    await world.begin()
    culler = world.culler()
    for minutes in (30, 31, 32):
        world.clock.time = NOW + minutes * MINUTE
        assert (await culler.sweep_once()).listed == 1
    (line,) = await world.store.audit.lines(action="would-stop")
    assert (line.object, line.reason, line.detail["session"]) == (
        "workspace.alice/s1",
        "idle",
        "s1",
    )
    assert world.hub.asked == []
    await world.store.sessions.note_activity("s1", world.clock.time)
    world.clock.time += HOUR
    await culler.sweep_once()
    assert len(await world.store.audit.lines(action="would-stop")) == 2


async def test_entries_of_long_stopped_workspaces_go_if_that_is_configured(world):
    await world.begin()
    await world.store.sessions.end("s1", reason="user", at=NOW + HOUR)
    world.clock.time = NOW + 91 * 24 * HOUR
    culler = world.culler()
    assert (await culler.sweep_once()).deleted == 0
    world.catalog = a_catalog(delete_stopped_after=90 * 24 * HOUR)
    assert (await culler.sweep_once()).deleted == 1
    assert world.hub.asked == [("alice", "s1", "", True)]
    (former,) = await world.store.workspaces.former("alice")
    assert (former.is_terminated, former.actor) == (False, "culler")


async def test_a_crowd_is_stopped_in_one_sweep(world):
    for number in range(60):
        await world.begin(f"s{number}", owner=f"user{number}", project=f"p{number}")
    world.clock.time = NOW + HOUR
    assert (await world.culler().sweep_once()).stopped == 60
    assert await world.store.sessions.open_sessions() == ()
