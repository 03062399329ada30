"""Views of a cluster's GPUs."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from eugospawner.manifests.devices import Inventory
from eugospawner.manifests.placement import Reach
from eugospawner.policy.capacity import ClusterView, Device, Size
from eugospawner.policy.catalog import GpuModel

#: A device by its free SM percent, or a GPU with MIG by its sizes: SM percent, most and free.
Gpu: TypeAlias = int | Mapping[int, tuple[int, int]]


def a_cluster(**gpus: Sequence[Gpu] | Mapping[str, Sequence[Gpu]]) -> ClusterView:
    """
    Return a view in which each model has devices with these free SM percents, or these sizes.

    A list stands for devices of one node; a mapping names the nodes:
    `a_cluster(H100=[100, 50], L4={"n1": [0], "n2": [100]})`. Nothing: no GPU at all.
    `a_cluster(**{"A100-MIG": [{15: (7, 3)}]})` has a GPU that can be cut into seven, three free.
    """
    return ClusterView(
        devices={
            model: tuple(
                _device(node, each)
                for node, found in (nodes if isinstance(nodes, Mapping) else {"n1": nodes}).items()
                for each in found
            )
            for model, nodes in gpus.items()
        }
    )


def _device(node: str, gpu: Gpu) -> Device:
    if isinstance(gpu, int):
        return Device(node=node, free_percent=gpu)
    return Device(
        node=node,
        free_percent=max((percent for percent, (_, free) in gpu.items() if free), default=0),
        sizes=tuple(
            Size(sm_percent=percent, most=most, free=free) for percent, (most, free) in gpu.items()
        ),
    )


def view_of(
    slices: Iterable[Any],
    claims: Iterable[Any],
    models: Mapping[str, GpuModel],
    reach: Mapping[str, Reach],
) -> ClusterView:
    """What is read from slices and claims that are both new."""
    return Inventory.of(slices, models).view(claims, reach)
