"""
Owned: what there is of somebody in the namespace of workspaces, as the objects themselves say it.

A label cannot hold every name, so the annotation has the last word on whose something is; an object of the same name that
somebody else made is never meant. Source: facts on security, §4; design §9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from eugospawner import cluster
from eugospawner.manifests import labels, names
from eugospawner.policy.volumes import HOME, is_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from kubernetes_asyncio.client import CoreV1Api

#: A Kubernetes object as JSON gives it.
Json = Any

#: The component of Pods that read volumes for exports.
EXPORTER: Final = "exporter"
_READ_SECONDS: Final = 10
#: What KubeSpawner puts on every home, and whose it is.
_HOMES: Final = "component=singleuser-storage"
_HOME_OF: Final = "hub.jupyter.org/username"


async def listed(what: str, method: Any, namespace: str, selector: str = "") -> Sequence[Json]:
    """
    Return the objects that *method* of the API lists, as they come over the wire.

    Args:
        what: What is tried, for errors: ``list the Pods``.

    Raises:
        ClusterError: Kubernetes fails.
    """
    answer = await cluster.call(
        what, method, namespace, label_selector=selector, _request_timeout=_READ_SECONDS
    )
    items: Sequence[Json] = answer["items"] or []
    return items


def owner_of(found: Json) -> str:
    """Return whose a Pod or claim of ours is; empty: it does not say."""
    return _annotated(found, labels.USER)


def is_going(found: Json) -> bool:
    """Whether somebody has asked for the object's deletion."""
    return "deletionTimestamp" in found["metadata"]


async def homes_of(core: CoreV1Api, namespace: str, owner: str) -> Sequence[Json]:
    """Return the claims that are a home of *owner*; raises `ClusterError`."""
    return [
        each
        for each in await _claims(core, namespace, f"{_HOMES},!{labels.VOLUME}")
        if _annotated(each, _HOME_OF) == owner
    ]


async def volumes_of(
    core: CoreV1Api, namespace: str, owner: str, keys: Iterable[str]
) -> Mapping[str, Json]:
    """Return the claims of the extra volumes *keys* of *owner*, by key, as far as they are there; raises `ClusterError`."""
    # What is no key names no volume, and might be more than a value to whoever reads the selector.
    wanted = {names.volume_claim_name(owner, key): key for key in keys if is_key(key)}
    if not wanted:
        return {}
    selector = f"{labels.VOLUME} in ({','.join(wanted.values())})"
    return {
        wanted[each["metadata"]["name"]]: each
        for each in await _claims(core, namespace, selector)
        if each["metadata"]["name"] in wanted and owner_of(each) == owner
    }


async def claims(core: CoreV1Api, namespace: str) -> Sequence[tuple[str, str, Json]]:
    """Return every home and extra volume: whose it is, its key, and its claim; raises `ClusterError`."""
    homes = await _claims(core, namespace, f"{_HOMES},!{labels.VOLUME}")
    found = [(owner, HOME, each) for each in homes if (owner := _annotated(each, _HOME_OF))]
    for each in await _claims(core, namespace, labels.VOLUME):
        owner, key = owner_of(each), each["metadata"]["labels"][labels.VOLUME]
        if owner and names.volume_claim_name(owner, key) == each["metadata"]["name"]:
            found.append((owner, key, each))
    return found


async def _claims(core: CoreV1Api, namespace: str, selector: str) -> Sequence[Json]:
    method = core.list_namespaced_persistent_volume_claim
    return await listed("list the volumes", method, namespace, selector)


def _annotated(found: Json, annotation: str) -> str:
    return str((found["metadata"].get("annotations") or {}).get(annotation, ""))
