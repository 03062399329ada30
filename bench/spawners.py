"""
Spawners without a hub, for benchmarks: ours and KubeSpawner's on the same cluster and namespace.

Both make the same kind of Pod: one container, a home volume, no GPU unless asked. Where it runs is
the bench's to say, see `changing`.
"""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from traitlets.config import Config

from eugospawner import cluster
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


def percentile(values: list[float], share: float) -> float:
    """Return the value below which *share* of *values* lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def changing(
    made: Config, *, ours: Callable[[dict[str, Any]], None], peers: Callable[[Any], None]
) -> None:
    """
    Have Pods changed just before they are created: ours as JSON, KubeSpawner's as its model.

    KubeSpawner's by its hook. Ours after the manifest gate, which would refuse what a bench needs
    and nobody was granted: another Node, another volume.
    """

    def hook(spawner: Any, pod: Any) -> Any:
        if not isinstance(spawner, EugoSpawner):
            peers(pod)
        return pod

    async def create(api: Any, namespace: str, pod: dict[str, Any]) -> Any:
        ours(pod)
        return await created(api, namespace, pod)

    created = cluster.create_pod
    cluster.create_pod = create
    made.KubeSpawner.modify_pod_hook = hook


def put_on(made: Config, node: str) -> None:
    """Have Pods put on *node*, past the scheduler."""

    def ours(pod: dict[str, Any]) -> None:
        pod["spec"]["nodeName"] = node
        pod["spec"].pop("priorityClassName", None)

    def peers(pod: Any) -> None:
        pod.spec.node_name = node
        pod.spec.priority_class_name = None

    changing(made, ours=ours, peers=peers)


def spawner_of(kind: type[KubeSpawner], name: str, made: Config) -> Any:
    """Return a spawner of *kind* for a user *name*."""
    user = SimpleNamespace(name=name, id=name, url=f"/user/{name}/")
    spawner = kind(_mock=True, user=user, config=made)
    spawner.user_options = {"profile": "nb-cpu-2"} if kind is EugoSpawner else {}
    return spawner
