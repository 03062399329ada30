"""
Cluster: what the reaper reads and deletes, through the Kubernetes API.

Lists are read as they come over the wire, since turning thousands of Pods into client objects
costs more than the sweep. Deletions name the uid, so that an object of the same name which was
made a moment ago is never meant (facts on security, §4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from kubernetes_asyncio.client import CoreV1Api, ResourceV1Api

from eugospawner import cluster
from eugospawner.manifests import labels
from eugospawner.policy.errors import ClusterError
from hub_services.common import owned
from hub_services.reaper import observed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kubernetes_asyncio.client import ApiClient

    from hub_services.reaper.observed import GpuClaim, Pod, Template, VolumeClaim

#: A Kubernetes object as JSON gives it.
Json = Any

#: What a stop by the spawner grants, too: a notebook may write its last file.
_GRACE_SECONDS: Final = 10
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True, kw_only=True)
class Pods:
    """
    The Pods of the namespace at one moment.

    Attributes:
        of_sessions: Those that belong to sessions.
        uids: Of all.
        templates: Names of the claim templates that any of them refers to.
    """

    of_sessions: tuple[Pod, ...]
    uids: frozenset[str]
    templates: frozenset[str]


class Cluster:
    """The namespace of workspaces; every method raises `ClusterError` if Kubernetes fails."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._core = CoreV1Api(client)
        self._resource = ResourceV1Api(client)
        self._namespace = namespace

    async def pods(self) -> Pods:
        """Return the Pods of the namespace."""
        listed = await self._list("list the Pods", self._core.list_namespaced_pod)
        return Pods(
            of_sessions=observed.to_pods(listed),
            uids=frozenset(each["metadata"]["uid"] for each in listed),
            templates=observed.templates_in_use(listed),
        )

    async def pods_of(self, session: str) -> tuple[Pod, ...]:
        """Return the Pods of one session."""
        listed = await self._list(
            "list the Pods of a session",
            self._core.list_namespaced_pod,
            f"{labels.SESSION}={session}",
        )
        return observed.to_pods(listed)

    async def templates(self) -> tuple[Template, ...]:
        """Return the claim templates of GPU shapes."""
        method = self._resource.list_namespaced_resource_claim_template
        return observed.to_templates(
            await self._list("list the GPU claim templates", method, labels.GPU_MODEL)
        )

    async def gpu_claims(self) -> tuple[GpuClaim, ...]:
        """Return the claims of Pods."""
        method = self._resource.list_namespaced_resource_claim
        return observed.to_gpu_claims(
            await self._list("list the GPU claims", method, labels.GPU_MODEL)
        )

    async def volume_claims(self) -> tuple[VolumeClaim, ...]:
        """Return the claims of extra volumes."""
        method = self._core.list_namespaced_persistent_volume_claim
        return observed.to_volume_claims(
            await self._list("list the volumes", method, labels.VOLUME)
        )

    async def delete_pod(self, pod: Pod) -> None:
        """Delete this very Pod; one that is gone is fine."""
        await cluster.delete_pod(
            self._core, self._namespace, pod.name, grace_seconds=_GRACE_SECONDS, uid=pod.uid
        )

    async def label_queue(self, pod: Pod, queue: str) -> None:
        """Have this very Pod say in which queue it is; one that is gone is fine."""
        await cluster.label_pod(
            self._core, self._namespace, pod.name, {labels.QUEUE: queue}, uid=pod.uid
        )

    async def delete_template(self, template: Template) -> None:
        """Delete this very template; one that is gone is fine."""
        options: Json = {"preconditions": {"uid": template.uid}}
        try:
            await cluster.call(
                f"delete the GPU claim template {template.name}",
                self._resource.delete_namespaced_resource_claim_template,
                template.name,
                self._namespace,
                body=options,
            )
        except ClusterError as error:
            if error.status not in {_NOT_FOUND, _CONFLICT}:
                raise

    async def _list(self, what: str, method: Any, selector: str = "") -> Sequence[Json]:
        return await owned.listed(what, method, self._namespace, selector)
