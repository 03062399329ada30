"""Pods and sessions as accounting sees them: alice's workspace, an hour old, bound and running."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from eugospawner.policy.errors import ClusterError
from hub_services.quota.observed import Pod
from tests.unit.hub_services.reaper.worlds import HOUR, NOW, a_session

if TYPE_CHECKING:
    from eugospawner.policy.catalog import Catalog
    from eugospawner.store import Session


def a_running_pod(**changes: Any) -> Pod:
    values: dict[str, Any] = {
        "name": "jupyter-alice",
        "session": "s1",
        "created_at": NOW - HOUR,
        "ready_at": NOW - HOUR,
        "ended_at": None,
        "wants_gpu": False,
        "granted_percent": 0,
    }
    return Pod(**values | changes)


def a_bound_session(**changes: Any) -> Session:
    return a_session(**{"bound_at": NOW - HOUR, "granted_percent": 0} | changes)


@dataclass
class FakeCluster:
    held: list[Pod] = field(default_factory=list)
    is_down: bool = False

    async def pods(self, _catalog: Catalog) -> tuple[Pod, ...]:
        if self.is_down:
            message = "Could not list the Pods: the Kubernetes API does not answer"
            raise ClusterError(message)
        return tuple(self.held)


@dataclass
class FakeLease:
    is_held: bool = True
