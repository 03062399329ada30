"""
Observed: what Kubernetes shows of a session, as accounting sees it.

Values made from Kubernetes' JSON and nothing else. A Pod that is not a session's has no value here.
Source: `eugospawner.manifests.labels` and `allocation`; promise 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import allocation, labels
from eugospawner.policy.decisions import Gpus

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eugospawner.policy.catalog import Catalog

#: A Kubernetes object as JSON gives it.
Json = Any

#: Phases of a Pod whose containers have all ended for good.
_ENDED: Final = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """
    The Pod of a session.

    Attributes:
        ready_at: Since when it serves; `None`: it does not.
        ended_at: When its last container ended; `None`: it has not ended.
        wants_gpu: Whether it is labelled as having GPUs.
        granted_percent: GPU percent that its claim consumes, 0 without GPUs; `None`: there is no
            allocation yet, or its model is no longer in the catalog.
    """

    name: str
    session: str
    created_at: datetime
    ready_at: datetime | None
    ended_at: datetime | None
    wants_gpu: bool
    granted_percent: int | None


def to_pods(
    listed: Iterable[Json], claims: Mapping[str, Json], catalog: Catalog
) -> tuple[Pod, ...]:
    """
    Return the Pods that belong to sessions.

    Args:
        claims: GPU claims by name.
    """
    return tuple(_pods(listed, claims, catalog))


def _pods(listed: Iterable[Json], claims: Mapping[str, Json], catalog: Catalog) -> Iterator[Pod]:
    for pod in listed:
        carried: Mapping[str, str] = pod["metadata"].get("labels") or {}
        session = carried.get(labels.SESSION)
        if not session:
            continue
        wants_gpu = labels.GPU_MODEL in carried
        status = pod.get("status") or {}
        yield Pod(
            name=pod["metadata"]["name"],
            session=session,
            created_at=datetime.fromisoformat(pod["metadata"]["creationTimestamp"]),
            ready_at=_ready_at(status),
            ended_at=_ended_at(pod, status),
            wants_gpu=wants_gpu,
            granted_percent=_granted(pod, carried, claims, catalog) if wants_gpu else 0,
        )


def _ready_at(status: Json) -> datetime | None:
    for condition in status.get("conditions") or ():
        if condition["type"] == "Ready" and condition["status"] == "True":
            since: str | None = condition.get("lastTransitionTime")
            return None if since is None else datetime.fromisoformat(since)
    return None


def _ended_at(pod: Json, status: Json) -> datetime | None:
    if status.get("phase") not in _ENDED:
        return None
    ends = [
        datetime.fromisoformat(state["terminated"]["finishedAt"])
        for container in status.get("containerStatuses") or ()
        for state in [container.get("state") or {}]
        if (state.get("terminated") or {}).get("finishedAt")
    ]
    # A Pod that never ran, or whose node is gone, says nothing: it used nothing that is seen.
    return max(ends, default=datetime.fromisoformat(pod["metadata"]["creationTimestamp"]))


def _granted(
    pod: Json, carried: Mapping[str, str], claims: Mapping[str, Json], catalog: Catalog
) -> int | None:
    model = catalog.gpu_models.get(carried[labels.GPU_MODEL])
    claim = claims.get(allocation.claim_name(pod) or "")
    if model is None or claim is None or not allocation.is_allocated(claim):
        return None
    gpus = Gpus(
        model=model,
        count=int(carried.get(labels.GPU_COUNT, 0)),
        sm_percent=int(carried.get(labels.SM_PERCENT, 0)),
    )
    return allocation.consumed_percent(claim, gpus)
