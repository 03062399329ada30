"""
Strategy `mig`: partitions of a GPU that its hardware keeps apart.

The SM percent stands for a size of the catalog's table, and the claim asks for partitions of that
profile, cut from the model's product. Where the model names a *distinct_attribute* (NVIDIA's
driver: ``parentUUID``), the partitions of one workspace are of different GPUs, as F40 wants; that
constraint needs Kubernetes 1.36, or the gate DRAConsumableCapacity, and `keeps_capacity` notices
a server that drops it. Where it names none, they are different partitions, possibly of one GPU.

Charge: sevenths by the size, rounded up (`catalog.MigSize`). Source: design §6; KEP-4815; F40.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eugospawner.manifests.claims import selectors

if TYPE_CHECKING:
    from eugospawner.policy.decisions import Gpus

#: Attributes of partitions in NVIDIA's driver: the size, and the GPU that it is cut from.
PROFILE: Final = "profile"
PARENT: Final = "parentUUID"


def make_devices(gpus: Gpus, request: str) -> dict[str, object]:
    """Return ``spec.devices`` that asks for *count* partitions of the size of the SM percent."""
    model = gpus.model
    size = model.size_of(gpus.sm_percent)
    if size is None:
        message = f"GPU model {model.key}: no size has {gpus.sm_percent} % SM, it was not admitted"
        raise ValueError(message)
    exactly = {
        "deviceClassName": model.device_class,
        "allocationMode": "ExactCount",
        "count": gpus.count,
        "selectors": [selectors.make_model_selector(model, also={PROFILE: size.profile})],
    }
    devices: dict[str, object] = {"requests": [{"name": request, "exactly": exactly}]}
    if gpus.count > 1 and model.distinct_attribute is not None:
        devices["constraints"] = [selectors.make_distinct(model, request)]
    return devices
