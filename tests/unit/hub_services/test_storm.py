"""
Everything fails at any time: two cullers, two reapers, a hub, a cluster, a store and clocks, all of them unreliable.

Calls fail before and after they did what was asked, lists come from before, a lease is believed to be held by
both, clocks step in either direction, and people start anew between the moment a stop is written and the moment the hub is asked. What a
minute-counting model says (`second_opinion.Model`) decides who may be stopped: nobody else ever is, and once the storm is over
everything that was due has ended, for its reason, and nothing else has.

F61, F62, F66 to F69; promises 3, 6 and 8.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from email.utils import format_datetime

import pytest

from eugospawner import records
from eugospawner.policy.errors import ClusterError, StoreError
from eugospawner.store import Wish
from hub_services.common.clock import WitnessedClock
from hub_services.common.hub import HubError
from hub_services.culler.service import Culler
from hub_services.reaper.closing import PATIENCE, Closer
from hub_services.reaper.cluster import Pods
from tests.contract.store.consistency import check_ledger_consistency
from tests.unit.hub_services.reaper.worlds import a_new_session, a_pod
from tests.unit.hub_services.second_opinion import BEGIN, MINUTE, PROFILES, Model, is_open, settings

#: What a service asks of the store, and what it then cannot do.
STORE_CALLS = ("due", "stopping", "open_sessions", "ask_to_stop", "in_state", "move")


def broken(kind, message):
    return kind(message)


class Faulty:
    """A part of the store whose calls fail now and then: before they were made, or after."""

    def __init__(self, part, storm):
        self._part, self._storm = part, storm

    def __getattr__(self, name):
        method = getattr(self._part, name)

        async def call(*arguments, **keywords):
            fault = self._storm.fault(f"store {name}") if name in STORE_CALLS else None
            if fault == "refused":
                raise broken(StoreError, f"{name} was refused")
            answer = await method(*arguments, **keywords)
            if fault == "lost":
                raise broken(StoreError, f"the answer to {name} was lost")
            return answer

        return call


class FaultyStore:
    def __init__(self, store, storm):
        self.sessions = Faulty(store.sessions, storm)
        self.workspaces = Faulty(store.workspaces, storm)
        self.audit = store.audit


class Lease:
    is_held = True


class Clock:
    """A machine's own: it steps back and forth, and Kubernetes dates its answers."""

    ahead = timedelta()

    def __init__(self, storm):
        self._storm, self.off = storm, timedelta()
        self.witnessed = WitnessedClock(self, elapsed=self._passed)

    def now(self):
        return self._storm.now_at + self.off

    def hear(self):
        self.witnessed.hear(format_datetime(self._storm.now_at, usegmt=True), waited=0)

    def _passed(self):
        return (self._storm.now_at - BEGIN).total_seconds()


class Storm:
    """People, and everything that two of each service deal with."""

    def __init__(self, store, seed, *, people, percent):
        self.chance = random.Random(seed)  # noqa: S311 - a run that can be repeated
        self.store, self.people, self.percent = store, people, percent
        self.settings = settings()
        self.now_at = BEGIN
        self.minute = 0
        self.faults: Counter[str] = Counter()
        self.models: dict[str, Model] = {}
        self.running: dict[str, str] = {}
        self.pods: dict[str, object] = {}
        self.before: dict[str, object] = {}
        self.number = self.ended = 0
        faulty = FaultyStore(store, self)

        async def opened():
            return faulty

        async def newest():
            return self.settings

        self.services = []
        for _ in range(2):
            lease, clock = Lease(), Clock(self)
            culler = Culler(
                open_store=opened, settings=newest, hub=self, lease=lease, clock=clock.witnessed
            )
            closer = Closer(
                cluster=FaultyCluster(self), hub=self, open_store=opened, clock=clock.witnessed
            )
            self.services.append((lease, clock, culler, closer))

    def fault(self, what, *kinds):
        """Return what goes wrong with a call, if anything does; no *kinds*: refused or lost."""
        if self.chance.randrange(100) >= self.percent:
            return None
        kind = self.chance.choice(kinds or ("refused", "lost"))
        self.faults[f"{what}: {kind}"] += 1
        return kind

    async def stop(self, owner, _server, session, *, remove=False):
        """Be the hub, which looks at the session that is named."""
        assert not remove
        assert session
        if self.percent and self.chance.random() < 0.1:
            await self.start_anew(owner)
        fault = self.fault("hub", "refused", "lost", "accepted")
        if fault == "refused":
            raise broken(HubError, "The hub answers 500")
        if self.running.get(owner) == session:  # else: 404 or 409, which are fine
            found = await self.store.sessions.get(session)
            # What no service has written down is stopped by nobody.
            assert found.stop_reason is not None, found
            if fault != "accepted":  # 202, and the hub forgets it
                await self.end(owner, session)
        if fault == "lost":
            raise broken(HubError, "The hub does not answer in time")

    async def end(self, owner, session):
        if self.running.get(owner) == session:  # else somebody was quicker
            del self.running[owner]
            self.pods.pop(session, None)
            await self.store.sessions.end(session, reason="stopped", at=self.now_at)

    async def start_anew(self, owner):
        """Have somebody stop and start in the very moment in which they are being stopped."""
        session = self.running.get(owner)
        if session is None:
            return
        self.faults["started anew"] += 1
        await self.end(owner, session)
        self.models.pop(session, None)
        await self.start(owner)

    async def start(self, owner):
        self.number += 1
        minute = self.minute
        is_nightly = self.chance.random() < 0.6 and is_open(minute) and is_open(minute + 1)
        profile, session = self.chance.choice(list(PROFILES)), f"s{self.number}"
        new = a_new_session(
            id=session, owner=owner, actor=owner, profile=profile, pod_name=f"pod-{owner}",
            project="night" if is_nightly else f"personal-{owner}",
            queue="night" if is_nightly else "default",
            group_key="lab" if is_nightly else None, admitted_at=self.now_at,
        )  # fmt: skip
        demand = records.demand_of(new, self.settings, str, percent=0, now=self.now_at)
        await self.store.sessions.open(new, demand, wish=Wish(name=None, options={}))
        await self.store.sessions.bind(session, granted_percent=0, at=self.now_at, demand=demand)
        self.pods[session] = a_pod(
            name=f"pod-{owner}", uid=f"uid-{session}", session=session, queue=new.queue
        )
        self.running[owner] = session
        self.models[session] = Model(profile, is_nightly, minute)

    async def minute_passes(self):
        self.minute += 1
        self.now_at = BEGIN + self.minute * MINUTE
        self.before = dict(self.pods)
        for number in range(self.people):
            await self.act(f"p{number}", self.chance.random())
        held = self.chance.choice(((True, False), (False, True), (True, True), (False, False)))
        for (lease, clock, _, _), holds in zip(self.services, held, strict=True):
            lease.is_held = holds or not self.percent
            clock.hear()
            clock.off = timedelta()
            if self.percent and self.chance.random() < 0.2:
                way = self.chance.choice(("behind", "ahead"))
                self.faults[f"clock {way}"] += 1
                clock.off = self.chance.randrange(1, 120) * MINUTE * (1 if way == "ahead" else -1)
        await asyncio.gather(
            *(
                self.sweep(sweep)
                for lease, _, culler, closer in self.services
                for sweep in (culler.sweep_once, closer.sweep_once)
                if lease.is_held
            )
        )
        await self.check()

    async def sweep(self, sweep):
        try:
            await sweep()
        except (StoreError, ClusterError):
            assert self.percent, "it fails though nothing is wrong"

    async def act(self, owner, dice):
        session = self.running.get(owner)
        if session is None:
            if dice < 0.2:
                await self.start(owner)
            return
        model = self.models.get(session)
        if model is not None and dice < 0.008:
            model.seen = self.minute
            await self.store.sessions.note_activity(session, self.now_at)

    async def check(self):
        """See that whoever was asked to stop was due, for that reason, and was asked once."""
        for session in await self.store.sessions.of(list(self.models)):
            if session.stop_at is None:
                if session.ended_at is not None:
                    assert session.id not in self.running.values(), session
                    del self.models[session.id]
                continue
            model = self.models.pop(session.id)
            at = min(self.minute, round((session.stop_at - BEGIN) / MINUTE))
            # By that moment it was due, and what it is told is why. Where idleness and the close fall into one
            # sweep, either comes first.
            assert session.stop_reason in model.reasons(at), (session, model, at)
            self.ended += 1

    async def calm(self):
        """Let the storm be over, and see what is left."""
        self.percent = 0
        for _ in range(2 + PATIENCE // MINUTE * 2):
            self.minute += 1
            self.now_at = BEGIN + self.minute * MINUTE
            for lease, clock, culler, closer in self.services[:1]:
                lease.is_held, clock.off = True, timedelta()
                clock.hear()
                await self.sweep(closer.sweep_once)
                await self.sweep(culler.sweep_once)
            await self.check()
        sessions = await self.store.sessions.open_sessions()
        left = {each.id for each in sessions}
        assert left == set(self.models), (left ^ set(self.models), sessions)
        assert left == set(self.pods), left ^ set(self.pods)
        assert {each.id for each in sessions} == set(self.running.values())
        for session in sessions:
            assert self.models[session.id].verdict(self.minute) is None
            assert self.pods[session.id].queue == session.queue


class FaultyCluster:
    """Pods, which are deleted by uid; a list may come from before."""

    def __init__(self, storm):
        self._storm = storm

    async def pods(self):
        fault = self._storm.fault("list of Pods", "refused", "of before")
        if fault == "refused":
            raise broken(ClusterError, "Could not list the Pods: 410 Gone")
        found = self._storm.before if fault == "of before" else self._storm.pods
        return Pods(of_sessions=tuple(found.values()), uids=frozenset(), templates=frozenset())

    async def delete_pod(self, pod):
        fault = self._storm.fault("deletion of a Pod")
        if fault == "refused":
            raise broken(ClusterError, "Could not delete the Pod: 500")
        self._delete(pod)
        if fault == "lost":
            raise broken(ClusterError, "Could not delete the Pod: no answer")

    def _delete(self, pod):
        found = self._storm.pods.get(pod.session)
        if found is not None and found.uid == pod.uid:
            del self._storm.pods[pod.session]

    async def label_queue(self, pod, queue):
        fault = self._storm.fault("label of a Pod")
        if fault == "refused":
            raise broken(ClusterError, "Could not label the Pod: 409")
        found = self._storm.pods.get(pod.session)
        if found is not None:
            self._storm.pods[pod.session] = a_pod(
                name=pod.name, uid=pod.uid, session=pod.session, queue=queue
            )


async def weather(store, seed, *, people, minutes, percent):
    storm = Storm(store, seed, people=people, percent=percent)
    for _ in range(minutes):
        await storm.minute_passes()
    await storm.calm()
    await check_ledger_consistency(store)
    return storm


async def test_nobody_is_stopped_wrongly_while_everything_fails(store):
    storm = await weather(store, 1, people=20, minutes=200, percent=35)
    assert storm.ended > 20
    assert sum(storm.faults.values()) > 200
    assert storm.faults["started anew"] > 0
    assert min(storm.faults["clock ahead"], storm.faults["clock behind"]) > 0
    verified = await store.audit.verify()
    assert verified.problems == ()


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(48))
async def test_a_hundred_thousand_faults_stop_nobody_wrongly(store, seed, record_property):
    storm = await weather(store, 100 + seed, people=60, minutes=900, percent=40)
    faults = sum(storm.faults.values())
    record_property("faults", faults)
    record_property("stops", storm.ended)
    assert faults > 2100  # in each of 48
