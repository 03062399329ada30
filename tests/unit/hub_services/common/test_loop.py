"""A sweep repeated: in time, one at a time, whatever goes wrong (design §7)."""

import asyncio
import logging
from datetime import timedelta

import pytest

from eugospawner.policy.errors import StoreError
from hub_services.common import loop
from tests.unit.hub_services.fast_time import run

MINUTE = timedelta(minutes=1)


class Sweeps:
    """Notes when it is called; fails as often as it is told to."""

    def __init__(self, *faults):
        self.faults = list(faults)
        self.at = []
        self.seconds = 0.0

    async def __call__(self):
        self.at.append(round(asyncio.get_running_loop().time() - self.began, 3))
        await asyncio.sleep(self.seconds)
        if self.faults:
            raise self.faults.pop(0)

    def during(self, seconds, **how):
        """Run the loop for so long; return when it swept."""

        async def limited():
            self.began = asyncio.get_running_loop().time()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(seconds):
                    await loop.every(MINUTE, self, **{"jitter": 0, **how})

        run(limited())
        return [round(at) for at in self.at]


def test_it_sweeps_at_once_and_then_each_interval():
    assert Sweeps().during(150) == [0, 60, 120]


def test_the_first_sweep_can_be_put_off():
    assert Sweeps().during(100, first=timedelta(seconds=5)) == [5, 65]


def test_the_interval_begins_when_a_sweep_ends():
    sweeps = Sweeps()
    sweeps.seconds = 30
    assert sweeps.during(200) == [0, 90, 180]


def test_jitter_keeps_services_apart_and_near_their_interval():
    sweeps = Sweeps()
    sweeps.during(60 * 200, jitter=0.1)
    gaps = [later - earlier for earlier, later in zip(sweeps.at, sweeps.at[1:], strict=False)]
    assert 54 <= min(gaps) < 57
    assert 63 < max(gaps) <= 66.001


def test_a_failed_sweep_is_tried_again_soon_then_ever_later_but_within_the_interval():
    sweeps = Sweeps(*[StoreError("down")] * 8)
    assert sweeps.during(270) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_a_thousand_failures_do_not_end_the_loop():
    sweeps = Sweeps(*[StoreError("down")] * 1000)
    assert len(sweeps.during(60 * 1100)) > 1000


def test_what_the_world_did_is_told_in_one_line(caplog):
    Sweeps(StoreError("The store is down")).during(30)
    (line,) = [each for each in caplog.records if each.levelno == logging.WARNING]
    assert line.getMessage() == "Nothing was done, for the first time: The store is down"
    assert line.exc_info is None


def test_a_bug_is_told_with_its_traceback_and_does_not_end_the_loop(caplog):
    assert Sweeps(ZeroDivisionError()).during(30) == [0, 1]
    (line,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert line.exc_info is not None


def test_the_end_of_failures_is_told_with_their_number(caplog):
    caplog.set_level(logging.INFO)
    Sweeps(*[StoreError("down")] * 3).during(30)
    assert "It works again after 3 failed sweeps" in caplog.messages
    assert "Nothing was done, 3 times in a row: down" in caplog.messages


def test_a_wakeup_sweeps_at_once_and_once():
    sweeps = Sweeps()

    async def woken():
        sweeps.began = asyncio.get_running_loop().time()
        wakeup = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(loop.every(MINUTE, sweeps, jitter=0, wakeup=wakeup))
            await asyncio.sleep(10)
            wakeup.set()
            await asyncio.sleep(70)
            task.cancel()

    run(woken())
    assert [round(at) for at in sweeps.at] == [0, 10, 70]


def test_a_wakeup_during_a_sweep_brings_another_one_after_it():
    sweeps = Sweeps()
    sweeps.seconds = 5

    async def woken():
        sweeps.began = asyncio.get_running_loop().time()
        wakeup = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            task = tasks.create_task(loop.every(MINUTE, sweeps, jitter=0, wakeup=wakeup))
            await asyncio.sleep(2)
            wakeup.set()
            await asyncio.sleep(30)
            task.cancel()

    run(woken())
    assert [round(at) for at in sweeps.at] == [0, 5]


def test_it_ends_when_cancelled_in_the_middle_of_a_sweep():
    sweeps = Sweeps()
    sweeps.seconds = 30
    assert sweeps.during(10) == [0]
