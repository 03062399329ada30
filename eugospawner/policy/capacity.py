"""
Capacity: what the cluster could give, as last seen.

The view is advisory. Only the scheduler allocates, and it may know better a moment later; so
capacity never refuses what merely waits, it refuses only what can never fit and says the rest
honestly: *now*, *waits*, *never* (design §5). No view at all counts as "unknown": the start goes
on, and the scheduler has the word.

A device is *shareable* when it takes several allocations; its free share is in SM percent. A GPU
with MIG is one device here, however many partitions its driver publishes: it has *sizes*, and of
each it can be cut to so many at once.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Fit(StrEnum):
    """Whether a GPU request fits."""

    NOW = "now"
    WAITS = "waits"
    NEVER = "never"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """
    How many partitions of one size a GPU has for a single claim.

    Attributes:
        most: With nothing else on the GPU, at least 1.
        free: Now.
    """

    sm_percent: int
    most: int
    free: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """
    One GPU: the node it is on, and its free share in SM percent, 0 to 100.

    Attributes:
        free_percent: Of a GPU with MIG the largest size that is free.
        sizes: What a GPU with MIG can be cut to; empty: it is no such GPU.
    """

    node: str
    free_percent: int
    sizes: tuple[Size, ...] = ()

    def most(self, sm_percent: int) -> int:
        """Return how many devices of *sm_percent* this GPU ever is to one claim."""
        if not self.sizes:
            return 1
        return sum(size.most for size in self.sizes if size.sm_percent == sm_percent)

    def free(self, sm_percent: int) -> int:
        """Return how many devices of *sm_percent* this GPU is to one claim now."""
        if not self.sizes:
            return int(self.free_percent >= sm_percent)
        return sum(size.free for size in self.sizes if size.sm_percent == sm_percent)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """
    The GPUs of the cluster by catalog key of their model.

    Attributes:
        devices: For each model the cluster has, its devices; `None`: nothing is known.
    """

    devices: Mapping[str, tuple[Device, ...]] | None

    def on(self, node: str) -> ClusterView:
        """Return what *node* alone could give."""
        if self.devices is None:
            return self
        return ClusterView(
            devices={
                model: tuple(each for each in devices if each.node == node)
                for model, devices in self.devices.items()
            }
        )

    def has(self, model: str) -> bool:
        """Whether the cluster has a GPU of *model*, or may have one for all we know."""
        return self.devices is None or bool(self.devices.get(model))

    def has_size(self, model: str, sm_percent: int) -> bool:
        """Whether some GPU of *model* can be cut to *sm_percent*, for all we know."""
        return self.devices is None or any(
            device.most(sm_percent) for device in self.devices.get(model, ())
        )

    def most_on_a_node(self, model: str, sm_percent: int) -> int | None:
        """Return how many of *model* at *sm_percent* one node has at most; `None` if unknown."""
        if self.devices is None:
            return None
        devices = self.devices.get(model, ())
        return _most((device.node, device.most(sm_percent)) for device in devices)

    def fit(self, model: str, count: int, sm_percent: int) -> Fit:
        """Return whether *count* GPUs with *sm_percent* free each can be had on one node."""
        if self.devices is None:
            return Fit.UNKNOWN
        devices = self.devices.get(model, ())
        if _most((device.node, device.most(sm_percent)) for device in devices) < count:
            return Fit.NEVER
        free = _most((device.node, device.free(sm_percent)) for device in devices)
        return Fit.NOW if free >= count else Fit.WAITS


def _most(counts: Iterable[tuple[str, int]]) -> int:
    per_node: Counter[str] = Counter()
    for node, count in counts:
        per_node[node] += count
    return max(per_node.values(), default=0)


UNKNOWN_CLUSTER = ClusterView(devices=None)
