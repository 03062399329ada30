"""
Claims: how a Pod asks Kubernetes for GPUs (DRA, resource.k8s.io/v1).

A ResourceClaimTemplate stands for a *shape* (model, count, SM percent, strategy) and is named
by the hash of its spec: it is created once, shared by every start of that shape, and never
changes. Kubernetes makes one claim per Pod from it, owned by the Pod, so nothing of a workspace
outlives its Pod. What a strategy puts into the claim stands in a file of its own.

Source: design §6; KEP-4381 and KEP-5075; F40, F51.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.manifests import labels, names
from eugospawner.manifests.claims import consumable_capacity, exclusive, mig, mps
from eugospawner.policy import units
from eugospawner.policy.catalog import Strategy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.policy.decisions import Gpus

#: Name of the claim within the Pod, and of the request within the claim.
NAME: Final = "gpu"


class ClaimStrategy(Protocol):
    """What a strategy's module offers."""

    def make_devices(self, gpus: Gpus, request: str) -> dict[str, object]:
        """Return ``spec.devices`` of a claim whose one request is named *request*."""
        ...


_STRATEGIES: Final[Mapping[Strategy, ClaimStrategy]] = {
    Strategy.CONSUMABLE_CAPACITY: consumable_capacity,
    Strategy.EXCLUSIVE: exclusive,
    Strategy.MPS: mps,
    Strategy.MIG: mig,
}


def make_claim_template(gpus: Gpus) -> dict[str, object]:
    """Return the ResourceClaimTemplate of this shape; its name is the hash of its spec."""
    gpu_labels = labels.make_gpu_labels(gpus)
    spec: dict[str, object] = {
        "metadata": {"labels": gpu_labels},
        "spec": {"devices": _STRATEGIES[gpus.model.strategy].make_devices(gpus, NAME)},
    }
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": "ResourceClaimTemplate",
        "metadata": {"name": names.claim_template_name(spec), "labels": gpu_labels},
        "spec": spec,
    }


@lru_cache(maxsize=1024)
def template_name(gpus: Gpus) -> str:
    """Return the name of `make_claim_template` of this shape."""
    return names.of(make_claim_template(gpus))


def keeps_capacity(wanted: Mapping[str, object], stored: Mapping[str, object]) -> bool:
    """
    Whether the API server kept what makes a claim ask for no more than was admitted.

    With the feature gate DRAConsumableCapacity off it drops ``capacity`` and
    ``distinctAttribute`` in silence, and a 25 % claim would get whole GPUs (KEP-5075). A server
    or webhook that loses the driver's ``config`` would take the limit off an MPS claim.
    Amounts are compared, not texts: the server writes ``1000`` as ``1k``.

    Args:
        wanted: The template that was sent.
        stored: The template that came back.
    """
    return _essence(wanted) == _essence(stored)


def _essence(template: Mapping[str, object]) -> list[object]:
    spec = template["spec"]
    devices = spec["spec"]["devices"]  # type: ignore[index]
    capacities = [
        _amounts(((request.get("exactly") or {}).get("capacity") or {}).get("requests") or {})
        for request in devices.get("requests") or ()
    ]
    constraints = [
        [each.get("requests"), each.get("matchAttribute"), each.get("distinctAttribute")]
        for each in devices.get("constraints") or ()
    ]
    configs = [[each.get("requests"), each.get("opaque")] for each in devices.get("config") or ()]
    return [capacities, constraints, configs]


def _amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    return {name: units.parse_cpu(quantity) for name, quantity in quantities.items()}
