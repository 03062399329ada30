"""Kubernetes' JSON as accounting reads it (promise 5)."""

from datetime import UTC, datetime

import pytest

from hub_services.quota.observed import to_pods
from tests.factories import a_catalog

READY = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-11-24T11:00:10Z"}


def a_pod(*, labels=None, **status):
    return {
        "metadata": {
            "name": "jupyter-alice",
            "creationTimestamp": "2026-11-24T11:00:00Z",
            "labels": {"eugo.dev/session": "s1"} | (labels or {}),
        },
        "status": {"phase": "Running", "conditions": [READY]} | status,
    }


GPU = {
    "eugo.dev/gpu-model": "H100",
    "eugo.dev/gpu-count": "2",
    "eugo.dev/sm-percent": "25",
    "eugo.dev/effective-gpus": "0.50",
}
CLAIMED = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "c1"}]}


def a_claim(*amounts):
    results = [
        {"driver": "d", "pool": "p", "device": f"gpu-{n}", "consumedCapacity": {"cores": amount}}
        for n, amount in enumerate(amounts)
    ]
    return {
        "metadata": {"name": "c1"},
        "status": {"allocation": {"devices": {"results": results}}},
    }


def one(pod, claims=()):
    (found,) = to_pods([pod], {each["metadata"]["name"]: each for each in claims}, a_catalog())
    return found


def test_a_pod_without_gpus_is_granted_none():
    pod = one(a_pod())
    assert (pod.session, pod.wants_gpu, pod.granted_percent) == ("s1", False, 0)
    assert pod.ready_at == datetime(2026, 11, 24, 11, 0, 10, tzinfo=UTC)
    assert pod.ended_at is None


def test_what_the_claim_consumes_is_granted_whatever_the_labels_say():
    assert one(a_pod(labels=GPU, **CLAIMED), [a_claim("25", "50")]).granted_percent == 75


@pytest.mark.parametrize(
    ("pod", "claims"),
    [
        (a_pod(labels=GPU), [a_claim("25")]),
        (a_pod(labels=GPU, **CLAIMED), []),
        (a_pod(labels=GPU, **CLAIMED), [{"metadata": {"name": "c1"}, "status": {}}]),
        (a_pod(labels=GPU | {"eugo.dev/gpu-model": "gone"}, **CLAIMED), [a_claim("25")]),
    ],
    ids=["no claim yet", "claim gone", "not allocated", "model left the catalog"],
)
def test_an_allocation_that_is_not_there_is_not_made_up(pod, claims):
    assert one(pod, claims).granted_percent is None


def test_a_pod_that_ended_ended_with_its_last_container():
    def over(at):
        return {"state": {"terminated": {"finishedAt": at}}}

    statuses = [over("2026-11-24T11:30:00Z"), over("2026-11-24T11:20:00Z"), {"state": {}}]
    pod = one(a_pod(phase="Failed", conditions=[], containerStatuses=statuses))
    assert pod.ended_at == datetime(2026, 11, 24, 11, 30, tzinfo=UTC)
    assert pod.ready_at is None


def test_a_pod_that_failed_before_it_ran_used_nothing():
    pod = one(a_pod(phase="Failed", conditions=None))
    assert pod.ended_at == pod.created_at


def test_others_pods_are_nobody():
    assert to_pods([{"metadata": {"name": "x"}, "status": {}}], {}, a_catalog()) == ()
