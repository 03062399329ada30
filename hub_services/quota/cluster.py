"""Cluster: what accounting reads of Kubernetes: the Pods of sessions and their GPU claims."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from kubernetes_asyncio.client import CoreV1Api, ResourceV1Api

from eugospawner.manifests import labels
from hub_services.common import owned
from hub_services.quota import observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubernetes_asyncio.client import ApiClient

    from eugospawner.policy.catalog import Catalog

#: A Kubernetes object as JSON gives it.
Json = Any


class Cluster:
    """The namespace of workspaces; raises `ClusterError` if Kubernetes fails."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._core = CoreV1Api(client)
        self._resource = ResourceV1Api(client)
        self._namespace = namespace

    async def pods(self, catalog: Catalog) -> tuple[observed.Pod, ...]:
        """Return the Pods of sessions, with what their GPU claims consume."""
        pods, claims = await asyncio.gather(
            self._list("list the Pods", self._core.list_namespaced_pod, labels.SESSION),
            self._list(
                "list the GPU claims",
                self._resource.list_namespaced_resource_claim,
                labels.GPU_MODEL,
            ),
        )
        by_name = {claim["metadata"]["name"]: claim for claim in claims}
        return observed.to_pods(pods, by_name, catalog)

    async def _list(self, what: str, method: Any, label: str) -> Sequence[Json]:
        return await owned.listed(what, method, self._namespace, label)
