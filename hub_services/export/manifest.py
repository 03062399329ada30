"""
Manifest: the Pod that reads somebody's volumes, and can do nothing else.

It mounts them read-only (one that restores an archive may write to the one volume it has), as the user that workspaces run as; it has no token, no device, a root that cannot be
written, and nobody to talk to (NetworkPolicy `eugo-exporters`). It ends by itself (`exporter.server.IDLE`), and with
its deadline at the latest. Where a volume is attached to a Node it goes there, since most volumes are on one at a
time. Source: design §9; Pod Security Standards, *restricted*; L8.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import labels, pod
from hub_services.common.owned import EXPORTER
from hub_services.export.exporter.terms import ADDRESS, PORT, TOKEN, VOLUMES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: What the Pods are, among those of the namespace.
COMPONENT: Final = EXPORTER
#: Which export or errand a Pod is for.
EXPORT: Final = f"{labels.PREFIX}/export"
#: On one that writes.
RESTORE: Final = f"{labels.PREFIX}/restore"
#: The link's hour, and a long download that began in it.
DEADLINE_SECONDS: Final = 6 * 3600
_GRACE_SECONDS: Final = 5
_CONTAINER: Final = "exporter"
_FOLDER: Final = "/volumes"
_TEMPORARY: Final = "scratch"
#: The only place that can be written; none that an image could have something in.
_SCRATCH: Final = "/scratch"
_RESOURCES: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "50m", "memory": "64Mi"},
    "limits": {"cpu": "2", "memory": "256Mi"},
}
#: What a quarter of a million entries are, and their sums.
_FOR_RESTORES: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "100m", "memory": "128Mi"},
    "limits": {"cpu": "2", "memory": "1Gi"},
}
#: A browser prints, and a notebook has pictures.
_FOR_DOCUMENTS: Final[Mapping[str, Mapping[str, str]]] = {
    "requests": {"cpu": "100m", "memory": "512Mi"},
    "limits": {"cpu": "2", "memory": "2Gi"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached:
    """Where a volume is attached: the Node, and what a Pod must tolerate to be there."""

    node: str
    tolerations: tuple[Any, ...] = ()


def make_exporter(
    *,
    export: str,
    suffix: str,
    owner: str,
    owner_slug: str,
    claims: Mapping[str, str],
    token: str,
    image: str,
    priority_class: str,
    attached: Attached | None,
    is_document: bool,
    is_restore: bool = False,
) -> dict[str, object]:
    """
    Return the Pod that reads the volumes *claims*: PersistentVolumeClaims by the names that archives give them.

    Args:
        suffix: Tells it from an earlier Pod of the same export.
        token: What it is asked with; the Pod has only its SHA-256.
        priority_class: One that preempts nobody.
        attached: Where it must run; `None`: wherever the scheduler says.
        is_document: Whether it makes a document, for which it needs more memory.
        is_restore: Whether it writes: it unpacks an archive into a new folder.
    """
    resources = _FOR_DOCUMENTS if is_document else _FOR_RESTORES if is_restore else _RESOURCES
    mounts = {name: f"{_FOLDER}/{index}" for index, name in enumerate(claims)}
    spec: dict[str, object] = {
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEADLINE_SECONDS,
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "serviceAccountName": "workspace",
        "priorityClassName": priority_class,
        "securityContext": {
            "runAsUser": pod.UID,
            "runAsGroup": pod.GID,
            "runAsNonRoot": True,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [
            _make_container(
                mounts, token=token, image=image, resources=resources, is_restore=is_restore
            )
        ],
        "volumes": [
            *(
                {
                    "name": f"volume-{index}",
                    "persistentVolumeClaim": {"claimName": claim, "readOnly": not is_restore},
                }
                for index, claim in enumerate(claims.values())
            ),
            {"name": _TEMPORARY, "emptyDir": {"sizeLimit": "1Gi"}},
        ],
    }
    if attached is not None:
        spec["affinity"] = _on(attached.node)
        spec["tolerations"] = list(attached.tolerations)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"export-{export[:12]}-{suffix}",
            "labels": {
                "component": COMPONENT,
                EXPORT: export,
                labels.USER: owner_slug,
                **({RESTORE: "true"} if is_restore else {}),
            },
            "annotations": {labels.USER: owner},
        },
        "spec": spec,
    }


def _make_container(
    mounts: Mapping[str, str],
    *,
    token: str,
    image: str,
    resources: Mapping[str, Mapping[str, str]],
    is_restore: bool,
) -> dict[str, object]:
    return {
        "name": _CONTAINER,
        "image": image,
        "command": ["python3", "-m", "hub_services.export.exporter"],
        "env": [
            {"name": TOKEN, "value": hashlib.sha256(token.encode()).hexdigest()},
            {"name": VOLUMES, "value": json.dumps(mounts)},
            {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            {"name": ADDRESS, "value": f"$(POD_IP):{PORT}"},
            {"name": "TMPDIR", "value": _SCRATCH},
            {"name": "HOME", "value": _SCRATCH},
        ],
        "ports": [{"name": _CONTAINER, "containerPort": PORT}],
        "readinessProbe": {
            "tcpSocket": {"port": _CONTAINER}, "periodSeconds": 1, "failureThreshold": 60,
        },
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            *(
                {"name": f"volume-{index}", "mountPath": path, "readOnly": not is_restore}
                for index, path in enumerate(mounts.values())
            ),
            {"name": _TEMPORARY, "mountPath": _SCRATCH},
        ],
    }  # fmt: skip


def _on(node: str) -> dict[str, object]:
    """Return the affinity to one Node; naming it would go past the scheduler."""
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def attached_at(pods: Sequence[Any], claims: Sequence[str]) -> Attached | None:
    """Return where a Pod among *pods* has one of *claims*; `None`: none has, or none has a Node."""
    for each in pods:
        spec = each["spec"]
        mounted = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in spec.get("volumes") or ()
            if "persistentVolumeClaim" in volume
        }
        is_over = (each.get("status") or {}).get("phase") in {"Succeeded", "Failed"}
        if mounted & set(claims) and spec.get("nodeName") and not is_over:
            return Attached(node=spec["nodeName"], tolerations=tuple(spec.get("tolerations") or ()))
    return None
