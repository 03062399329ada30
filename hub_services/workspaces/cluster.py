"""
Cluster: what a termination deletes of Kubernetes, and sees to be gone.

Only what is labelled, named and annotated as ours and as the owner's is deleted, and by its uid: an object of the
same name that somebody else made is never meant. Source: facts on security, §4; D5; F28, F31.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kubernetes_asyncio.client import CoreV1Api

from eugospawner import cluster
from eugospawner.manifests import labels
from eugospawner.policy.errors import ClusterError
from hub_services.common import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubernetes_asyncio.client import ApiClient

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409


class Cluster:
    """The namespace of workspaces; every method raises `ClusterError` if Kubernetes fails."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._core = CoreV1Api(client)
        self._namespace = namespace

    async def has_pod(self, session: str) -> bool:
        """Whether a Pod of the session is there."""
        return bool(await self._pods("list the Pods of a session", f"{labels.SESSION}={session}"))

    async def end_exporters(self, owner: str) -> None:
        """Delete the Pods that read the volumes of *owner* for exports: a volume that is read does not go."""
        selector = f"component={owned.EXPORTER},{labels.USER}"
        for pod in await self._pods("list the exports", selector):
            if owned.owner_of(pod) == owner and not owned.is_going(pod):
                meta = pod["metadata"]
                await cluster.delete_pod(
                    self._core, self._namespace, meta["name"], grace_seconds=1, uid=meta["uid"]
                )

    async def destroy_volume(self, owner: str, key: str) -> bool:
        """Delete the claim of an extra volume; return whether it is gone."""
        found = await owned.volumes_of(self._core, self._namespace, owner, (key,))
        return await self._destroy(tuple(found.values()))

    async def destroy_homes(self, owner: str) -> bool:
        """Delete the home of *owner*; return whether it is gone."""
        return await self._destroy(await owned.homes_of(self._core, self._namespace, owner))

    async def _destroy(self, claims: Sequence[owned.Json]) -> bool:
        for claim in claims:
            meta = claim["metadata"]
            if owned.is_going(claim):
                continue
            try:
                await cluster.call(
                    f"delete the volume {meta['name']}",
                    self._core.delete_namespaced_persistent_volume_claim,
                    meta["name"],
                    self._namespace,
                    body={"preconditions": {"uid": meta["uid"]}},
                )
            except ClusterError as error:
                if error.status not in {_NOT_FOUND, _CONFLICT}:
                    raise
        # What was there goes when nothing mounts it any more; the next look sees that.
        return not claims

    async def _pods(self, what: str, selector: str) -> Sequence[owned.Json]:
        return await owned.listed(what, self._core.list_namespaced_pod, self._namespace, selector)
