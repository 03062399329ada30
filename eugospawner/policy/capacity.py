"""
Capacity: what the cluster could give, as last seen.

The view is advisory. Only the scheduler allocates, and it may know better a moment later; so
capacity never refuses what merely waits, it refuses only what can never fit and says the rest
honestly: *now*, *waits*, *never* (design §5). No view at all counts as "unknown": the start goes
on, and the scheduler has the word.

A device is *shareable* when it takes several allocations; its free share is in SM percent.
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
class Device:
    """One GPU: the node it is on, and its free share in SM percent, 0 to 100."""

    node: str
    free_percent: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterView:
    """
    The GPUs of the cluster by catalog key of their model.

    Attributes:
        devices: For each model the cluster has, its devices; `None`: nothing is known.
    """

    devices: Mapping[str, tuple[Device, ...]] | None

    def has(self, model: str) -> bool:
        """Whether the cluster has a GPU of *model*, or may have one for all we know."""
        return self.devices is None or bool(self.devices.get(model))

    def most_on_a_node(self, model: str) -> int | None:
        """Return the largest number of GPUs of *model* on one node; `None` if unknown."""
        if self.devices is None:
            return None
        per_node = Counter(device.node for device in self.devices.get(model, ()))
        return max(per_node.values(), default=0)

    def fit(self, model: str, count: int, sm_percent: int) -> Fit:
        """Return whether *count* GPUs with *sm_percent* free each can be had on one node."""
        if self.devices is None:
            return Fit.UNKNOWN
        devices = self.devices.get(model, ())
        if _most(device.node for device in devices) < count:
            return Fit.NEVER
        free = (device.node for device in devices if device.free_percent >= sm_percent)
        return Fit.NOW if _most(free) >= count else Fit.WAITS


def _most(nodes: Iterable[str]) -> int:
    return max(Counter(nodes).values(), default=0)


UNKNOWN_CLUSTER = ClusterView(devices=None)
