"""
Whatever people do in whatever order, in whatever weather: only what is due is stopped, and everything that is.

A Hypothesis state machine over the storm (`test_storm.Storm`): what people do are its rules, and a failure shrinks to the
few steps that matter. What is expected is the second opinion's, counted in minutes.
"""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from eugospawner.lives import Lives
from eugospawner.policy.accounts import Actor
from eugospawner.policy.errors import Barred
from eugospawner.store import open_store, upgrade
from tests.contract.store.consistency import check_ledger_consistency
from tests.unit.hub_services.test_storm import Storm

PEOPLE = st.integers(0, 4).map("p{}".format)


class Workspaces(RuleBasedStateMachine):
    """What five people do to their workspaces while two of each service sweep."""

    storm: Storm | None = None

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory()
        url = f"sqlite:///{Path(self.folder.name) / 'store.sqlite'}"
        upgrade(url)
        self.store = self.run(open_store(url))

    def run(self, act):
        return self.loop.run_until_complete(act)

    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed):
        # Not of Hypothesis' own chance: which sweep asks it first is the loop's to say.
        self.storm = Storm(self.store, seed, people=0, percent=0)

        async def opened():
            return self.store

        async def newest():
            return self.storm.settings

        self.lives = Lives(store=opened, settings=newest, now=lambda: self.storm.now_at, slug=str)

    def model(self, owner):
        """Return the model of the owner's session, unless it has none that may go on."""
        return self.storm.models.get(self.storm.running.get(owner))

    @rule(owner=PEOPLE)
    def start(self, owner):
        if owner not in self.storm.running:
            self.run(self.storm.start(owner))

    @rule(owner=PEOPLE)
    def work(self, owner):
        if (model := self.model(owner)) is not None:
            model.seen = self.storm.minute
            session = self.storm.running[owner]
            self.run(self.store.sessions.note_activity(session, self.storm.now_at))

    @rule(owner=PEOPLE)
    def keep(self, owner):
        if (model := self.model(owner)) is not None:
            model.seen = self.storm.minute
            self.run(self.lives.keep(Actor(name=owner), owner, ""))

    @rule(owner=PEOPLE)
    def extend(self, owner):
        if (model := self.model(owner)) is None:
            return
        refused = ""
        try:
            self.run(self.lives.extend(Actor(name=owner), owner, ""))
        except Barred as refusal:
            refused = str(refusal.reason)
        assert refused == ("" if model.extends() else "not-extendable")

    @rule(owner=PEOPLE)
    def stop(self, owner):
        if self.model(owner) is not None:
            session = self.storm.running[owner]
            del self.storm.models[session]
            self.run(self.storm.end(owner, session))

    @precondition(lambda self: self.storm.percent == 0)
    @rule(percent=st.sampled_from([20, 60]))
    def the_weather_turns(self, percent):
        self.storm.percent = percent

    @precondition(lambda self: self.storm.percent)
    @rule()
    def it_calms_down(self):
        self.run(self.storm.calm())

    @rule(minutes=st.integers(1, 90))
    def time_passes(self, minutes):
        for _ in range(minutes):
            self.run(self.storm.minute_passes())

    def teardown(self) -> None:
        if self.storm is not None:
            self.run(self.storm.calm())
            self.run(check_ledger_consistency(self.store))
            verified = self.run(self.store.audit.verify())
            assert verified.problems == ()
        self.run(self.store.close())
        self.loop.close()
        self.folder.cleanup()


@pytest.mark.parametrize("examples", [4, pytest.param(300, marks=pytest.mark.nightly)])
@pytest.mark.timeout(3600)
def test_whatever_people_do_only_what_is_due_is_stopped_and_all_of_it(examples):
    run_state_machine_as_test(
        Workspaces,
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
