"""
Spawners without a hub, for benchmarks: ours and KubeSpawner's on the same cluster and namespace.

Both make the same kind of Pod (one container, a home volume, no GPU unless asked), bound to a Node
that no kubelet serves, so that the only thing measured is what a spawner and the API server do.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from traitlets.config import Config

from eugospawner.spawner import EugoSpawner

if TYPE_CHECKING:
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


def spawner_of(kind: type[KubeSpawner], name: str, made: Config, *, node: str) -> Any:
    """Return a spawner of *kind* for a user *name* whose Pod is bound to *node*."""
    user = SimpleNamespace(name=name, id=name, url=f"/user/{name}/")

    def bind(_spawner: object, pod: Any) -> Any:
        pod.spec.node_name = node
        pod.spec.priority_class_name = None
        return pod

    spawner = kind(_mock=True, user=user, config=made, modify_pod_hook=bind)
    spawner.user_options = {"profile": "nb-cpu-2"} if kind is EugoSpawner else {}
    return spawner
