"""
Strategy `mps`: whole devices on which a workspace runs no faster than its SM percent.

NVIDIA's driver starts a control daemon of CUDA MPS for the claim's devices and sets the limit.
The devices belong to this claim alone while it lives: nobody else gets what the limit leaves, so
the charge is for whole GPUs. The configuration is opaque to Kubernetes and read by the driver,
which needs its gate MPSSupport, and refuses it for devices that several claims share.

Source: design §6; facts on DRA, §2a (sharing.go of the driver); F40, F54.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eugospawner.manifests.claims import exclusive
from eugospawner.policy.catalog import WHOLE_PERCENT

if TYPE_CHECKING:
    from eugospawner.policy.decisions import Gpus

_CONFIG_VERSION: Final = "resource.nvidia.com/v1beta1"


def make_devices(gpus: Gpus, request: str) -> dict[str, object]:
    """Return ``spec.devices`` that asks for *count* whole devices, throttled unless at 100 %."""
    devices = exclusive.make_devices(gpus, request)
    if gpus.sm_percent < WHOLE_PERCENT:
        parameters = {
            "apiVersion": _CONFIG_VERSION,
            "kind": "GpuConfig",
            "sharing": {
                "strategy": "MPS",
                "mpsConfig": {"defaultActiveThreadPercentage": gpus.sm_percent},
            },
        }
        devices["config"] = [
            {
                "requests": [request],
                "opaque": {"driver": gpus.model.driver, "parameters": parameters},
            }
        ]
    return devices
