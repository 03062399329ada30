"""
Cluster: the exporters, and the volumes that they read.

A volume is mounted, or made larger, only if its claim says that it is the owner's: by the annotation that we, or
KubeSpawner, put there. A Pod is ours if it says so and for which export; what is deleted or changed is named by its uid.
Source: facts on security, §4; F83; L8.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Final

from kubernetes_asyncio.client import CoreV1Api

from eugospawner import cluster
from eugospawner.manifests import labels
from eugospawner.policy import units
from eugospawner.policy.errors import ClusterError
from eugospawner.policy.volumes import HOME
from hub_services.common import owned
from hub_services.export import manifest
from hub_services.export.exporter.terms import PORT

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from kubernetes_asyncio.client import ApiClient

    from hub_services.export.manifest import Attached

_EXISTS: Final = 409


@dataclass(frozen=True, slots=True, kw_only=True)
class Exporter:
    """
    A Pod that reads volumes.

    Attributes:
        export: Which export or errand it is for.
        address: Host and port where it is asked; empty: it has none yet.
        is_ready: Whether it answers.
        is_going: Whether it has ended, or was asked to.
        trouble: Why it does not come up, as Kubernetes says it; empty: nothing is wrong.
        is_restore: Whether it unpacks an archive for somebody who waits; once it runs, it ends by itself.
        created_at: Aware UTC.
    """

    name: str
    uid: str
    export: str
    address: str
    is_ready: bool
    is_going: bool
    trouble: str
    created_at: datetime
    is_restore: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """
    The PersistentVolumeClaim of a volume.

    Attributes:
        owner: A person, or `policy.volumes.holder_of` a project.
        key: The owner's name for the volume; `policy.volumes.HOME` for the home.
        size_bytes: What it asks for.
        capacity_bytes: What it has; 0: none yet.
        storage_class: Empty: it does not say.
        modes: How it may be attached: ``ReadWriteOnce``.
        awaits_restart: Whether the new size is seen only after the workspace was started again.
        is_going: Whether somebody has asked for its deletion.
    """

    owner: str
    key: str
    name: str
    uid: str
    size_bytes: int
    capacity_bytes: int
    storage_class: str
    modes: tuple[str, ...]
    awaits_restart: bool
    is_going: bool


class Cluster:
    """The namespace of workspaces; every method raises `ClusterError` if Kubernetes fails."""

    def __init__(self, client: ApiClient, namespace: str) -> None:
        self._core = CoreV1Api(client)
        self._namespace = namespace

    async def claims(self) -> tuple[Claim, ...]:
        """Return the claims of all homes and extra volumes."""
        found = await owned.claims(self._core, self._namespace)
        return tuple(_claim(*each) for each in found)

    async def claims_of(self, owner: str, keys: Iterable[str]) -> tuple[Claim, ...]:
        """Return the claims of the home of *owner*, and of the extra volumes *keys*."""
        homes = await owned.homes_of(self._core, self._namespace, owner)
        volumes = await owned.volumes_of(self._core, self._namespace, owner, keys)
        found = [(HOME, each) for each in homes] + list(volumes.items())
        return tuple(_claim(owner, key, each) for key, each in found)

    async def enlarge(self, claim: Claim, size_bytes: int) -> None:
        """Have this very claim ask for another size; the cluster says why, if it may not."""
        patch = {
            "metadata": {"uid": claim.uid},
            "spec": {"resources": {"requests": {"storage": units.format_memory(size_bytes)}}},
        }
        await cluster.call(
            f"give the volume {claim.name} another size",
            self._core.patch_namespaced_persistent_volume_claim,
            claim.name,
            self._namespace,
            patch,
            _content_type="application/merge-patch+json",
        )

    async def attached(
        self, owner_slug: str, claims: Sequence[str], projects: Collection[str] = ()
    ) -> Attached | None:
        """Return where one of *claims* is attached now, by the owner's Pods or by those of *projects*; `None`: nowhere."""
        selectors = [
            f"{labels.USER}={owner_slug}",
            *(f"{labels.PROJECT}={each}" for each in projects),
        ]
        for selector in selectors:
            if (found := manifest.attached_at(await self._pods(selector), claims)) is not None:
                return found
        return None

    async def make(self, claim: owned.Json) -> None:
        """Create the claim of a volume; one that is there is fine."""
        method = self._core.create_namespaced_persistent_volume_claim
        try:
            await cluster.call("make a volume", method, self._namespace, claim)
        except ClusterError as error:
            if error.status != _EXISTS:
                raise

    async def exporters(self, export: str = "") -> tuple[Exporter, ...]:
        """Return the exporters, of one export or all."""
        selector = f"component={manifest.COMPONENT},{manifest.EXPORT}"
        found = await self._pods(f"{selector}={export}" if export else selector)
        return tuple(map(_exporter, found))

    async def create(self, pod: owned.Json) -> None:
        """Create the Pod of an export."""
        await cluster.call(
            "start the export", self._core.create_namespaced_pod, self._namespace, pod
        )

    async def delete(self, exporter: Exporter) -> None:
        """Delete this very Pod; one that is gone is fine."""
        await cluster.delete_pod(
            self._core, self._namespace, exporter.name, grace_seconds=1, uid=exporter.uid
        )

    async def _pods(self, selector: str) -> Sequence[owned.Json]:
        method = self._core.list_namespaced_pod
        return await owned.listed("list the Pods", method, self._namespace, selector)


def _exporter(pod: owned.Json) -> Exporter:
    meta, status = pod["metadata"], pod.get("status") or {}
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    return Exporter(
        name=meta["name"],
        uid=meta["uid"],
        export=meta["labels"][manifest.EXPORT],
        is_restore=manifest.RESTORE in meta["labels"],
        address=_address(status.get("podIP") or ""),
        is_ready=(conditions.get("Ready") or {}).get("status") == "True",
        is_going=owned.is_going(pod) or status.get("phase") in {"Succeeded", "Failed"},
        trouble=_trouble(status, conditions),
        created_at=datetime.fromisoformat(meta["creationTimestamp"]),
    )


def _claim(owner: str, key: str, found: owned.Json) -> Claim:
    meta, spec, status = found["metadata"], found["spec"], found.get("status") or {}
    return Claim(
        owner=owner,
        key=key,
        name=meta["name"],
        uid=meta["uid"],
        size_bytes=_bytes(spec["resources"]["requests"]),
        capacity_bytes=_bytes(status.get("capacity") or {}),
        storage_class=spec.get("storageClassName") or "",
        modes=tuple(spec.get("accessModes") or ()),
        awaits_restart=any(
            each["type"] == "FileSystemResizePending" and each["status"] == "True"
            for each in status.get("conditions") or ()
        ),
        is_going=owned.is_going(found),
    )


def _bytes(amounts: Mapping[str, str]) -> int:
    return units.parse_memory(str(amounts.get("storage", "0")))


def _address(ip: str) -> str:
    """Return host and port as an address has them; IPv6 in brackets."""
    if not ip:
        return ""
    return f"[{ip}]:{PORT}" if ":" in ip else f"{ip}:{PORT}"


def _trouble(status: owned.Json, conditions: Mapping[str, owned.Json]) -> str:
    for container in status.get("containerStatuses") or ():
        waiting = (container.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") not in {None, "ContainerCreating", "PodInitializing"}:
            return f"{waiting['reason']}: {waiting.get('message') or 'no more is said'}"
        ended = (container.get("state") or {}).get("terminated") or {}
        if ended.get("exitCode"):
            return f"its program ended with {ended['exitCode']} ({ended.get('reason')})"
    scheduled = conditions.get("PodScheduled") or {}
    return str(scheduled.get("message") or "") if scheduled.get("status") == "False" else ""
