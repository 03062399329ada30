"""
Devices: the cluster's GPUs and what is free of them, read from slices and claims.

The scheduler alone knows for sure; this is the advisory view that pages and admission show
(`policy.capacity`). A device counts with the slices of its pool's newest generation; its free
share is what no allocated claim consumes. Devices cut from one physical GPU (MIG) share
counters: while a part is in use, the whole cannot be had. Devices of a Node that takes no
workspace do not count, and those of one that takes none now are not free. Source: KEP-4381,
KEP-4815, KEP-5075.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeAlias

from eugospawner.manifests import allocation
from eugospawner.manifests.placement import Reach
from eugospawner.policy.capacity import ClusterView, Device
from eugospawner.policy.catalog import Strategy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eugospawner.policy.catalog import GpuModel

#: A Kubernetes object as JSON gives it.
Json = Any
#: Driver, pool and name: what identifies a device in the cluster.
_Identity: TypeAlias = tuple[str, str, str]

_WHOLE = 100


def view_of(
    slices: Iterable[Json],
    claims: Iterable[Json],
    models: Mapping[str, GpuModel],
    reach: Mapping[str, Reach],
) -> ClusterView:
    """
    Return the devices of each model with their free share, in the order of the slices.

    Args:
        reach: Whether a Node takes workspaces, by its name; one that is not named does.
    """
    devices = dict(_devices(slices))
    used = _used(claims, models)
    counters_in_use = {
        counter
        for identity in used
        if identity in devices
        for counter in _counters(identity, devices[identity][1])
    }
    found: defaultdict[str, list[Device]] = defaultdict(list)
    for identity, (node, device) in devices.items():
        model = next((each for each in models.values() if _is(each, identity, device)), None)
        reached = reach.get(node, Reach.OPEN)
        if model is None or reached is Reach.NEVER:
            continue
        free = _WHOLE - used.get(identity, 0)
        if not device.get("allowMultipleAllocations") and (
            free < _WHOLE or not counters_in_use.isdisjoint(_counters(identity, device))
        ):
            free = 0
        if reached is Reach.LATER:
            free = 0
        found[model.key].append(Device(node=node, free_percent=max(free, 0)))
    return ClusterView(devices={key: tuple(each) for key, each in found.items()})


def _devices(slices: Iterable[Json]) -> Iterator[tuple[_Identity, tuple[str, Json]]]:
    listed = [each["spec"] for each in slices]
    newest: dict[tuple[str, str], int] = {}
    for spec in listed:
        pool = (spec["driver"], spec["pool"]["name"])
        newest[pool] = max(newest.get(pool, 0), spec["pool"].get("generation", 0))
    for spec in listed:
        pool = (spec["driver"], spec["pool"]["name"])
        if spec["pool"].get("generation", 0) != newest[pool]:
            continue
        for device in spec.get("devices") or ():
            node = spec.get("nodeName") or device.get("nodeName") or spec["pool"]["name"]
            yield (*pool, device["name"]), (node, device)


def _is(model: GpuModel, identity: _Identity, device: Json) -> bool:
    if identity[0] != model.driver:
        return False
    if model.strategy is Strategy.CONSUMABLE_CAPACITY and not device.get(
        "allowMultipleAllocations"
    ):
        return False
    attributes = device.get("attributes") or {}
    product = _text(attributes, model.product_attribute)
    kind = _text(attributes, "type")
    return product in model.products and model.device_type in {None, kind}


def _text(attributes: Mapping[str, Json], name: str) -> str | None:
    value: str | None = (attributes.get(name) or {}).get("string")
    return value


def _used(claims: Iterable[Json], models: Mapping[str, GpuModel]) -> dict[_Identity, int]:
    used: defaultdict[_Identity, int] = defaultdict(int)
    capacities = {model.driver: model for model in models.values() if model.sm_capacity}
    for claim in claims:
        if not allocation.is_allocated(claim):
            continue
        for result in claim["status"]["allocation"]["devices"]["results"]:
            if result.get("adminAccess"):
                continue  # looks at what others have, and takes nothing
            identity = (result["driver"], result["pool"], result["device"])
            model = capacities.get(result["driver"])
            used[identity] += (
                _WHOLE
                if model is None
                else allocation.percent_of(result.get("consumedCapacity"), model)
            )
    return used


def _counters(identity: _Identity, device: Json) -> frozenset[tuple[str, str, str]]:
    driver, pool, _ = identity
    return frozenset(
        (driver, pool, each["counterSet"]) for each in device.get("consumesCounters") or ()
    )
