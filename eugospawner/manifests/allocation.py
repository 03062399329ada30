"""
Allocation: what the cluster really gave, read from Pod and claim.

A workspace has a GPU only when three things agree (promise 5): its Pod carries the platform's
labels, names resourceClaims, and its claim is allocated. It is charged what the allocation
consumed, not what was asked: ``consumedCapacity`` of each device where the driver shares it, its
sevenths for a MIG partition, else a whole GPU. Source: design §§2 and 6; F53; KEP-5075.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from eugospawner.manifests import claims, labels
from eugospawner.policy import units
from eugospawner.policy.catalog import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eugospawner.policy.catalog import GpuModel
    from eugospawner.policy.decisions import Gpus

#: A Kubernetes object as JSON gives it.
Json = Any


class Binding(StrEnum):
    """How far a Pod is with its GPUs (F53)."""

    NONE = "none"
    #: The labels say GPU, and no claim stands behind them.
    LABELS_ONLY = "labels-only"
    WAITING = "waiting"
    BOUND = "bound"


@dataclass(frozen=True, slots=True, kw_only=True)
class AllocatedDevice:
    """One device of an allocation, and how much of it in GPU percent."""

    driver: str
    pool: str
    device: str
    percent: int


def claim_name(pod: Json) -> str | None:
    """Return the name of the claim that Kubernetes made for *pod*; `None`: not made yet."""
    for status in (pod.get("status") or {}).get("resourceClaimStatuses") or ():
        if status.get("name") == claims.NAME:
            name: str | None = status.get("resourceClaimName")
            return name
    return None


def binding_of(pod: Json, claim: Json | None) -> Binding:
    """Return how far *pod* is with its GPUs; *claim* is the one `claim_name` names, if any."""
    carries = pod["metadata"].get("labels") or {}
    labelled = all(label in carries for label in labels.GPU_LABELS)
    claimed = bool(pod["spec"].get("resourceClaims"))
    if not labelled:
        return Binding.NONE
    if not claimed:
        return Binding.LABELS_ONLY
    return Binding.BOUND if claim is not None and is_allocated(claim) else Binding.WAITING


def is_allocated(claim: Json) -> bool:
    """Whether the scheduler has given devices to *claim*."""
    return bool((claim.get("status") or {}).get("allocation"))


def allocated_devices(claim: Json, gpus: Gpus) -> tuple[AllocatedDevice, ...]:
    """Return the devices of a *claim* allocated for *gpus*, in the order of the allocation."""
    results: Sequence[Mapping[str, Json]] = claim["status"]["allocation"]["devices"]["results"]
    return tuple(
        AllocatedDevice(
            driver=result["driver"],
            pool=result["pool"],
            device=result["device"],
            percent=_granted_percent(result.get("consumedCapacity"), gpus),
        )
        for result in results
        if not result.get("adminAccess")
    )


def consumed_percent(claim: Json, gpus: Gpus) -> int:
    """Return the charge of an allocated *claim* in GPU percent, all devices together."""
    return sum(device.percent for device in allocated_devices(claim, gpus))


def _granted_percent(consumed: Mapping[str, str] | None, gpus: Gpus) -> int:
    if gpus.model.strategy is Strategy.CONSUMABLE_CAPACITY:
        return percent_of(consumed, gpus.model)
    # Whole devices, and partitions of which the claim's own selector has fixed the size.
    return gpus.model.charged_percent(gpus.sm_percent)


def percent_of(consumed: Mapping[str, str] | None, model: GpuModel) -> int:
    """Return what one device's ``consumedCapacity`` is in GPU percent; absent means all of it."""
    amount = (consumed or {}).get(model.sm_capacity or "")
    if amount is None:
        return 100  # not shared: the whole device is gone, whatever was asked
    # Millis keep a driver's fractional capacity exact; rounded up, never charged too little.
    return -(-units.parse_cpu(amount) * 100 // (1000 * model.sm_scale))
