"""
Strategy `exclusive`: whole devices, with any DRA driver.

Admission has made sure that the SM percent is 100. Charge: the count. Source: design §6; F54.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eugospawner.manifests.claims import selectors

if TYPE_CHECKING:
    from eugospawner.policy.decisions import Gpus


def make_devices(gpus: Gpus, request: str) -> dict[str, object]:
    """Return ``spec.devices`` that asks for *count* whole devices."""
    exactly = {
        "deviceClassName": gpus.model.device_class,
        "allocationMode": "ExactCount",
        "count": gpus.count,
        "selectors": [selectors.make_model_selector(gpus.model)],
    }
    return {"requests": [{"name": request, "exactly": exactly}]}
