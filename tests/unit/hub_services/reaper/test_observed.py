"""What the reaper sees of Kubernetes' objects, and that it does not see what is not ours."""

import copy
from datetime import UTC, datetime

import pytest

from eugospawner.manifests import labels
from hub_services.reaper import observed

POD = {
    "metadata": {
        "name": "jupyter-alice--gpu",
        "uid": "u1",
        "creationTimestamp": "2026-11-24T12:00:00Z",
        "labels": {"component": "singleuser-server", labels.SESSION: "s1"},
    },
    "spec": {
        "containers": [],
        "resourceClaims": [
            {"name": "gpu", "resourceClaimTemplateName": "gpu-1"},
            {"name": "own", "resourceClaimName": "by-hand"},
        ],
    },
}


def changed(source, **metadata):
    copied = copy.deepcopy(source)
    copied["metadata"] |= metadata
    return copied


def test_a_pod_tells_its_session_and_its_age():
    (pod,) = observed.to_pods([POD])
    assert (pod.name, pod.uid, pod.session) == ("jupyter-alice--gpu", "u1", "s1")
    assert pod.created_at == datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert not pod.is_going


def test_a_pod_with_a_deletion_time_is_going():
    (pod,) = observed.to_pods([changed(POD, deletionTimestamp="2026-11-24T13:00:00Z")])
    assert pod.is_going


@pytest.mark.parametrize(
    "carried",
    [
        pytest.param(None, id="no labels"),
        pytest.param({"component": "singleuser-server"}, id="no session"),
        pytest.param({labels.SESSION: "s1"}, id="no component"),
        pytest.param({labels.SESSION: "s1", "component": "hub"}, id="the hub"),
        pytest.param({labels.SESSION: "", "component": "singleuser-server"}, id="empty session"),
    ],
)
def test_a_pod_that_is_no_workspace_is_not_seen(carried):
    assert observed.to_pods([changed(POD, labels=carried)]) == ()


def test_templates_are_in_use_whoever_made_the_pod():
    foreign = changed(POD, labels={})
    assert observed.templates_in_use([foreign, {"spec": {}}]) == {"gpu-1"}


TEMPLATE = {
    "metadata": {
        "name": "gpu-0f3a",
        "uid": "t1",
        "creationTimestamp": "2026-11-24T12:00:00Z",
        "labels": {labels.GPU_MODEL: "L4", labels.GPU_COUNT: "1", labels.SM_PERCENT: "50"},
    }
}


def test_a_template_tells_its_shape():
    (template,) = observed.to_templates([TEMPLATE])
    assert template.shape == observed.Shape(gpu_model="L4", gpu_count="1", sm_percent="50")


@pytest.mark.parametrize(
    "template",
    [
        pytest.param(changed(TEMPLATE, labels={}), id="no label"),
        pytest.param(changed(TEMPLATE, name="mine"), id="not named as ours"),
    ],
)
def test_a_template_that_is_not_ours_is_not_seen(template):
    assert observed.to_templates([template]) == ()


VOLUME = {
    "metadata": {
        "name": "volume-1",
        "uid": "v1",
        "labels": {labels.VOLUME: "data"},
        "annotations": {labels.USER: "alice"},
    },
    "spec": {"resources": {"requests": {"storage": "10Gi"}}},
}


def test_a_volume_tells_owner_key_and_size():
    (claim,) = observed.to_volume_claims([VOLUME])
    assert (claim.owner, claim.key, claim.size_bytes) == ("alice", "data", 10 * 2**30)


def test_a_home_is_no_extra_volume():
    assert observed.to_volume_claims([changed(VOLUME, labels=None)]) == ()


@pytest.mark.parametrize("spec", [{}, {"resources": {"requests": {"storage": "much"}}}])
def test_a_size_that_cannot_be_read_is_none(spec):
    (claim,) = observed.to_volume_claims([VOLUME | {"spec": spec}])
    assert claim.size_bytes == 0


def test_a_claim_tells_the_pods_that_own_it():
    owners = [{"kind": "Pod", "uid": "u1"}, {"kind": "Job", "uid": "j1"}]
    (claim,) = observed.to_gpu_claims([changed(TEMPLATE, ownerReferences=owners)])
    assert claim.pod_uids == {"u1"}


def test_a_claim_that_no_pod_owns_is_somebodys_own():
    assert observed.to_gpu_claims([TEMPLATE]) == ()
