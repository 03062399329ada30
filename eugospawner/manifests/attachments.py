"""
Attachments: where the volumes of somebody are in use, as their Pods say it.

A Pod without a Node has attached nothing yet, and one that has ended nothing any more. Source: F44.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from eugospawner.manifests.pod import HOME_VOLUME
from eugospawner.policy.volumes import HOME, Attachment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: A Kubernetes object as JSON gives it.
Json = Any

_SERVER = "hub.jupyter.org/servername"
_OVER = frozenset({"Succeeded", "Failed"})


def owner_of(pod: Json) -> str:
    """Return whose *pod* is, as KubeSpawner put it there; empty: nobody's."""
    return str((pod["metadata"].get("annotations") or {}).get("hub.jupyter.org/username", ""))


def of_pods(
    pods: Iterable[Json], owner: str, keys: Mapping[str, str]
) -> Iterator[tuple[str, Attachment]]:
    """
    Yield the volumes that *pods* of *owner* have attached, each with its claim.

    Args:
        keys: The owner's names of extra volumes, by claim.
    """
    for pod in pods:
        meta, spec = pod["metadata"], pod["spec"]
        annotations = meta.get("annotations") or {}
        is_over = (pod.get("status") or {}).get("phase") in _OVER
        if owner_of(pod) != owner or is_over or not spec.get("nodeName"):
            continue
        server = annotations.get(_SERVER, "")
        for volume in spec.get("volumes") or ():
            claim = str((volume.get("persistentVolumeClaim") or {}).get("claimName") or "")
            key = HOME if volume["name"] == HOME_VOLUME else keys.get(claim)
            if claim and key is not None:
                yield claim, Attachment(key=key, node=spec["nodeName"], server=server)


def of_others(
    pods: Iterable[Json], owner: str, keys: Mapping[str, str]
) -> Iterator[tuple[str, Attachment]]:
    """Yield which of the claims *keys* the *pods* of others than *owner* have attached; as `of_pods`."""
    for pod in pods:
        if (other := owner_of(pod)) != owner:
            for claim, each in of_pods((pod,), other, keys):
                if claim in keys:
                    yield claim, replace(each, is_others=True)


def pinned(required: Iterable[Json], node: str) -> list[Json]:
    """Return the terms of a required node affinity, narrowed to *node*; *required* may be none."""
    here = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    terms = list(required) or [{}]
    return [{**term, "matchFields": [*(term.get("matchFields") or ()), *here]} for term in terms]
