"""
Spawners without a hub, for benchmarks: ours and KubeSpawner's on the same cluster and namespace.

Both make the same kind of Pod: one container, a home volume, no GPU unless asked. Where it runs is
the bench's to say, by `modify_pod_hook`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from traitlets.config import Config

from eugospawner.spawner import EugoSpawner

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kubespawner import KubeSpawner

IMAGE = "registry.example/eugo/base-notebook:2026.11"


def config(namespace: str, *, store: Path, catalog: Path) -> Config:
    """Return the configuration of both."""
    made = Config()
    made.KubeSpawner.namespace = namespace
    made.KubeSpawner.storage_pvc_ensure = True
    made.KubeSpawner.pvc_name_template = "home-{username}"
    made.KubeSpawner.storage_capacity = "1Gi"
    made.KubeSpawner.image = IMAGE
    made.KubeSpawner.start_timeout = 300
    made.EugoSpawner.catalog_file = str(catalog)
    made.EugoSpawner.store_url = f"sqlite:///{store}"
    made.EugoSpawner.now = lambda: datetime.now(UTC)  # noqa: TID251 - the bench's clock
    made.EugoSpawner.service_account = "default"
    return made


def bound_to(node: str) -> Callable[[object, Any], Any]:
    """Return a `modify_pod_hook` that puts the Pod on *node*, past the scheduler."""

    def bind(_spawner: object, pod: Any) -> Any:
        pod.spec.node_name = node
        pod.spec.priority_class_name = None
        return pod

    return bind


def spawner_of(kind: type[KubeSpawner], name: str, made: Config) -> Any:
    """Return a spawner of *kind* for a user *name*."""
    user = SimpleNamespace(name=name, id=name, url=f"/user/{name}/")
    spawner = kind(_mock=True, user=user, config=made)
    spawner.user_options = {"profile": "nb-cpu-2"} if kind is EugoSpawner else {}
    return spawner
