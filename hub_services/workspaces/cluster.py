"""
Cluster: what a termination deletes of Kubernetes, and sees to be gone.

Only what is labelled, named and annotated as ours and as the owner's is deleted, and by its uid: an object of the
same name that somebody else made is never meant. Source: facts on security, §4; D5; F28, F31.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kubernetes_asyncio.client import CoreV1Api

from eugospawner import cluster
from eugospawner.manifests import labels, names
from eugospawner.policy.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubernetes_asyncio.client import ApiClient

#: A Kubernetes object as JSON gives it.
Json = Any

_READ_SECONDS: Final = 10
_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
#: The component of Pods that read volumes (`hub_services.export.manifest`).
EXPORTER: Final = "exporter"
#: What KubeSpawner puts on every home, and whose it is.
_HOMES: Final = "component=singleuser-storage"
_HOME_OF: Final = "hub.jupyter.org/username"


class Cluster:
    """The namespace of workspaces; every method raises `ClusterError` if Kubernetes fails."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._core = CoreV1Api(client)
        self._namespace = namespace

    async def has_pod(self, session: str) -> bool:
        """Whether a Pod of the session is there."""
        found = await self._list(
            "list the Pods of a session",
            self._core.list_namespaced_pod,
            f"{labels.SESSION}={session}",
        )
        return bool(found)

    async def end_exporters(self, owner: str) -> None:
        """Delete the Pods that read the volumes of *owner* for exports: a volume that is read does not go."""
        selector = f"component={EXPORTER},{labels.USER}"
        for pod in await self._list("list the exports", self._core.list_namespaced_pod, selector):
            meta = pod["metadata"]
            if _whose(pod, labels.USER) == owner and "deletionTimestamp" not in meta:
                await cluster.delete_pod(
                    self._core, self._namespace, meta["name"], grace_seconds=1, uid=meta["uid"]
                )

    async def destroy_volume(self, owner: str, key: str) -> bool:
        """Delete the claim of an extra volume; return whether it is gone."""
        name = names.volume_claim_name(owner, key)
        found = [
            each
            for each in await self._claims(f"{labels.VOLUME}={key}")
            if each["metadata"]["name"] == name and _whose(each, labels.USER) == owner
        ]
        return await self._destroy(found)

    async def destroy_homes(self, owner: str) -> bool:
        """Delete the home of *owner*; return whether it is gone."""
        found = [
            each
            for each in await self._claims(f"{_HOMES},!{labels.VOLUME}")
            if _whose(each, _HOME_OF) == owner
        ]
        return await self._destroy(found)

    async def _destroy(self, claims: Sequence[Json]) -> bool:
        for claim in claims:
            meta = claim["metadata"]
            if "deletionTimestamp" in meta:
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

    async def _claims(self, selector: str) -> Sequence[Json]:
        method = self._core.list_namespaced_persistent_volume_claim
        return await self._list("list the volumes", method, selector)

    async def _list(self, what: str, method: Any, selector: str) -> Sequence[Json]:
        answer = await cluster.call(
            what, method, self._namespace, label_selector=selector, _request_timeout=_READ_SECONDS
        )
        items: Sequence[Json] = answer.get("items") or []
        return items


def _whose(found: Json, annotation: str) -> str:
    return str((found["metadata"].get("annotations") or {}).get(annotation, ""))
