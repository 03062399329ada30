"""
A day and a half in the life of many workspaces, with time of its own, against a second opinion.

Culler, reaper and people act on a real store; the hub fails now and then, before and after it did what it was asked
for; clocks of people step. The second opinion (`Model`) shares no code with them: it counts minutes, and finds the
window's close by looking at the clock on the wall of Berlin each minute, through the night in which it shows an hour
twice. Nobody is stopped early, nobody runs past the end by more than a sweep, and every end has its reason.

F61, F62, F66 to F69; D9; L7; promises 3, 6 and 8.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from eugospawner import records
from eugospawner.lives import Lives
from eugospawner.policy.accounts import Actor
from eugospawner.policy.errors import Barred
from eugospawner.store import Wish
from hub_services.common.hub import HubError
from hub_services.culler.service import Culler
from hub_services.reaper.closing import Closer
from hub_services.reaper.cluster import Pods
from tests.contract.store.consistency import check_ledger_consistency
from tests.unit.hub_services.reaper.worlds import a_new_session, a_pod
from tests.unit.hub_services.second_opinion import BEGIN, MINUTE, PROFILES, Model, is_open, settings

if TYPE_CHECKING:
    from datetime import datetime

HOURS = 36


@dataclass
class World:
    """Store, hub, cluster and clock, with what goes wrong by chance."""

    store: object
    chance: random.Random
    fault_percent: int = 0
    faults: int = 0
    now_at: datetime = BEGIN
    pods: dict = field(default_factory=dict)

    def now(self):
        return self.now_at

    async def stop(self, _owner, _server, session, *, remove=False):
        assert not remove
        kind = self.chance.randrange(100)
        is_faulty = kind < self.fault_percent
        if is_faulty:
            self.faults += 1
        if not is_faulty or kind % 2:  # a half of the faults come after success
            self.pods.pop(session, None)
            await self.store.sessions.end(session, reason="stopped", at=self.now_at)
        if is_faulty:
            message = "The hub answers 500"
            raise HubError(message)

    async def pods_now(self):
        return Pods(of_sessions=tuple(self.pods.values()), uids=frozenset(), templates=frozenset())

    async def delete_pod(self, pod):
        self.pods.pop(pod.session, None)

    async def label_queue(self, pod, queue):
        assert queue in {"default", "night"}
        self.pods[pod.session] = a_pod(name=pod.name, uid=pod.uid, session=pod.session, queue=queue)


class Cluster:
    def __init__(self, world):
        self.pods, self.delete_pod = world.pods_now, world.delete_pod
        self.label_queue = world.label_queue


class Held:
    is_held = True


class Life:
    """One run of it."""

    def __init__(self, store, seed, *, people, interval, fault_percent):
        self.chance = random.Random(seed)  # noqa: S311 - a run that can be repeated
        self.world = World(store, self.chance, fault_percent=fault_percent)
        self.store, self.people, self.interval = store, people, interval
        self.settings = settings()
        self.models: dict[str, Model] = {}
        self.running: dict[str, str] = {}
        self.ended = 0

        async def opened():
            return store

        async def newest():
            return self.settings

        self.lives = Lives(store=opened, settings=newest, now=self.world.now, slug=str)
        self.culler = Culler(
            open_store=opened, settings=newest, hub=self.world, lease=Held(), clock=self.world
        )
        self.closer = Closer(
            cluster=Cluster(self.world), hub=self.world, open_store=opened, clock=self.world
        )

    async def run(self):
        end = HOURS * 60
        for minute in range(0, end, self.interval):
            self.world.now_at = BEGIN + minute * MINUTE
            await self.sweep(minute)
            await self.people_act(minute)
        return self.ended

    async def sweep(self, minute):
        expected = {
            session: why
            for session, model in self.models.items()
            if (why := model.verdict(minute)) is not None
        }
        await self.closer.sweep_once()
        await self.culler.sweep_once()
        for session in await self.store.sessions.of(list(self.models)):
            if session.id in expected:
                assert session.stop_at == self.world.now_at, (session, expected[session.id])
                assert session.stop_reason == expected[session.id], (
                    session,
                    self.models[session.id],
                )
                assert session.stop_by == (
                    "reaper" if session.stop_reason == "plan-window" else "culler"
                )
                del self.models[session.id]
                self.ended += 1
            else:
                assert session.stop_at is None, (minute, session, self.models[session.id])
                assert session.ended_at is None
        # Whoever was asked to stop is away for good after some sweeps, whatever the hub said.
        for owner, running in list(self.running.items()):
            found = await self.store.sessions.get(running)
            if found.ended_at is not None:
                assert found.end_reason == found.stop_reason
                del self.running[owner]

    async def people_act(self, minute):
        dice = [self.chance.random() for _ in range(self.people)]
        await asyncio.gather(
            *(self.act(f"p{number}", each, minute) for number, each in enumerate(dice))
        )

    async def act(self, owner, dice, minute):
        """Have one of them do something, all of them at the same time."""
        session = self.running.get(owner)
        model = self.models.get(session)
        if session is None:
            if dice < 0.15:
                await self.start(owner, minute)
        elif model is None:
            pass  # it is stopping
        elif dice < 0.25:
            model.seen = minute
            await self.store.sessions.note_activity(session, self.world.now_at)
        elif dice < 0.27:
            # A report of an hour ago, by a clock that is late, takes nothing away.
            model.seen = max(model.seen, minute - 60)
            await self.store.sessions.note_activity(session, self.world.now_at - 60 * MINUTE)
        elif dice < 0.30:
            model.seen = minute
            await self.lives.keep(Actor(name=owner), owner, "")
        elif dice < 0.33:
            await self.extend(owner, model)
        elif dice < 0.34 and model.is_nightly:
            await self.lives.switch_queue(Actor(name=owner), owner, "")
            model.is_nightly = False

    async def start(self, owner, minute):
        is_nightly = self.chance.random() < 0.6 and is_open(minute) and is_open(minute + 1)
        profile = self.chance.choice(list(PROFILES))
        session = f"{owner}-{minute}"
        new = a_new_session(
            id=session, owner=owner, actor=owner, profile=profile, pod_name=f"pod-{owner}",
            project="night" if is_nightly else f"personal-{owner}",
            queue="night" if is_nightly else "default",
            group_key="lab" if is_nightly else None, admitted_at=self.world.now_at,
        )  # fmt: skip
        demand = records.demand_of(new, self.settings, str, percent=0, now=self.world.now_at)
        await self.store.sessions.open(new, demand, wish=Wish(name=None, options={}))
        await self.store.sessions.bind(
            session, granted_percent=0, at=self.world.now_at, demand=demand
        )
        self.world.pods[session] = a_pod(
            name=f"pod-{owner}", uid=session, session=session, queue=new.queue
        )
        self.running[owner] = session
        self.models[session] = Model(profile, is_nightly, minute)

    async def extend(self, owner, model):
        refused = ""
        try:
            await self.lives.extend(Actor(name=owner), owner, "")
        except Barred as refusal:
            refused = refusal.reason
        assert refused == ("" if model.extends() else "not-extendable")


async def live(store, seed, **words):
    life = Life(store, seed, **words)
    ended = await life.run()
    verified = await store.audit.verify()
    assert verified.problems == ()
    await check_ledger_consistency(store)
    stops = await store.audit.lines(action="stop", limit=100_000)
    # Each end is one line, and each has its reason.
    assert len(stops) == ended - len(
        [each for each in life.running.values() if each not in life.models]
    )
    assert {line.reason for line in stops} <= {"idle", "max-session", "plan-window"}
    return life, ended


async def test_a_day_and_a_half_in_the_life_of_workspaces(store):
    life, ended = await live(store, 3, people=15, interval=10, fault_percent=20)
    assert ended > 25
    assert life.world.faults > 5


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(10, 30))
async def test_other_days(store, seed):
    await live(store, seed, people=40, interval=10, fault_percent=30)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
async def test_a_day_and_a_half_in_the_life_of_500_workspaces(store):
    life, ended = await live(store, 7, people=500, interval=5, fault_percent=30)
    assert ended > 2000
    assert life.world.faults > 500
