"""A service's clock is believed unless a witness shows that it is ahead."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_services.common.clock import SystemClock, WitnessedClock

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


class World:
    """True time, a machine whose clock is off, and a server that dates its answers."""

    ahead = timedelta()

    def __init__(self, off=timedelta(), server_off=timedelta()):
        self.passed, self.off, self.server_off = timedelta(), off, server_off
        self.clock = WitnessedClock(self, elapsed=self.seconds)

    def seconds(self):
        return self.passed.total_seconds()

    @property
    def server(self):
        return NOON + self.passed + self.server_off

    def now(self):
        return NOON + self.passed + self.off

    def ask(self, there=0.01, back=0.01):
        self.passed += timedelta(seconds=there)
        date = format_datetime(self.server, usegmt=True)
        self.passed += timedelta(seconds=back)
        self.clock.hear(date, waited=there + back)

    def wait(self, seconds):
        self.passed += timedelta(seconds=seconds)


def test_without_a_witness_it_is_the_machines():
    world = World(off=timedelta(hours=1))
    assert world.clock.now() == world.now()
    assert world.clock.ahead == timedelta()


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 24 Nov 2026 12:00:00 -0000"])
def test_a_date_that_is_none_tells_nothing(date):
    world = World(off=timedelta(hours=1))
    world.clock.hear(date, waited=0)
    assert world.clock.now() == world.now()


def test_an_hour_ahead_it_is_the_witnesss_time_and_told_once(caplog):
    caplog.set_level(logging.INFO)
    world = World(off=timedelta(hours=1))
    for _ in range(3):
        world.ask()
        world.wait(3)
        assert world.server - SECOND <= world.clock.now() <= world.server
    assert timedelta(hours=1) <= world.clock.ahead <= timedelta(hours=1) + SECOND
    (told,) = caplog.messages
    assert "3600" in told
    assert "ahead of Kubernetes'" in told
    world.off = timedelta()
    world.ask()
    assert world.clock.now() == world.now()
    assert caplog.messages[1:] == ["The clock of this machine is no longer ahead of Kubernetes'"]


def test_a_step_between_two_answers_is_seen_at_once():
    world = World()
    world.ask()
    world.wait(1)
    world.off = timedelta(minutes=5)
    assert world.clock.now() <= world.server


def test_one_that_is_behind_is_believed():
    world = World(off=-timedelta(hours=1))
    world.ask()
    assert world.clock.now() == world.now()
    assert world.clock.ahead == timedelta()


def test_within_a_minute_less_than_a_second_is_seen():
    """Answers at different parts of a second narrow it down, though each leaves them out."""
    world = World(off=timedelta(seconds=0.3))
    for _ in range(20):
        world.ask()
        world.wait(2.93)
    assert world.clock.now() <= world.server


@pytest.mark.parametrize("hours", [-2, 2])
def test_a_witness_whose_clock_is_set_is_followed_with_its_next_answer(hours):
    world = World(off=timedelta(hours=3))
    for _ in range(5):
        world.ask()
        world.wait(3)
    world.server_off = timedelta(hours=hours)
    world.ask()
    assert world.server - SECOND <= world.clock.now() <= world.server


@given(
    off=st.integers(-5_000, 5_000),
    asked=st.lists(
        st.tuples(st.floats(0, 5), st.floats(0, 5), st.floats(0, 10)), min_size=1, max_size=30
    ),
)
def test_it_is_never_ahead_by_more_than_one_answer_can_tell_and_right_where_the_machine_is(
    off, asked
):
    world = World(off=timedelta(milliseconds=off))
    for there, back, then in asked:
        world.ask(there, back)
        world.wait(then)
        most = SECOND + timedelta(seconds=there + back)
        assert world.clock.now() - world.server <= most
        assert world.clock.now() <= world.now()
        if off <= 0:
            assert world.clock.now() == world.now()


def test_the_machines_own_is_aware():
    assert SystemClock().now().tzinfo is UTC
    assert SystemClock().ahead == timedelta()
