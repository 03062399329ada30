"""
Strategy `consumable-capacity`: shares that the scheduler itself accounts for.

The claim asks for a part of each device's SM capacity, and for the same part of its memory: a
claim that names one capacity only would take the driver's default of the other, which is
everything. Shares of one workspace come from different devices, and the sum of shares on a
device never exceeds it. Needs Kubernetes 1.36, or the gate DRAConsumableCapacity from 1.34.

Charge: what was consumed (`allocation`). Source: design §6; KEP-5075; F40, F42.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eugospawner.manifests.claims import selectors
from eugospawner.policy import units

if TYPE_CHECKING:
    from eugospawner.policy.decisions import Gpus

#: Memory is asked for in whole MiB, the step of the drivers we know.
_MIB = 2**20


def make_devices(gpus: Gpus, request: str) -> dict[str, object]:
    """Return ``spec.devices`` that asks for the share on *count* different devices."""
    model = gpus.model
    if model.sm_capacity is None or model.distinct_attribute is None:
        message = f"GPU model {model.key}: the catalog was not checked"
        raise ValueError(message)
    # Rounded up: one percent of a driver that counts in tenths is one tenth, not none.
    capacity = {model.sm_capacity: str(-(-gpus.sm_percent * model.sm_scale // 100))}
    if model.memory_capacity is not None:
        share = model.memory_bytes * gpus.sm_percent // 100 // _MIB * _MIB
        capacity[model.memory_capacity] = units.format_memory(max(share, _MIB))
    exactly: dict[str, object] = {
        "deviceClassName": model.device_class,
        "allocationMode": "ExactCount",
        "count": gpus.count,
        "selectors": [selectors.make_model_selector(model, shareable=model.selects_shareable)],
        "capacity": {"requests": capacity},
    }
    devices: dict[str, object] = {"requests": [{"name": request, "exactly": exactly}]}
    if gpus.count > 1:
        devices["constraints"] = [selectors.make_distinct(model, request)]
    return devices
