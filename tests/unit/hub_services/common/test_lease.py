"""One of several acts: taken, renewed, lost and taken over, by monotonic clocks alone."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from eugospawner.policy.errors import ClusterError
from hub_services.common import lease as leases
from hub_services.common.lease import DURATION, INTERVAL, TRUSTED, Lease
from tests.unit.eugospawner.test_cluster import FakeApi, api_error


@dataclass
class Machine:
    """A process with a clock of its own: wall time may be anything."""

    seconds: float = 0.0
    wall: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)
    lease: Lease = field(init=False)
    gained: int = 0
    dates: list[tuple[str | None, float]] = field(default_factory=list)

    def gain(self) -> None:
        self.gained += 1

    def wait(self, duration: timedelta) -> None:
        self.seconds += duration.total_seconds()
        self.wall += duration


class LeaseApi(FakeApi):
    """Replaces only what has not changed since it was read, as the API server does."""

    def __init__(self) -> None:
        super().__init__()
        self.versions = 0

    def _create(self, kind: str, namespace: str, body: Any) -> Any:
        stored = super()._create(kind, namespace, body)
        return self._versioned(stored)

    def _replace(self, kind: str, name: str, namespace: str, body: Any) -> Any:
        found = self._read(kind, name, namespace)
        if body["metadata"]["resourceVersion"] != found["metadata"]["resourceVersion"]:
            raise api_error(409, "Conflict", "the object has been modified")
        found["spec"] = body["spec"]
        return self._versioned(found)

    def _versioned(self, stored: Any) -> Any:
        self.versions += 1
        stored["metadata"] = {**stored["metadata"], "resourceVersion": str(self.versions)}
        return stored


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> LeaseApi:
    made = LeaseApi()
    monkeypatch.setattr(leases, "CoordinationV1Api", lambda _client: made)
    return made


@pytest.fixture
def two(api: LeaseApi) -> tuple[Machine, Machine]:  # noqa: ARG001 - what they talk to
    machines = Machine(), Machine(seconds=9999.0, wall=datetime(1999, 1, 1, tzinfo=UTC))
    for name, machine in zip("ab", machines, strict=True):
        machine.lease = Lease(
            SimpleNamespace(),  # type: ignore[arg-type]
            "eugo",
            "quota",
            identity=name,
            now=lambda machine=machine: machine.wall,
            elapsed=lambda machine=machine: machine.seconds,
            gained=machine.gain,
            witness=lambda date, waited, machine=machine: machine.dates.append((date, waited)),
        )
    return machines


def wait(machines: tuple[Machine, ...], duration: timedelta) -> None:
    for machine in machines:
        machine.wait(duration)


async def test_the_first_takes_it_and_the_second_waits(api, two):
    one, other = two
    assert not one.lease.is_held
    assert await one.lease.renew_once()
    assert not await other.lease.renew_once()
    assert (one.lease.is_held, other.lease.is_held) == (True, False)
    spec = api.held["lease", "quota"]["spec"]
    assert spec["holderIdentity"] == "a"
    assert spec["renewTime"] == "2026-11-24T12:00:00.000000Z"


async def test_who_renews_keeps_it_for_ever_whatever_the_clocks_say(two):
    one, other = two
    for _ in range(50):
        assert await one.lease.renew_once()
        assert not await other.lease.renew_once()
        wait(two, INTERVAL)
        assert one.lease.is_held


async def test_one_that_is_dead_is_followed_after_the_duration_and_never_before(api, two):
    one, other = two
    await one.lease.renew_once()
    assert not await other.lease.renew_once()
    other.wait(DURATION - timedelta(seconds=0.1))
    assert not await other.lease.renew_once()
    other.wait(timedelta(seconds=0.1))
    assert await other.lease.renew_once()
    assert api.held["lease", "quota"]["spec"]["leaseTransitions"] == 1
    assert not await one.lease.renew_once()
    assert not one.lease.is_held


async def test_who_gains_it_is_told_once_and_again_if_it_was_lost_between(api, two):
    one, other = two
    for _ in range(3):
        await one.lease.renew_once()
        await other.lease.renew_once()
        wait(two, INTERVAL)
    assert (one.gained, other.gained) == (1, 0)
    api.faults = [api_error(403, "Forbidden", "no")] * 9
    wait(two, TRUSTED)
    with pytest.raises(ClusterError):
        await one.lease.renew_once()
    api.faults = []
    await one.lease.renew_once()
    assert one.gained == 2
    await one.lease.release()
    await other.lease.renew_once()
    assert (one.gained, other.gained) == (2, 1)


async def test_how_long_nobody_could_tell_whose_it_is(api, two):
    one, _ = two
    await one.lease.renew_once()
    wait(two, INTERVAL)
    assert one.lease.silence == INTERVAL
    api.faults = [api_error(403, "Forbidden", "no")]
    with pytest.raises(ClusterError):
        await one.lease.renew_once()
    assert one.lease.silence == INTERVAL
    await one.lease.renew_once()
    assert one.lease.silence == timedelta()


async def test_the_holder_stops_to_act_before_anybody_may_take_over(api, two):
    """It cannot reach the API server, and so cannot know."""
    one, other = two
    await one.lease.renew_once()
    await other.lease.renew_once()
    api.faults = [api_error(403, "Forbidden", "no")] * 99
    wait(two, TRUSTED - timedelta(seconds=0.1))
    with pytest.raises(ClusterError):
        await one.lease.renew_once()
    assert one.lease.is_held
    wait(two, timedelta(seconds=0.1))
    assert not one.lease.is_held
    api.faults = []
    assert not await other.lease.renew_once()
    assert TRUSTED < DURATION


async def test_a_call_that_hangs_is_given_up_in_time(two, api, monkeypatch):
    monkeypatch.setattr(leases, "_CALL_SECONDS", 0.01)

    async def hang(*_arguments: object, **_keywords: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(api, "read_namespaced_lease", hang, raising=False)
    with pytest.raises(ClusterError, match="could not be renewed"):
        await two[0].lease.renew_once()
    assert not two[0].lease.is_held


async def test_released_it_is_free_at_once(two):
    one, other = two
    await one.lease.renew_once()
    await other.lease.renew_once()
    await one.lease.release()
    assert not one.lease.is_held
    assert await other.lease.renew_once()
    await one.lease.release()  # again: nothing
    assert other.lease.is_held
    assert await other.lease.renew_once()


async def test_of_two_that_see_it_free_one_gets_it(api, two):
    one, other = two
    await one.lease.renew_once()
    await other.lease.renew_once()
    wait(two, DURATION)
    await asyncio.gather(*(machine.lease.renew_once() for machine in two))
    assert [machine.lease.is_held for machine in two].count(True) == 1
    del api.held["lease", "quota"]
    wait(two, DURATION)
    await asyncio.gather(*(machine.lease.renew_once() for machine in two))
    assert [machine.lease.is_held for machine in two].count(True) == 1


async def test_a_release_that_fails_is_no_error(two, api):
    await two[0].lease.renew_once()
    api.faults = [api_error(403, "Forbidden", "no")]
    await two[0].lease.release()
    assert not two[0].lease.is_held


async def test_the_date_of_each_answer_is_told_with_the_time_that_it_took(api, two, monkeypatch):
    one, _ = two
    api.date = "Tue, 24 Nov 2026 12:00:00 GMT"
    await one.lease.renew_once()  # looks, finds none, creates
    assert one.dates == [(None, 0.0), (api.date, 0.0)]
    read = api.read_namespaced_lease

    async def slow(*arguments, **keywords):
        one.wait(timedelta(seconds=2))
        return await read(*arguments, **keywords)

    monkeypatch.setattr(api, "read_namespaced_lease", slow, raising=False)
    await one.lease.renew_once()
    assert one.dates[2:] == [(api.date, 2.0), (api.date, 0.0)]
