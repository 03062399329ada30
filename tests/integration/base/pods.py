"""
Pods as they reach the API server in these tests: one that is admitted, and what is changed in it.

The base case is what EugoSpawner asks for: a CPU workspace under Pod Security restricted. A test
names only what it changes; `changed()` merges dictionaries and replaces everything else.
"""

from __future__ import annotations

from typing import Any, Final

IMAGE: Final = "registry.example/eugo/base-notebook:2026.11"
OTHER_IMAGE: Final = "registry.example/eugo/torch@sha256:" + "ab" * 32
ALLOWED: Final = (IMAGE, OTHER_IMAGE)

Json = dict[str, Any]

GPU_LABELS: Final = {
    "eugo.dev/gpu-model": "H100",
    "eugo.dev/gpu-count": "1",
    "eugo.dev/sm-percent": "25",
    "eugo.dev/effective-gpus": "0.25",
}


def changed(original: Json, changes: Json) -> Json:
    """Return *original* with *changes* merged in; ``None`` removes a key, lists are replaced."""
    result = dict(original)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = changed(result[key], value)
        else:
            result[key] = value
    return result


def a_container(**changes: Any) -> Json:
    return changed(
        {
            "name": "notebook",
            "image": IMAGE,
            "ports": [{"name": "notebook-port", "containerPort": 8888}],
            "resources": {"limits": {"cpu": "2", "memory": "8Gi"}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        },
        changes,
    )


def a_workspace(name: str = "jupyter-alice", **changes: Any) -> Json:
    """Return a Pod that every policy admits, with *changes* to its top-level fields merged in."""
    return changed(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "labels": {
                    "component": "singleuser-server",
                    "hub.jupyter.org/username": "alice",
                    "hub.jupyter.org/servername": "",
                    "eugo.dev/user": "alice",
                    "eugo.dev/workspace": "",
                    "eugo.dev/project": "alice",
                    "eugo.dev/profile": "notebook-small",
                    "eugo.dev/queue": "default",
                },
            },
            "spec": {
                "serviceAccountName": "workspace",
                "automountServiceAccountToken": False,
                "priorityClassName": "eugo-default",
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 1000,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "containers": [a_container()],
            },
        },
        changes,
    )


def a_root_shell(**spec: Any) -> Json:
    """Return a workspace with exactly the four changes of the root shell (design §9)."""
    return a_workspace(
        spec=changed(
            {
                "hostUsers": False,
                "securityContext": {"runAsUser": 0, "runAsGroup": 0, "runAsNonRoot": False},
            },
            spec,
        )
    )


def a_gpu_workspace(labels: Json | None = None, **spec: Any) -> Json:
    """Return a workspace on a quarter of an H100."""
    return a_workspace(
        metadata={"labels": changed(GPU_LABELS, labels or {})},
        spec=changed(
            {
                "resourceClaims": [{"name": "gpu", "resourceClaimTemplateName": "h100-25"}],
                "containers": [a_container(resources={"claims": [{"name": "gpu"}]})],
            },
            spec,
        ),
    )
