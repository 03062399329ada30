"""After a sweep hub, cluster and store agree, on real Kubernetes and a real hub (promise 6)."""

import asyncio
import json
from datetime import timedelta
from uuid import uuid4

import pytest

from eugospawner.manifests import labels, names
from eugospawner.store import NewSession
from tests.factories.sessions import begin

pytestmark = pytest.mark.cluster

PAST_GRACE = timedelta(minutes=2)
PAST_TEMPLATES = timedelta(minutes=15)


def pod_of(hub, user):
    (pod,) = hub.objects("pods", user)
    return pod


async def orphaned(hub, store, user):
    """Put a Pod and its session beside those of *user*, which the hub knows nothing of."""
    (session, *_), pod = await store.sessions.history(user), pod_of(hub, user)
    ghost, meta = f"ghost-{uuid4().hex[:8]}", pod["metadata"]
    new = {name: getattr(session, name) for name in NewSession.__slots__}
    await begin(store, NewSession(**new | {"id": ghost, "owner": ghost}))
    copy = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": ghost,
            "namespace": meta["namespace"],
            "labels": meta["labels"] | {labels.SESSION: ghost},
            "annotations": meta["annotations"],
        },
        "spec": {key: value for key, value in pod["spec"].items() if key != "nodeName"},
    }
    kubeconfig = str(hub.demo.data / "hub.kubeconfig")
    hub.kubectl("--kubeconfig", kubeconfig, "create", "-f", "-", stdin=json.dumps(copy))
    return ghost


def exists(hub, kind, name):
    found = hub.kubectl("get", kind, name, "-n", "eugo", "--ignore-not-found", "-o", "name")
    return bool(found.stdout.strip())


async def test_a_running_workspace_and_all_that_belongs_to_it_stay(hub, user, reaper, store, clock):
    hub.start_light(user, profile="nb-gpu-l4", sm_percent=50)
    await asyncio.to_thread(hub.until_ready, user)
    clock.ahead = PAST_TEMPLATES
    before = pod_of(hub, user)
    await reaper.sweep_once()
    assert pod_of(hub, user)["metadata"]["uid"] == before["metadata"]["uid"]
    assert "deletionTimestamp" not in pod_of(hub, user)["metadata"]
    (session,) = await store.sessions.history(user)
    assert session.ended_at is None
    assert exists(
        hub,
        "resourceclaimtemplates",
        before["spec"]["resourceClaims"][0]["resourceClaimTemplateName"],
    )


async def test_a_pod_that_the_hub_does_not_know_goes_and_its_neighbour_stays(
    hub, user, reaper, store, clock
):
    hub.start_light(user, profile="nb-cpu-2")
    await asyncio.to_thread(hub.until_ready, user)
    ghost = await orphaned(hub, store, user)
    await reaper.sweep_once()
    assert exists(hub, "pod", ghost), "it was young"
    clock.ahead = PAST_GRACE
    assert (await reaper.sweep_once()).reaped >= 1
    await asyncio.to_thread(hub.until, lambda: not exists(hub, "pod", ghost), "it is still there")
    assert (await store.sessions.get(ghost)).end_reason == "orphan"
    assert hub.server(user)["ready"]
    assert (await reaper.sweep_once()).reaped == 0


async def test_a_session_whose_pod_vanished_ends(hub, user, reaper, store, clock):
    """Pod and hub's record are gone, as after a crash between two writes; the session is open."""
    hub.start_light(user, profile="nb-cpu-2")
    await asyncio.to_thread(hub.until_ready, user)
    (session,) = await store.sessions.history(user)
    pod = pod_of(hub, user)["metadata"]["name"]
    hub.kubectl("delete", "pod", pod, "-n", "eugo", "--grace-period=0", "--force")
    await asyncio.to_thread(hub.until, lambda: not exists(hub, "pod", pod), "the Pod stays")
    clock.ahead = PAST_GRACE
    await reaper.sweep_once()
    ended = await store.sessions.get(session.id)
    assert ended.end_reason in {"pod-gone", "gone"}  # the hub's own poll may have been first
    assert ended.ended_at >= ended.admitted_at


async def test_an_unused_template_goes_and_the_next_start_of_its_shape_works(
    hub, user, reaper, clock
):
    hub.start_light(user, profile="nb-gpu-l4", sm_percent=30)
    await asyncio.to_thread(hub.until_ready, user)
    (claim,) = pod_of(hub, user)["spec"]["resourceClaims"]
    template = claim["resourceClaimTemplateName"]
    hub.stop(user)
    await asyncio.to_thread(hub.until, lambda: not hub.objects("pods", user), "the Pod stays")
    await reaper.sweep_once()
    assert exists(hub, "resourceclaimtemplates", template), "it was young"
    clock.ahead = PAST_TEMPLATES
    await reaper.sweep_once()
    assert not exists(hub, "resourceclaimtemplates", template)
    hub.start_light(user, profile="nb-gpu-l4", sm_percent=30)
    await asyncio.to_thread(hub.until_ready, user)
    assert exists(hub, "resourceclaimtemplates", template)


async def test_a_volume_without_a_record_is_recorded_again_and_mountable(hub, user, reaper, store):
    """The store was lost; the data is not (F31)."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.volume_claim_name(user, "lost"),
            "namespace": "eugo",
            "labels": {labels.USER: user, labels.VOLUME: "lost"},
            "annotations": {labels.USER: user},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    hub.kubectl("create", "-f", "-", stdin=json.dumps(claim))
    assert (await reaper.sweep_once()).recorded >= 1
    volumes = await store.volumes.of_owner(user)
    assert volumes["lost"].size_bytes == 2**30
    assert exists(hub, "pvc", claim["metadata"]["name"])
    hub.start_light(user, profile="nb-cpu-2", volumes=[{"claim": "lost", "mount_path": "/data"}])
    await asyncio.to_thread(hub.until_ready, user)
    assert hub.run_inside(user, "sh", "-c", "echo here > /data/a; cat /data/a") == "here\n"
