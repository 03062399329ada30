"""
Watches: the reflectors of a hub, started once each and shared by every spawner.

A reflector that could not start is forgotten, so that the next spawn tries again; KubeSpawner
keeps the failed one for ever. The view of GPUs is made from slices and claims when it is asked
for and has gone stale; where the hub may not read slices there is no view, and admission leaves
the word to the scheduler (design §5, capacity is advisory). Where it may not read Nodes, every
Node counts as one that takes workspaces.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import devices
from eugospawner.once import Once
from eugospawner.policy.capacity import UNKNOWN_CLUSTER, ClusterView
from eugospawner.reflector import (
    Bell,
    ClaimReflector,
    EventReflector,
    NodeReflector,
    PodReflector,
    SliceReflector,
    WorkloadReflector,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eugospawner.manifests.placement import Placement
    from eugospawner.policy.catalog import GpuModel
    from eugospawner.reflector import Reflector

#: A view this young is good enough for a form or an advisory verdict.
_VIEW_SECONDS: Final = 0.5


class Watches:
    """
    The reflectors of one namespace, and of the cluster's devices.

    Args:
        parent: Spawner whose configuration the reflectors inherit.
        component: Value of the ``component`` label of workspace Pods.
        placement: What the Pods of workspaces say about Nodes.
    """

    def __init__(self, parent: Any, namespace: str, component: str, placement: Placement) -> None:
        self.bell = Bell()
        self._placement = placement
        self.pods = PodReflector(
            parent=parent,
            namespace=namespace,
            bell=self.bell,
            labels={"component": component},
        )
        self.events = EventReflector(
            parent=parent,
            namespace=namespace,
            bell=self.bell,
            fields={"involvedObject.kind": "Pod"},
        )
        self.claims = ClaimReflector(parent=parent, namespace=namespace, bell=self.bell)
        self.workloads = WorkloadReflector(parent=parent, namespace=namespace, bell=self.bell)
        self.slices = SliceReflector(parent=parent, bell=self.bell)
        self.nodes = NodeReflector(parent=parent, bell=self.bell)
        self._starts = {
            each: Once(each.start)
            for each in (
                self.pods,
                self.events,
                self.claims,
                self.workloads,
                self.slices,
                self.nodes,
            )
        }
        self._inventory = devices.Inventory.of((), {})
        self._view = UNKNOWN_CLUSTER
        self._seen = (-1, -1, -1)
        self._viewed_at = 0.0

    async def started(self, *reflectors: Reflector) -> None:
        """
        Return once each of *reflectors* has its first list.

        Raises:
            ApiException: A list failed; the next call tries again.
        """
        await asyncio.gather(*(self._starts[each].get() for each in reflectors))

    async def queues_started(self, warn: Callable[[str], None]) -> None:
        """Follow what Kueue says of Pods that wait; without it they wait all the same."""
        try:
            await self.started(self.workloads)
        except Exception as error:  # noqa: BLE001 - whatever it is, it only explains
            warn(f"What Kueue says of Pods that wait cannot be read: {error}")

    async def view(
        self, models: Mapping[str, GpuModel], warn: Callable[[str], None]
    ) -> ClusterView:
        """Return the GPUs of the cluster and what is free; unknown if it may not be read."""
        try:
            await self.started(self.slices, self.claims)
        except Exception as error:  # noqa: BLE001 - whatever it is, the view is only advisory
            warn(f"The cluster's GPUs cannot be read, so capacity is unknown: {error}")
            return UNKNOWN_CLUSTER
        try:
            await self.started(self.nodes)
        except Exception as error:  # noqa: BLE001 - as above
            warn(f"The cluster's Nodes cannot be read, so every one counts as usable: {error}")
        now = asyncio.get_running_loop().time()
        seen = (self.slices.changes, self.claims.changes, self.nodes.changes)
        if seen != self._seen and now - self._viewed_at >= _VIEW_SECONDS:
            if seen[0] != self._seen[0]:
                self._inventory = devices.Inventory.of(self.slices.resources.values(), models)
            self._view = self._inventory.view(
                self.claims.resources.values(),
                {
                    name: self._placement.reach_of(node)
                    for name, node in self.nodes.resources.items()
                },
            )
            self._seen, self._viewed_at = seen, now
        return self._view
