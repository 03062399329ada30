"""
Observed: the objects of the cluster as the reaper sees them.

Values made from Kubernetes' JSON and nothing else, with exactly what the rules ask about. What
was not made by us (no session label on a Pod, no shape on a template, no key on a volume) has no
value here, so that no rule can touch it. Source: `eugospawner.manifests.labels`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import labels
from eugospawner.policy import units
from eugospawner.policy.errors import BadQuantity

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: A Kubernetes object as JSON gives it.
Json = Any

#: What KubeSpawner puts on every Pod of a server.
_COMPONENT: Final = ("component", "singleuser-server")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod:
    """
    The Pod of a session.

    Attributes:
        session: Its identifier; whose workspace it is stands in the store, not in the cluster.
        is_going: Somebody has asked for its deletion.
        queue: In which it says it is.
    """

    name: str
    uid: str
    session: str
    created_at: datetime
    is_going: bool
    queue: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a claim template stands for, as its labels say it."""

    gpu_model: str
    gpu_count: str
    sm_percent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A ResourceClaimTemplate of a GPU shape."""

    name: str
    uid: str
    shape: Shape
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class VolumeClaim:
    """
    The PersistentVolumeClaim of an extra volume.

    Attributes:
        size_bytes: What was asked for; 0 if it cannot be read.
        is_going: Somebody has asked for its deletion.
    """

    name: str
    uid: str
    owner: str
    key: str
    size_bytes: int
    is_going: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuClaim:
    """A ResourceClaim that Kubernetes made for Pods of ours; `pod_uids` are its owners."""

    name: str
    uid: str
    pod_uids: frozenset[str]
    created_at: datetime


def to_pods(listed: Iterable[Json]) -> tuple[Pod, ...]:
    """Return the Pods that belong to sessions."""
    return tuple(pod for each in listed if (pod := _pod(each)) is not None)


def templates_in_use(listed: Iterable[Json]) -> frozenset[str]:
    """Return the names of the claim templates that Pods refer to, whoever made the Pods."""
    return frozenset(
        claim["resourceClaimTemplateName"]
        for pod in listed
        for claim in pod["spec"].get("resourceClaims") or ()
        if claim.get("resourceClaimTemplateName")
    )


def to_templates(listed: Iterable[Json]) -> tuple[Template, ...]:
    """Return the claim templates of GPU shapes."""
    return tuple(
        Template(
            name=meta["name"],
            uid=meta["uid"],
            shape=Shape(
                gpu_model=found[labels.GPU_MODEL],
                gpu_count=found.get(labels.GPU_COUNT, ""),
                sm_percent=found.get(labels.SM_PERCENT, ""),
            ),
            created_at=_time(meta["creationTimestamp"]),
        )
        for meta, found in _labelled(listed, labels.GPU_MODEL)
        if meta["name"].startswith("gpu-")
    )


def to_volume_claims(listed: Iterable[Json]) -> tuple[VolumeClaim, ...]:
    """Return the claims of extra volumes."""
    return tuple(
        VolumeClaim(
            name=each["metadata"]["name"],
            uid=each["metadata"]["uid"],
            owner=(each["metadata"].get("annotations") or {}).get(labels.USER, ""),
            key=each["metadata"]["labels"][labels.VOLUME],
            size_bytes=_size(each),
            is_going="deletionTimestamp" in each["metadata"],
        )
        for each in listed
        if labels.VOLUME in (each["metadata"].get("labels") or {})
    )


def to_gpu_claims(listed: Iterable[Json]) -> tuple[GpuClaim, ...]:
    """Return the claims that belong to Pods and hold a GPU shape of ours."""
    claims = (
        GpuClaim(
            name=meta["name"],
            uid=meta["uid"],
            pod_uids=frozenset(
                owner["uid"]
                for owner in meta.get("ownerReferences") or ()
                if owner["kind"] == "Pod"
            ),
            created_at=_time(meta["creationTimestamp"]),
        )
        for meta, _ in _labelled(listed, labels.GPU_MODEL)
    )
    return tuple(claim for claim in claims if claim.pod_uids)


def _pod(pod: Json) -> Pod | None:
    meta = pod["metadata"]
    found: Mapping[str, str] = meta.get("labels") or {}
    session = found.get(labels.SESSION)
    if not session or found.get(_COMPONENT[0]) != _COMPONENT[1]:
        return None
    return Pod(
        name=meta["name"],
        uid=meta["uid"],
        session=session,
        created_at=_time(meta["creationTimestamp"]),
        is_going="deletionTimestamp" in meta,
        queue=found.get(labels.QUEUE, ""),
    )


def _labelled(listed: Iterable[Json], label: str) -> Iterable[tuple[Json, Mapping[str, str]]]:
    for each in listed:
        found = each["metadata"].get("labels") or {}
        if label in found:
            yield each["metadata"], found


def _size(claim: Json) -> int:
    requests = (claim["spec"].get("resources") or {}).get("requests") or {}
    try:
        return units.parse_memory(requests.get("storage", "0"))
    except BadQuantity:
        return 0


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)
