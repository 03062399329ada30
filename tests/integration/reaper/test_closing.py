"""Windows close on real Kubernetes and a real hub, by two reapers at once (F62; D9; promises 3 and 8)."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from eugospawner.manifests import labels
from eugospawner.store import NewSession
from hub_services.reaper.closing import Closer
from tests.factories.sessions import a_demand

pytestmark = pytest.mark.cluster

CLOSES_IN = timedelta(minutes=5)


@pytest.fixture
def closers(reaper, store, clock):
    """Two reapers, either of which believes that it alone holds the lease."""

    async def opened():
        return store

    return [
        Closer(cluster=reaper._cluster, hub=reaper._hub, open_store=opened, clock=clock)
        for _ in range(2)
    ]


async def test_two_reapers_close_a_window_once_and_what_is_started_anew_stays(
    hub, user, closers, store, clock
):
    hub.start_light(user, profile="nb-cpu-2")
    await asyncio.to_thread(hub.until_ready, user)
    (session,) = await store.sessions.history(user)
    new = NewSession(**{name: getattr(session, name) for name in NewSession.__slots__})
    now = clock.now()
    demand = a_demand(new, start=now, latest_end=now + CLOSES_IN, because="plan-window")
    await store.sessions.switch_queue(session.id, "night", demand, actor="ada", at=now)

    await asyncio.gather(*(closer.sweep_once() for closer in closers))
    (pod,) = hub.objects("pods", user)
    assert "deletionTimestamp" not in pod["metadata"]
    assert pod["metadata"]["labels"][labels.QUEUE] == "night"  # it says where it is

    clock.ahead = CLOSES_IN
    closed = await asyncio.gather(*(closer.sweep_once() for closer in closers))
    assert [sum(each.closed for each in closed), sum(each.failed for each in closed)] == [1, 0]
    await asyncio.to_thread(hub.until, lambda: not hub.objects("pods", user), "it runs on")
    await asyncio.to_thread(
        hub.until, lambda: not hub.server(user).get("ready"), "the hub has not noticed"
    )
    (ended,) = await store.sessions.history(user)
    assert (ended.end_reason, ended.stop_by) == ("plan-window", "reaper")
    lines = await store.audit.lines(about=f"workspace.{user}/", action="stop")
    assert [line.reason for line in lines] == ["plan-window"]

    hub.start_light(user, profile="nb-cpu-2")
    await asyncio.to_thread(hub.until_ready, user)
    clock.ahead = 2 * CLOSES_IN
    await asyncio.gather(*(closer.sweep_once() for closer in closers))
    assert hub.server(user)["ready"]


async def test_a_pod_of_the_same_name_is_not_labelled_for_another(hub, user, reaper, store):
    hub.start_light(user, profile="nb-cpu-2")
    await asyncio.to_thread(hub.until_ready, user)
    (session,) = await store.sessions.history(user)
    cluster = reaper._cluster
    (pod,) = await cluster.pods_of(session.id)
    await cluster.label_queue(replace(pod, uid="00000000-0000-0000-0000-000000000000"), "night")
    assert (await cluster.pods_of(session.id))[0].queue == pod.queue
    await cluster.label_queue(pod, "night")
    assert (await cluster.pods_of(session.id))[0].queue == "night"
