"""What Kueue says of a Pod, in our words (design section 6; F26, F58)."""

import pytest

from eugospawner.manifests import kueue, labels
from eugospawner.policy.lifecycle import Ending
from tests.factories import a_queue

UID = "8c1f6a10-93f5-4d3f-9c7b-0a4bb1d0f3aa"
PREEMPTED = (
    f"Preempted to accommodate a workload (UID: 11111111-1111-4111-8111-111111111111, JobUID: {UID}) due to "
    "reclamation within the cohort; preemptor path: /eugo/eugo-high; preemptee path: /eugo/eugo-batch"
)


def a_pod(*conditions, gates=(), **metadata):
    return {
        "metadata": metadata,
        "spec": {"schedulingGates": [{"name": each} for each in gates]},
        "status": {"conditions": list(conditions)},
    }


def a_mark(reason, message="", status="True"):
    return {"type": "TerminationTarget", "status": status, "reason": reason, "message": message}


@pytest.mark.parametrize(
    ("gates", "held"),
    [
        ((), False),
        (("kueue.x-k8s.io/admission",), True),
        (("kueue.x-k8s.io/topology",), True),
        (("example.com/gate",), False),
    ],
)
def test_a_pod_is_held_back_by_gates_of_kueue_alone(gates, held):
    assert kueue.is_gated(a_pod(gates=gates)) is held


def test_a_pod_without_gates_is_not_held_back():
    assert not kueue.is_gated({"spec": {}})


@pytest.mark.parametrize(
    ("workload", "said"),
    [
        (None, ""),
        ({}, ""),
        ({"status": {"conditions": [{"type": "Admitted", "status": "False", "message": "x"}]}}, ""),
        (
            {"status": {"conditions": [{"type": "QuotaReserved", "status": "False", "message": " 25 more needed "}]}},
            "25 more needed",
        ),
        ({"status": {"conditions": [{"type": "QuotaReserved", "status": "True", "message": "reserved"}]}}, ""),
    ],
)  # fmt: skip
def test_what_is_missing_is_what_its_workload_says_while_it_waits(workload, said):
    assert kueue.missing_of(workload) == said


@pytest.mark.parametrize(
    ("reason", "message", "ending", "for_whom"),
    [
        ("WorkloadEvictedDueToPreempted", PREEMPTED, Ending.PREEMPTION, UID),
        ("WorkloadEvictedDueToPreempted", "words of a later Kueue", Ending.PREEMPTION, ""),
        ("WorkloadEvictedDueToLocalQueueStopped", "The LocalQueue is stopped", Ending.QUEUE, ""),
        ("WorkloadEvictedDueToNodeFailures", "x", Ending.QUEUE, ""),
        ("NotAdmitted", "Not admitted by cluster queue", Ending.QUEUE, ""),
    ],
)
def test_a_mark_says_why_a_pod_is_stopped_and_for_whom(reason, message, ending, for_whom):
    assert kueue.eviction_of(a_pod(a_mark(reason, message))) == kueue.Eviction(
        ending=ending, said=message, for_whom=for_whom
    )


@pytest.mark.parametrize(
    "pod",
    [
        None,
        {},
        a_pod(),
        a_pod({"type": "Ready", "status": "True"}),
        a_pod(a_mark("WorkloadEvictedDueToPreempted", status="False")),
    ],
)
def test_without_a_mark_nobody_stops_it(pod):
    assert kueue.eviction_of(pod) is None


def test_the_queue_of_whom_room_is_made_for_is_found_by_its_pod():
    queues = {"high": a_queue("high")}
    pods = [
        a_pod(uid="1", labels={labels.QUEUE: "low"}),
        a_pod(uid=UID, labels={labels.QUEUE: "high"}),
        a_pod(uid="2"),
    ]
    assert kueue.queue_of(UID, pods, labels.QUEUE, queues) == queues["high"]
    assert kueue.queue_of("1", pods, labels.QUEUE, queues) is None
    assert kueue.queue_of("2", pods, labels.QUEUE, queues) is None
    assert kueue.queue_of("absent", pods, labels.QUEUE, queues) is None
    assert kueue.queue_of("", [a_pod(uid="")], labels.QUEUE, queues) is None


def test_who_was_displaced_is_told_by_whom_by_queue_and_priority_and_else_what_kueue_said():
    high = a_queue("high")
    preempted = kueue.eviction_of(a_pod(a_mark("WorkloadEvictedDueToPreempted", PREEMPTED)))
    assert kueue.sentence_of(preempted, high) == (
        f"Displaced by a workspace of the queue {high.display_name} (priority {high.priority}). "
        "Files are kept; start it again."
    )
    assert kueue.sentence_of(preempted, None) == (
        f"Kueue says: {PREEMPTED}. Files are kept; start it again."
    )
    silent = kueue.eviction_of(a_pod(a_mark("NotAdmitted")))
    assert kueue.sentence_of(silent, high) == ""
