"""
Storage: PersistentVolumeClaims of extra volumes, and their mounts in the Pod.

The home is KubeSpawner's own; what stands here are the volumes a request names besides it.
A claim carries its holder and key, so that it is found again without the store and is
never handed to somebody else. Source: design §§5 and 9; F44.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from eugospawner.manifests import labels, names
from eugospawner.policy import units
from eugospawner.policy.volumes import Volume, place_of, project_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eugospawner.policy.decisions import Mount


def make_volume_claim(
    mount: Mount,
    *,
    owner: str,
    owner_slug: str,
    storage_class: str | None,
    access_modes: Sequence[str] = ("ReadWriteOnce",),
) -> dict[str, object]:
    """Return the PersistentVolumeClaim of a new volume of *owner*, or of the project whose volume it is."""
    holder, key = place_of(mount.key, owner)
    project = project_of(holder)
    whose = {labels.USER: owner_slug} if project is None else {labels.PROJECT: project}
    spec: dict[str, object] = {
        "accessModes": list(access_modes),
        "resources": {"requests": {"storage": units.format_memory(mount.size_bytes)}},
    }
    if storage_class:
        spec["storageClassName"] = storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.volume_claim_name(holder, key),
            "labels": {**whose, labels.VOLUME: key},
            "annotations": {labels.USER: holder},
        },
        "spec": spec,
    }


def make_volume(index: int, mount: Mount, *, owner: str) -> dict[str, object]:
    """Return the Pod's volume number *index*."""
    claim = mount.claim_name or claim_name_of(mount.key, owner)
    return {"name": _name(index), "persistentVolumeClaim": {"claimName": claim}}


def claim_name_of(reference: str, owner: str) -> str:
    """Return the PersistentVolumeClaim's name of what *owner* calls *reference*."""
    return names.volume_claim_name(*place_of(reference, owner))


def make_volume_mount(index: int, mount: Mount) -> dict[str, object]:
    """Return the container's mount of volume number *index*."""
    return {"name": _name(index), "mountPath": mount.mount_path}


def _name(index: int) -> str:
    return f"extra-{index}"


def to_volume(mount: Mount, *, owner: str) -> Volume:
    """Return the record of the volume behind *mount*."""
    return Volume(
        key=mount.key,
        claim_name=mount.claim_name or claim_name_of(mount.key, owner),
        size_bytes=mount.size_bytes,
    )
