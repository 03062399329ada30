"""
Whoever reads an excerpt sees what the whole object would have shown (benchmark B9).

The readers of today are asked about objects in many states, whole and as excerpts, and must say
the same. A field that a reader needs and no state here holds would go unnoticed: add the state.
"""

import copy
from collections.abc import Callable, Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from kubespawner import KubeSpawner

from eugospawner import diagnosis
from eugospawner.manifests import allocation, attachments, excerpts, kueue, labels
from eugospawner.manifests.excerpts import Excerpts
from eugospawner.manifests.placement import Placement
from eugospawner.policy.capacity import ClusterView
from tests.factories import a_catalog, a_claim, some_gpus, view_of

GPUS = some_gpus(sm_percent=25)
MODELS = a_catalog().gpu_models


def a_pod(
    *,
    container: Mapping[str, Any] | None = None,
    startup: Mapping[str, Any] | None = None,
    conditions: Mapping[str, bool] | None = None,
    metadata: Mapping[str, Any] | None = None,
    spec: Mapping[str, Any] | None = None,
    **status: Any,
) -> dict[str, Any]:
    """A Pod that serves, with much that nobody reads; the rest says how this one differs."""
    serves = {"Initialized": True, "PodScheduled": True, "PodReadyToStartContainers": True}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "jupyter-alice",
            "namespace": "eugo",
            "uid": "57c7d26e",
            "resourceVersion": "507",
            "labels": labels.make_gpu_labels(GPUS) | {labels.SESSION: "3e1a", "app": "hub"},
            "annotations": {
                "hub.jupyter.org/username": "alice",
                "hub.jupyter.org/servername": "lab",
                "hub.jupyter.org/kubespawner-version": "7.1",
            },
            "managedFields": [{"manager": "kubelet", "fieldsV1": {"f:status": {}}}],
        }
        | (metadata or {}),
        "spec": {
            "restartPolicy": "OnFailure",
            "nodeName": "n1",
            "volumes": [
                {"name": "home", "persistentVolumeClaim": {"claimName": "home-alice"}},
                {"name": "scratch", "emptyDir": {"sizeLimit": "1Gi"}},
            ],
            "containers": [
                {
                    "name": "notebook",
                    "image": "base:1.0",
                    "env": [{"name": "HOME", "value": "/home/user"}],
                    "ports": [
                        {"name": "metrics", "containerPort": 9000},
                        {"name": "notebook-port", "containerPort": 8888, "protocol": "TCP"},
                    ],
                }
            ],
            "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "gpu-1"}],
        }
        | (spec or {}),
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.4",
            "hostIP": "10.1.0.1",
            "conditions": [
                {"type": name, "status": str(holds), "lastTransitionTime": "2026-11-24T12:00:00Z"}
                for name, holds in (conditions or serves).items()
            ],
            "initContainerStatuses": [{"name": "startup", "state": {}} | startup]
            if startup
            else [],
            "containerStatuses": [
                {
                    "name": "notebook",
                    "ready": True,
                    "image": "base:1.0",
                    "imageID": "sha256:2efd",
                    "restartCount": 0,
                    "state": {"running": {"startedAt": "2026-11-24T12:00:00Z"}},
                    "lastState": {},
                    "containerID": "containerd://1",
                }
                | (container or {})
            ],
            "resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "jupyter-alice-gpu-1"}],
        }
        | status,
    }


def waiting(reason: str, message: str = "", **changes: Any) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    return {"ready": False, "imageID": "", "state": state} | changes


def ended(code: int, reason: str = "Error", message: str = "") -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "message": message}}


def looping(last: dict[str, Any]) -> dict[str, Any]:
    return waiting("CrashLoopBackOff", restartCount=3, lastState=last)


def marked(pod: dict[str, Any]) -> dict[str, Any]:
    pod["status"]["conditions"].append(
        {
            "type": "TerminationTarget",
            "status": "True",
            "reason": "WorkloadEvictedDueToPreempted",
            "message": f"Preempted to accommodate a workload (UID: 1, JobUID: {'ab' * 18})",
            "lastTransitionTime": "2026-11-27T12:00:00Z",
        }
    )
    return pod


CREATED = {"conditions": None, "containerStatuses": None, "initContainerStatuses": None}
PODS: Mapping[str, dict[str, Any]] = {
    "serves": a_pod(),
    "is created": a_pod(phase="Pending", podIP=None, resourceClaimStatuses=None, **CREATED),
    "has no status yet": {"metadata": a_pod()["metadata"], "spec": {}, "status": {}},
    "waits for a node": a_pod(phase="Pending", conditions={"PodScheduled": False}),
    "waits for its files": a_pod(
        phase="Pending", conditions={"PodScheduled": True}, container=waiting("ContainerCreating")
    ),
    "has no Node": a_pod(spec={"nodeName": None}),
    "is of Bob": a_pod(metadata={"annotations": {"hub.jupyter.org/username": "bob"}}),
    "is not ready": a_pod(container={"ready": False}),
    "is not ready as one of two": a_pod(
        containerStatuses=[{"name": "sidecar", "ready": False}, {"name": "notebook", "ready": True}]
    ),
    "has no address": a_pod(podIP=None),
    "has an address of its own": a_pod(podIP="fd00::4"),
    "is on its way out": a_pod(metadata={"deletionTimestamp": "2026-11-24T12:00:00Z"}),
    "has no such image": a_pod(
        phase="Pending", container=waiting("ImagePullBackOff", "not found", image="base:9")
    ),
    "cannot be made": a_pod(container=waiting("CreateContainerError", "no such mount")),
    "keeps ending": a_pod(container=looping(ended(7))),
    "ran out of memory": a_pod(container=looping(ended(137, "OOMKilled"))),
    "has ended": a_pod(phase="Failed", container={"state": ended(3)}),
    "ended and starts again": a_pod(container={"state": ended(3)}),
    "ended for good": a_pod(spec={"restartPolicy": "Never"}, container={"state": ended(3)}),
    "is held back by Kueue": a_pod(
        spec={"schedulingGates": [{"name": "kueue.x-k8s.io/admission"}]}, container=None
    ),
    "is stopped by Kueue": marked(a_pod()),
    "was evicted": a_pod(phase="Failed", reason="Evicted"),
    "was given up": a_pod(phase="Failed", message="Pod was rejected: no room"),
    "runs its startup script": a_pod(
        startup={"imageID": "sha256:1", "state": {"running": {}}}, container=waiting("")
    ),
    "has a report of its startup script": a_pod(
        startup={"state": ended(0, "Completed", "exit code 0\nhello")}
    ),
    "has no GPU": a_pod(metadata={"labels": {labels.SESSION: "3e1a"}}, resourceClaimStatuses=None),
    "has labels alone": a_pod(spec={"resourceClaims": None}),
    "has its port elsewhere": a_pod(
        spec={
            "containers": [
                {"name": "sidecar", "ports": []},
                {"name": "notebook", "ports": [{"name": "notebook-port", "containerPort": 9999}]},
            ]
        }
    ),
}
READERS: Mapping[str, Callable[[Any], object]] = {
    "is_ready": diagnosis.is_ready,
    "exit_code": diagnosis.exit_code,
    "failure_of": lambda pod: diagnosis.failure_of(pod, ()),
    "startup_report": diagnosis.startup_report,
    "progress_of": lambda pod: diagnosis.progress_of(pod, None, (), GPUS),
    "claim_name": allocation.claim_name,
    "binding_of": lambda pod: allocation.binding_of(pod, a_claim({"cores": "25"})),
    "is_gated": kueue.is_gated,
    "eviction_of": kueue.eviction_of,
    "labels": lambda pod: pod["metadata"].get("labels"),
    "attachments": lambda pod: list(attachments.of_pods([pod], "alice", {})),
    "KubeSpawner.is_pod_running": lambda pod: KubeSpawner.is_pod_running(None, pod),
    "KubeSpawner.pod_has_uid": lambda pod: KubeSpawner.pod_has_uid(None, pod),
    "KubeSpawner._get_pod_port": lambda pod: KubeSpawner._get_pod_port(None, pod),
    "key and version": lambda pod: [
        pod["metadata"][name] for name in ("namespace", "name", "resourceVersion")
    ],
}


def said(reader: Callable[[Any], object], resource: Any) -> object:
    """What *reader* says, or that it cannot, which an excerpt must not change either."""
    try:
        return reader(resource)
    except (KeyError, TypeError) as error:
        return repr(error)


@pytest.mark.parametrize("pod", PODS.values(), ids=PODS.keys())
@pytest.mark.parametrize("reader", READERS.values(), ids=READERS.keys())
def test_readers_of_a_pod_see_no_difference(reader: Callable[[Any], object], pod: Any) -> None:
    assert said(reader, Excerpts(excerpts.POD).of(pod)) == said(reader, pod)


@pytest.mark.parametrize(
    "name", sorted(READERS.keys() - {"key and version", "KubeSpawner.pod_has_uid"})
)
def test_the_states_of_a_pod_are_told_apart(name: str) -> None:
    """A reader that says the same of all would prove nothing above."""
    assert len({repr(said(READERS[name], pod)) for pod in PODS.values()}) > 1


def test_of_a_pod_nothing_else_is_kept() -> None:
    excerpt = Excerpts(excerpts.POD).of(a_pod())
    assert set(excerpt) == {"metadata", "spec", "status"}
    assert "managedFields" not in excerpt["metadata"]
    assert set(excerpt["metadata"]["annotations"]) == {
        "hub.jupyter.org/username", "hub.jupyter.org/servername",
    }  # fmt: skip
    assert set(excerpt["spec"]) == {
        "restartPolicy", "containers", "resourceClaims", "nodeName", "volumes",
    }  # fmt: skip
    assert excerpt["spec"]["volumes"][1] == {"name": "scratch"}
    assert [set(each) for each in excerpt["spec"]["containers"]] == [{"name", "ports"}]
    assert "hostIP" not in excerpt["status"]
    assert excerpt["status"]["containerStatuses"][0]["state"] == {"running": {}}


def test_an_object_stays_as_it_was() -> None:
    pod = a_pod()
    before = copy.deepcopy(pod)
    Excerpts(excerpts.POD).of(pod)
    assert pod == before


def test_what_is_absent_stays_absent_and_null_stays_null() -> None:
    excerpt = Excerpts(excerpts.POD).of({"metadata": {"name": "p", "labels": None}, "spec": None})
    assert excerpt == {"metadata": {"name": "p", "labels": None}, "spec": None}


def test_equal_parts_are_held_once_and_different_ones_are_not() -> None:
    made = Excerpts(excerpts.POD)
    one, two = (made.of(copy.deepcopy(a_pod())) for _ in range(2))
    other = made.of(a_pod(container={"ready": False}))
    assert one["spec"]["containers"] is two["spec"]["containers"]
    assert one["spec"]["resourceClaims"] is two["spec"]["resourceClaims"]
    assert one["status"]["conditions"] is two["status"]["conditions"]
    assert one["status"]["containerStatuses"] is two["status"]["containerStatuses"]
    assert one["status"]["containerStatuses"] != other["status"]["containerStatuses"]
    assert one["metadata"] is not two["metadata"]


def test_of_parts_that_never_recur_no_end_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(excerpts, "_MOST_PARTS", 8)
    made = Excerpts(excerpts.POD)
    for number in range(100):
        pod = made.of(a_pod(container={"restartCount": number}))
        assert pod["status"]["containerStatuses"][0]["restartCount"] == number
        assert len(made._parts) <= 8


def an_event(**changes: Any) -> dict[str, Any]:
    """A Pod could not be scheduled."""
    return {
        "metadata": {"name": "e", "namespace": "eugo", "uid": "u", "resourceVersion": "8"},
        "involvedObject": {"kind": "Pod", "namespace": "eugo", "name": "jupyter-alice"},
        "reason": "FailedScheduling",
        "message": "0/1 nodes: cannot allocate all claims",
        "type": "Warning",
        "lastTimestamp": None,
        "eventTime": "2026-11-24T12:00:00.000000Z",
        "source": {"component": "default-scheduler"},
    } | changes


@pytest.mark.parametrize(
    ("event", "pod"),
    [
        (an_event(), PODS["waits for a node"]),
        (an_event(message="Insufficient cpu"), PODS["waits for a node"]),
        (an_event(message="device class x does not exist"), PODS["waits for a node"]),
        (an_event(reason="Pulling"), a_pod(container=waiting("ContainerCreating"))),
        (an_event(reason="FailedMount", message=None), PODS["waits for its files"]),
        (an_event(reason="FailedResourceClaimCreation", message="not found"), a_pod()),
    ],
    ids=["claims", "cpu", "class", "pulling", "mount", "template"],
)
def test_readers_of_events_see_no_difference(event: Any, pod: Any) -> None:
    excerpt = Excerpts(excerpts.EVENT).of(event)
    assert diagnosis.progress_of(pod, None, [excerpt], GPUS) == diagnosis.progress_of(
        pod, None, [event], GPUS
    )
    assert diagnosis.failure_of(pod, [excerpt]) == diagnosis.failure_of(pod, [event])
    assert diagnosis.misses_template([excerpt]) == diagnosis.misses_template([event])


def test_kubespawner_finds_its_events() -> None:
    made = Excerpts(excerpts.EVENT)
    kept = [made.of(an_event()), made.of(an_event(involvedObject={"name": "jupyter-bob"}))]
    spawner = SimpleNamespace(
        event_reflector=SimpleNamespace(events=kept), pod_name="jupyter-alice", _last_event="old"
    )
    (event,) = KubeSpawner.events.fget(spawner)
    # What its progress formats.
    assert [event[name] for name in ("lastTimestamp", "eventTime", "type", "message")] == [
        None, "2026-11-24T12:00:00.000000Z", "Warning", "0/1 nodes: cannot allocate all claims",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "claim",
    [
        a_claim(),
        {"metadata": {"name": "c"}, "status": None},
        a_claim({"cores": "25", "memory": "20Gi"}),
        a_claim({"cores": "25"}, None),
        a_claim(None, adminAccess=True),
    ],
    ids=["not allocated", "no status", "a share", "a share and a whole one", "a look"],
)
def test_readers_of_claims_see_no_difference(claim: Any) -> None:
    excerpt = Excerpts(excerpts.CLAIM).of(claim)
    assert allocation.is_allocated(excerpt) == allocation.is_allocated(claim)
    assert said(lambda each: allocation.allocated_devices(each, GPUS), excerpt) == said(
        lambda each: allocation.allocated_devices(each, GPUS), claim
    )
    assert view([excerpt], [a_slice()]) == view([claim], [a_slice()])


def a_slice() -> dict[str, Any]:
    """Two shareable H100."""
    attributes = {"productName": {"string": MODELS["H100"].products[0]}}
    return {
        "metadata": {"name": "s", "managedFields": [], "resourceVersion": "1"},
        "spec": {
            "driver": "gpu.example.test",
            "nodeName": "n1",
            "pool": {"name": "n1", "generation": 1, "resourceSliceCount": 1},
            "devices": [
                {
                    "name": f"gpu-{number}",
                    "attributes": attributes,
                    "allowMultipleAllocations": True,
                }
                for number in range(2)
            ],
        },
    }


def view(claims: list[Any], slices: list[Any]) -> ClusterView:
    return view_of(slices, claims, MODELS, {})


def test_readers_of_slices_see_no_difference() -> None:
    whole = a_slice()
    seen = view([a_claim({"cores": "25"})], [Excerpts(excerpts.SLICE).of(whole)])
    assert seen == view([a_claim({"cores": "25"})], [whole])
    assert [each.free_percent for each in (seen.devices or {})["H100"]] == [75, 100]


@pytest.mark.parametrize(
    "spec",
    [
        {},
        {"unschedulable": True},
        {"taints": [{"key": "gpu", "value": "yes", "effect": "NoSchedule"}]},
        {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]},
    ],
    ids=["open", "cordoned", "tainted", "not ready"],
)
@pytest.mark.parametrize("pool", ["gpu", "cpu"])
def test_readers_of_nodes_see_no_difference(spec: Any, pool: str) -> None:
    node = {
        "metadata": {"name": "n1", "resourceVersion": "1", "labels": {"pool": pool}},
        "spec": {"podCIDR": "10.0.0.0/24"} | spec,
        "status": {"images": ["a"]},
    }
    placement = Placement(tolerations=(), node_selector={"pool": "gpu"})
    assert placement.reach_of(Excerpts(excerpts.NODE).of(node)) is placement.reach_of(node)
