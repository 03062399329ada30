"""
A cluster and a hub in memory, with faults switched on by name.

`just_before` runs at the second look at a victim: what changes there is what a user or a twin may
do between a sweep's list and its act.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from eugospawner.policy.errors import ClusterError
from hub_services.common.hub import HubError, Server
from hub_services.reaper.cluster import Pods
from tests.unit.hub_services.reaper.worlds import NOW

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from hub_services.reaper.observed import GpuClaim, Pod, Template, VolumeClaim


@dataclass
class FakeClock:
    time: datetime = NOW

    def now(self) -> datetime:
        return self.time


@dataclass
class FakeHub:
    active: list[Server] = field(default_factory=list)
    is_down: bool = False
    goes_down_after_the_list: bool = False
    just_before: Callable[[], None] = lambda: None
    #: Users whom a list that changed between two pages has missed.
    missed: set[str] = field(default_factory=set)

    async def servers(self) -> tuple[Server, ...]:
        self._answer()
        self.is_down = self.goes_down_after_the_list
        return tuple(server for server in self.active if server.owner not in self.missed)

    async def servers_of(self, owner: str) -> tuple[Server, ...]:
        self._answer()
        self.just_before()
        return tuple(server for server in self.active if server.owner == owner)

    def _answer(self) -> None:
        if self.is_down:
            message = "The hub does not answer"
            raise HubError(message)


@dataclass
class FakeCluster:
    held: list[Pod] = field(default_factory=list)
    held_templates: list[Template] = field(default_factory=list)
    held_claims: list[GpuClaim] = field(default_factory=list)
    held_volumes: list[VolumeClaim] = field(default_factory=list)
    foreign_templates_in_use: frozenset[str] = frozenset()
    is_down: bool = False
    #: Names of Pods whose deletion the cluster refuses.
    refuses: set[str] = field(default_factory=set)
    just_before: Callable[[], None] = lambda: None
    lists: int = 0

    async def pods(self) -> Pods:
        self._answer()
        self.lists += 1
        if self.lists > 1:
            self.just_before()
        return Pods(
            of_sessions=tuple(self.held),
            uids=frozenset(pod.uid for pod in self.held),
            templates=self.foreign_templates_in_use,
        )

    async def pods_of(self, session: str) -> tuple[Pod, ...]:
        return tuple(pod for pod in self.held if pod.session == session)

    async def templates(self) -> tuple[Template, ...]:
        return tuple(self.held_templates)

    async def gpu_claims(self) -> tuple[GpuClaim, ...]:
        return tuple(self.held_claims)

    async def volume_claims(self) -> tuple[VolumeClaim, ...]:
        return tuple(self.held_volumes)

    async def delete_pod(self, pod: Pod) -> None:
        if pod.name in self.refuses:
            message = f"Could not stop the Pod {pod.name}: no"
            raise ClusterError(message, status=403)
        self.held = [each for each in self.held if each.uid != pod.uid]

    async def delete_template(self, template: Template) -> None:
        self.held_templates = [each for each in self.held_templates if each.uid != template.uid]

    def _answer(self) -> None:
        if self.is_down:
            message = "Could not list the Pods: the Kubernetes API does not answer"
            raise ClusterError(message)
