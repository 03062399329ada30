"""
Kueue: what it says of a Pod, where the catalog has it decide who starts next (`defaults.engine: kueue`).

A Pod that names a LocalQueue is held back by a scheduling gate until its ClusterQueue has room; its
Workload, made and owned by Kueue, says what is missing. Whom Kueue stops for somebody else it marks
first, then deletes: the mark is the only word about why the Pod is gone. Source: design §6; F26,
F58; Kueue 0.19, `pkg/controller/jobs/pod` and `pkg/scheduler/preemption`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eugospawner.policy.lifecycle import AGAIN, Ending

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eugospawner.policy.catalog import Queue

#: A Kubernetes object as JSON gives it.
Json = Any

GROUP: Final = "kueue.x-k8s.io"
VERSION: Final = "v1beta2"

#: The label by which a Pod names its LocalQueue.
QUEUE_NAME: Final = f"{GROUP}/queue-name"
#: A LocalQueue of this name takes every Pod of its namespace that names none.
EVERYBODYS: Final = "default"
_GATE: Final = f"{GROUP}/"
#: Condition of a Pod that Kueue stops, and of a Workload that waits.
_MARK: Final = "TerminationTarget"
_RESERVED: Final = "QuotaReserved"
_PREEMPTED: Final = "WorkloadEvictedDueToPreempted"
_FOR_WHOM: Final = re.compile(r"\bJobUID: ([0-9a-f-]{36})\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """
    A place in the order of a queue.

    Attributes:
        queue: Its name on pages.
        said: What Kueue says is missing; empty: nothing yet.
    """

    queue: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Eviction:
    """
    Why Kueue stops a Pod.

    Attributes:
        ending: Preemption, or that the queue takes back what it gave.
        said: Kueue's own words.
        for_whom: `uid` of the Pod that it makes room for; empty: none, or unknown.
    """

    ending: Ending
    said: str
    for_whom: str


def local_queue_of(key: str) -> str:
    """Return the LocalQueue of the catalog's queue *key* where it names none; never `EVERYBODYS`."""
    return f"eugo-{key}"


def is_gated(pod: Json) -> bool:
    """Whether Kueue holds *pod* back."""
    gates = pod["spec"].get("schedulingGates") or ()
    return any(str(each.get("name")).startswith(_GATE) for each in gates)


def missing_of(workload: Json | None) -> str:
    """Return what *workload* waits for in Kueue's words; empty: nothing is said, or it waits no more."""
    found = _condition(workload, _RESERVED)
    if found is None or found.get("status") == "True":
        return ""
    return str(found.get("message") or "").strip()


def eviction_of(pod: Json | None) -> Eviction | None:
    """Return why Kueue stops *pod*; `None`: it does not."""
    found = _condition(pod, _MARK)
    if found is None or found.get("status") != "True":
        return None
    reason, said = str(found.get("reason") or ""), str(found.get("message") or "").strip()
    whom = _FOR_WHOM.search(said)
    return Eviction(
        ending=Ending.PREEMPTION if reason == _PREEMPTED else Ending.QUEUE,
        said=said,
        for_whom=whom[1] if whom else "",
    )


def sentence_of(eviction: Eviction, displacing: Queue | None) -> str:
    """
    Return what to say of *eviction* beside its reason (F58).

    Args:
        displacing: The queue of whom it makes room for, if that is known.
    """
    if eviction.ending is Ending.PREEMPTION and displacing is not None:
        return (
            f"Displaced by a workspace of the queue {displacing.display_name} "
            f"(priority {displacing.priority}). {AGAIN}"
        )
    return f"Kueue says: {eviction.said.rstrip('.')}. {AGAIN}" if eviction.said else ""


def queue_of(
    uid: str, pods: Iterable[Json], label: str, queues: Mapping[str, Queue]
) -> Queue | None:
    """Return the queue that the Pod *uid* names by *label*, if it is among *pods*."""
    if not uid:
        return None
    for pod in pods:
        if pod["metadata"].get("uid") == uid:
            return queues.get((pod["metadata"].get("labels") or {}).get(label, ""))
    return None


def _condition(resource: Json | None, kind: str) -> Json | None:
    conditions = ((resource or {}).get("status") or {}).get("conditions") or ()
    return next((each for each in conditions if each.get("type") == kind), None)
