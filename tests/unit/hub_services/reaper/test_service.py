"""The sweep over a fake cluster and hub and a real store: acts once, on what is still so."""

import asyncio
import logging
from datetime import timedelta

import pytest

from eugospawner.policy.errors import ClusterError, StoreError
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.store import open_store, upgrade
from hub_services.common.hub import HubError
from hub_services.reaper.service import Reaper, Swept
from tests.factories.sessions import begin
from tests.unit.hub_services.reaper.fakes import FakeClock, FakeCluster, FakeHub
from tests.unit.hub_services.reaper.worlds import (
    HOUR,
    NOW,
    a_gpu_claim,
    a_new_session,
    a_pod,
    a_server,
    a_template,
    a_volume_claim,
)

NOTHING = Swept()


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
def hub():
    return FakeHub()


@pytest.fixture
def cluster():
    return FakeCluster()


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def reaper(cluster, hub, store, clock):
    async def opened():
        return store

    return Reaper(cluster=cluster, hub=hub, open_store=opened, clock=clock)


async def end_of(store, session="s1"):
    found = await store.sessions.get(session)
    return found.end_reason


async def test_a_world_in_order_is_left_as_it_is(reaper, cluster, hub, store):
    await begin(store, a_new_session())
    cluster.held, hub.active = [a_pod()], [a_server()]
    assert await reaper.sweep_once() == NOTHING
    assert cluster.held == [a_pod()]
    assert await end_of(store) is None


async def test_an_orphan_is_deleted_and_its_session_ends_as_orphan(reaper, cluster, store, caplog):
    await begin(store, a_new_session())
    cluster.held = [a_pod()]
    assert await reaper.sweep_once() == Swept(reaped=1)
    assert cluster.held == []
    assert await end_of(store) == "orphan"
    assert (
        "Reaped the Pod jupyter-alice of alice: the hub knows no such server; "
        "session s1 ends as orphan"
    ) in caplog.messages


async def test_a_second_sweep_finds_nothing_to_do(reaper, cluster, store):
    await begin(store, a_new_session())
    await begin(store, a_new_session(id="s2", workspace="gpu"))
    cluster.held = [a_pod()]
    assert await reaper.sweep_once() == Swept(reaped=1, closed=1)
    assert await reaper.sweep_once() == NOTHING


async def test_the_end_is_written_before_the_pod_is_deleted(reaper, cluster, store, caplog):
    """So a crash between the two leaves a Pod that the next sweep deletes, and a true reason."""
    await begin(store, a_new_session())
    cluster.held, cluster.refuses = [a_pod()], {"jupyter-alice"}
    assert await reaper.sweep_once() == Swept(failed=1)
    assert await end_of(store) == "orphan"
    assert "Could not stop the Pod jupyter-alice: no; the next sweep tries again" in caplog.messages
    cluster.refuses = set()
    assert await reaper.sweep_once() == Swept(reaped=1)


async def test_one_pod_that_cannot_be_deleted_does_not_keep_the_others(reaper, cluster, store):
    await begin(store, a_new_session())
    await begin(store, a_new_session(id="s2", owner="bob"))
    cluster.held = [a_pod(), a_pod(name="jupyter-bob", uid="uid-2", session="s2")]
    cluster.refuses = {"jupyter-alice"}
    assert await reaper.sweep_once() == Swept(reaped=1, failed=1)
    assert [pod.name for pod in cluster.held] == ["jupyter-alice"]


async def test_an_act_that_hangs_is_given_up_and_the_others_go_on(
    reaper, cluster, store, monkeypatch
):
    monkeypatch.setattr("hub_services.reaper.service._ACT_SECONDS", 0.2)
    await begin(store, a_new_session())
    cluster.held_templates = [a_template()]

    async def hang(_pod):
        await asyncio.Event().wait()

    monkeypatch.setattr(cluster, "delete_pod", hang)
    cluster.held = [a_pod()]
    assert await reaper.sweep_once() == Swept(dropped=1, failed=1)


async def test_another_hubs_pod_is_left_alone_and_told_of(reaper, cluster, caplog):
    cluster.held = [a_pod(session="theirs")]
    assert await reaper.sweep_once() == NOTHING
    assert "The Pod jupyter-alice is left alone: the store knows no session theirs" in caplog.text


async def test_a_user_missed_by_the_list_keeps_the_workspace(reaper, cluster, hub, store):
    """Pages are read by offset: a user who leaves shifts the next one out of sight."""
    await begin(store, a_new_session())
    cluster.held, hub.active, hub.missed = [a_pod()], [a_server()], {"alice"}
    assert await reaper.sweep_once() == NOTHING
    assert cluster.held == [a_pod()]
    assert await end_of(store) is None


async def test_a_workspace_started_between_list_and_act_stays(reaper, cluster, hub, store):
    await begin(store, a_new_session())
    cluster.held = [a_pod()]
    hub.just_before = lambda: hub.active.append(a_server(pending="spawn"))
    assert await reaper.sweep_once() == NOTHING
    assert cluster.held == [a_pod()]


async def test_a_new_pod_of_the_same_name_survives(reaper, cluster, hub, store):
    await begin(store, a_new_session())
    cluster.held = [a_pod()]
    new = a_pod(uid="uid-2", session="s2", created_at=NOW)
    hub.just_before = lambda: cluster.held.__setitem__(slice(None), [new])
    assert await reaper.sweep_once() == NOTHING
    assert cluster.held == [new]


async def test_a_session_without_a_pod_ends(reaper, store, clock):
    await begin(store, a_new_session())
    assert await reaper.sweep_once() == Swept(closed=1)
    assert await end_of(store) == "pod-gone"
    found = await store.sessions.get("s1")
    assert found.ended_at == clock.now()


async def test_a_session_that_is_already_over_is_not_counted(reaper, hub, store):
    await begin(store, a_new_session())
    ending = []

    def end():
        ending.append(asyncio.ensure_future(store.sessions.end("s1", reason="stopped", at=NOW)))

    hub.just_before = end
    assert await reaper.sweep_once() == NOTHING
    await asyncio.gather(*ending)
    assert await end_of(store) == "stopped"


async def test_a_session_never_ends_before_it_began(reaper, hub, store, clock):
    """The clock goes back between the sweep's look and its act."""
    await begin(store, a_new_session())
    hub.just_before = lambda: setattr(clock, "time", NOW - timedelta(days=1))
    await reaper.sweep_once()
    hub.just_before = lambda: None
    clock.time = NOW
    await reaper.sweep_once()
    found = await store.sessions.get("s1")
    assert found.ended_at >= found.admitted_at


async def test_a_session_whose_pod_appears_after_the_list_stays_open(reaper, cluster, hub, store):
    await begin(store, a_new_session())
    hub.active = [a_server()]
    hub.just_before = lambda: cluster.held.append(a_pod(created_at=NOW))
    assert await reaper.sweep_once() == NOTHING
    assert await end_of(store) is None


async def test_the_pod_of_a_superseded_session_goes_and_its_successor_stays(
    reaper, cluster, hub, store
):
    await begin(store, a_new_session())
    await begin(store, a_new_session(id="s2", admitted_at=NOW - HOUR / 2))
    fresh = a_pod(name="jupyter-alice-2", uid="uid-2", session="s2")
    cluster.held, hub.active = [a_pod(), fresh], [a_server()]
    assert await reaper.sweep_once() == Swept(reaped=1)
    assert cluster.held == [fresh]
    assert await end_of(store, "s1") == "superseded"
    assert await end_of(store, "s2") is None


async def test_a_template_that_nobody_needs_goes(reaper, cluster):
    cluster.held_templates = [a_template()]
    assert await reaper.sweep_once() == Swept(dropped=1)
    assert cluster.held_templates == []


async def test_a_template_that_a_pod_took_between_list_and_act_stays(reaper, cluster):
    cluster.held_templates = [a_template()]
    cluster.just_before = lambda: setattr(cluster, "foreign_templates_in_use", frozenset({"gpu-1"}))
    assert await reaper.sweep_once() == NOTHING
    assert cluster.held_templates == [a_template()]


async def test_a_lost_record_of_a_volume_is_written_again_and_the_volume_stays(
    reaper, cluster, store
):
    cluster.held_volumes = [a_volume_claim()]
    assert await reaper.sweep_once() == Swept(recorded=1)
    volumes = await store.volumes.of_owner("alice")
    assert volumes["data"].claim_name == a_volume_claim().name
    assert cluster.held_volumes == [a_volume_claim()]
    assert await reaper.sweep_once() == NOTHING


async def test_a_lost_record_of_a_projects_volume_counts_for_the_project(reaper, cluster, store):
    cluster.held_volumes = [a_volume_claim(owner="project/vision")]
    assert await reaper.sweep_once() == Swept(recorded=1)
    vision = Subject(SubjectKind.PROJECT, "vision")
    assert await store.volumes.payers_of("project/vision", "data") == (vision,)


@pytest.mark.parametrize(
    ("outside", "error"), [("hub", HubError), ("cluster", ClusterError), ("store", StoreError)]
)
async def test_nothing_is_done_while_one_of_the_three_is_down(
    reaper, cluster, hub, store, outside, error
):
    await begin(store, a_new_session())
    cluster.held = [a_pod()]
    cluster.held_templates, cluster.held_volumes = [a_template()], [a_volume_claim()]
    if outside == "store":
        await store.close()
    else:
        {"hub": hub, "cluster": cluster}[outside].is_down = True
    with pytest.raises(error):
        await reaper.sweep_once()
    assert (cluster.held, cluster.held_templates) == ([a_pod()], [a_template()])


async def test_nothing_is_deleted_when_the_hub_goes_down_after_its_list(
    reaper, cluster, hub, store
):
    await begin(store, a_new_session())
    cluster.held, hub.goes_down_after_the_list = [a_pod()], True
    assert await reaper.sweep_once() == Swept(failed=1)
    assert cluster.held == [a_pod()]
    assert await end_of(store) is None


async def test_a_doubt_is_told_once_and_again_when_it_comes_back(reaper, cluster, caplog):
    caplog.set_level(logging.WARNING)
    cluster.held_claims = [a_gpu_claim()]
    for claims in ([a_gpu_claim()], [a_gpu_claim()], [], [a_gpu_claim()]):
        cluster.held_claims = claims
        assert await reaper.sweep_once() == NOTHING
    assert len([each for each in caplog.messages if "outlives its Pod" in each]) == 2


@pytest.mark.parametrize("await_number", range(12))
async def test_a_sweep_that_is_cut_at_any_await_is_finished_by_the_next(
    reaper, cluster, hub, store, await_number
):
    """Killed at its n-th look or act, and started anew: the result is the same (promise 6)."""
    await begin(store, a_new_session())
    await begin(store, a_new_session(id="s2", owner="bob"))
    cluster.held, cluster.held_templates = [a_pod()], [a_template()]
    cluster.held_volumes = [a_volume_claim()]
    _cut(cluster, hub, after=await_number)
    with pytest.raises(asyncio.CancelledError):
        await reaper.sweep_once()
    _cut(cluster, hub, after=None)
    await reaper.sweep_once()
    assert (cluster.held, cluster.held_templates) == ([], [])
    assert [await end_of(store, each) for each in ("s1", "s2")] == ["orphan", "pod-gone"]
    assert set(await store.volumes.of_owner("alice")) == {"data"}
    assert await reaper.sweep_once() == NOTHING


def _cut(cluster, hub, *, after):
    """Make the call number *after* of cluster and hub together the last; `None`: none is."""
    left = [after]

    def guarded(method):
        async def call(*arguments):
            if left[0] == 0:
                raise asyncio.CancelledError
            if left[0] is not None:
                left[0] -= 1
            return await method(*arguments)

        return call

    for fake in (cluster, hub):
        for name in dir(type(fake)):
            if not name.startswith("_") and asyncio.iscoroutinefunction(getattr(type(fake), name)):
                setattr(fake, name, guarded(getattr(type(fake), name).__get__(fake)))
