"""
Windows close to the millisecond, for plan-bound queues alone; and what was to end does end, whoever was cut off.

F16, F62; D9; promises 3 and 6.
"""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from eugospawner.policy.errors import ClusterError
from eugospawner.policy.lifecycle import State
from eugospawner.store import Wish, open_store, upgrade
from hub_services.reaper.closing import AHEAD, Closed, Closer, next_close, to_label
from tests.factories.sessions import a_demand
from tests.unit.hub_services.culler.test_service import FakeHub
from tests.unit.hub_services.reaper.fakes import FakeClock, FakeCluster
from tests.unit.hub_services.reaper.worlds import HOUR, NOW, a_new_session, a_pod

MINUTE = timedelta(minutes=1)
CLOSES = NOW + 2 * HOUR


@dataclass
class Cluster(FakeCluster):
    labelled: list = field(default_factory=list)

    async def label_queue(self, pod, queue):
        self.labelled.append((pod.name, queue))
        self.held = [replace(each, queue=queue) if each == pod else each for each in self.held]


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
def cluster():
    return Cluster()


@pytest.fixture
def waits():
    return []


@pytest.fixture
def closer(cluster, hub, store, clock, waits):
    async def opened():
        return store

    return Closer(cluster=cluster, hub=hub, open_store=opened, clock=clock, wakeup=waits.append)


@pytest.fixture
def begin(store, cluster):
    async def begin(name="s1", *, queue="night", because="plan-window", ends=CLOSES, **changes):
        new = a_new_session(
            **{"id": name, "workspace": name, "queue": queue, "admitted_at": NOW} | changes
        )
        demand = a_demand(new, latest_end=ends, because=because)
        await store.sessions.open(new, demand, wish=Wish(name=None, options={}))
        await store.sessions.bind(name, granted_percent=0, at=NOW)
        cluster.held.append(a_pod(name=f"pod-{name}", uid=f"uid-{name}", session=name, queue=queue))

    return begin


async def end_of(store, name="s1"):
    return (await store.sessions.get(name)).end_reason


async def test_not_a_millisecond_early_and_then_at_once(closer, begin, store, cluster, clock, hub):
    await begin()
    clock.time = CLOSES - timedelta(milliseconds=1)
    assert await closer.sweep_once() == Closed()
    assert len(cluster.held) == 1
    clock.time = CLOSES
    assert await closer.sweep_once() == Closed(closed=1)
    assert cluster.held == []
    assert hub.asked == [("alice", "s1", "s1", False)]
    assert await end_of(store) == "plan-window"
    found = await store.workspaces.get("alice", "s1")
    assert (found.state, found.because, found.actor) == (State.STOPPED, "plan-window", "reaper")
    (line,) = await store.audit.lines(action="stop")
    assert (line.actor, line.reason) == ("reaper", "plan-window")


@pytest.mark.parametrize(
    ("queue", "because"), [("default", "max-session"), ("night", "max-session"),
                           ("night", "quota-exhausted")]
)  # fmt: skip
async def test_what_no_window_ends_is_left_alone(closer, begin, store, clock, queue, because):
    await begin(queue=queue, because=because)
    clock.time = CLOSES + HOUR
    assert await closer.sweep_once() == Closed()
    assert await end_of(store) is None


async def test_who_switches_to_the_default_queue_a_moment_before_runs_on(
    closer, begin, store, cluster, clock, hub
):
    await begin()
    clock.time = CLOSES
    open_sessions = store.sessions.open_sessions

    async def then_switched():
        found = await open_sessions()
        there = a_new_session(id="s1", workspace="s1", queue="default", admitted_at=NOW)
        demand = a_demand(there, start=CLOSES, latest_end=CLOSES + 4 * HOUR)
        await store.sessions.switch_queue("s1", "default", demand, actor="alice", at=CLOSES)
        return found

    store.sessions.open_sessions = then_switched
    closed = await closer.sweep_once()
    assert closed.closed == 0
    assert hub.asked == []
    assert [pod.name for pod in cluster.held] == ["pod-s1"]
    # And its Pod says so: whoever switched was cut off before.
    assert cluster.labelled == [("pod-s1", "default")]


async def test_the_next_sweep_is_a_moment_before_the_next_close_and_at_it(
    closer, begin, clock, waits
):
    await begin("s1")
    await begin("s2", ends=CLOSES + HOUR)
    await begin("s3", queue="default", because="max-session", ends=NOW + MINUTE)
    await closer.sweep_once()
    assert waits == [2 * HOUR - AHEAD]
    clock.time = CLOSES - AHEAD
    await closer.sweep_once()
    assert waits[1:] == [AHEAD]
    clock.time = CLOSES
    await closer.sweep_once()
    assert waits[2:] == [HOUR - AHEAD]


async def test_at_the_close_pods_are_deleted_before_any_is_listed_again(
    closer, begin, cluster, clock
):
    await begin("s1")
    await begin("s2")
    clock.time = CLOSES - AHEAD
    await closer.sweep_once()
    # Somebody starts anew under the same name meanwhile: it is another Pod, of another session.
    cluster.held = [
        a_pod(name="pod-s1", uid="uid-new", session="s9", queue="night") if each.uid == "uid-s1"
        else each for each in cluster.held
    ]  # fmt: skip
    there = []
    list_pods, cluster.pods = cluster.pods, None

    async def listed():
        there.extend(cluster.held)
        return await list_pods()

    cluster.pods = listed
    clock.time = CLOSES
    assert (await closer.sweep_once()).closed == 2
    assert [each.uid for each in there] == ["uid-new"]


async def test_a_pod_that_was_not_seen_before_the_close_is_found(closer, begin, cluster, clock):
    await begin("s1")
    clock.time = CLOSES - AHEAD
    await closer.sweep_once()
    await begin("s2")
    clock.time = CLOSES
    assert (await closer.sweep_once()).closed == 2
    assert cluster.held == []


async def test_whoever_cannot_list_the_pods_is_awake_at_the_close_nevertheless(
    closer, begin, cluster, waits
):
    await begin()
    cluster.is_down = True
    with pytest.raises(ClusterError):
        await closer.sweep_once()
    assert waits == [2 * HOUR - AHEAD]


async def test_pods_that_cannot_be_listed_stop_no_close(closer, begin, store, cluster, clock, hub):
    await begin()
    clock.time = CLOSES
    cluster.is_down = True
    with pytest.raises(ClusterError):
        await closer.sweep_once()
    # It is on record, and the hub, which has the Pod deleted, has been told.
    assert await end_of(store) == "plan-window"
    assert hub.asked == [("alice", "s1", "s1", False)]


async def test_a_pod_that_cannot_be_deleted_now_is_left_to_the_hub_and_the_next_sweep(
    closer, begin, store, cluster, clock, hub
):
    await begin("s1")
    await begin("s2")
    cluster.refuses = {"pod-s1"}
    hub.fails = ["refused"]
    clock.time = CLOSES
    closed = await closer.sweep_once()
    assert (closed.closed, closed.failed) == (1, 2)
    clock.time += 61 * timedelta(seconds=1)
    assert (await closer.sweep_once()).again == 2
    assert await end_of(store, "s1") == await end_of(store, "s2") == "plan-window"


async def test_two_reapers_close_it_once(closer, begin, store, clock):
    await begin()
    clock.time = CLOSES
    closed = await asyncio.gather(*(closer.sweep_once() for _ in range(6)))
    assert sum(each.closed for each in closed) == 1
    assert len(await store.audit.lines(action="ask-to-stop")) == 1
    assert len(await store.audit.lines(action="stop")) == 1


async def test_a_pod_of_the_same_name_that_is_another_s_stays(closer, begin, cluster, clock):
    await begin()
    cluster.held = [a_pod(name="pod-s1", uid="new", session="other")]
    clock.time = CLOSES
    await closer.sweep_once()
    assert [pod.uid for pod in cluster.held] == ["new"]


async def test_whoever_asked_and_was_cut_off_is_heard_after_a_minute(
    closer, begin, store, clock, hub
):
    await begin(queue="default", because="max-session")
    await store.sessions.ask_to_stop("s1", reason="user", actor="alice", at=NOW)
    clock.time = NOW + 59 * timedelta(seconds=1)
    assert (await closer.sweep_once()).again == 0
    clock.time = NOW + MINUTE
    assert (await closer.sweep_once()).again == 1
    assert hub.asked == [("alice", "s1", "s1", False)]
    assert await end_of(store) == "user"


async def test_a_suspension_that_does_not_end_is_called_failed(closer, begin, store, clock, hub):
    await begin(queue="default", because="max-session")
    await store.sessions.ask_to_stop(
        "s1", reason="suspension", actor="ada", at=NOW, to=State.SUSPENDING, said="Unpaid."
    )
    hub.fails = ["refused"] * 9
    clock.time = NOW + 10 * MINUTE
    assert (await closer.sweep_once()).given_up == 1
    found = await store.workspaces.get("alice", "s1")
    assert (found.state, found.said) == (State.SUSPEND_FAILED, "Unpaid.")
    await store.sessions.end("s1", reason="stopped", at=clock.time)
    assert (await store.workspaces.get("alice", "s1")).state is State.SUSPENDED


async def test_of_a_thousand_each_is_closed_once(closer, begin, store, cluster, clock):
    for number in range(200):
        await begin(f"s{number}", owner=f"u{number}", project=f"p{number}")
    clock.time = CLOSES
    assert (await closer.sweep_once()).closed == 200
    assert cluster.held == []
    assert await store.sessions.open_sessions() == ()


def test_nothing_to_close_is_no_time_to_wake():
    assert next_close([], NOW) is None
    assert to_label([], []) == ()
