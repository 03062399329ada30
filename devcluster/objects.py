"""
The objects that a fresh cluster lacks before it is of use: what an admin would apply to it.

Permissions of our agents (each the least it needs, so that a mistake in one is seen as a 403 and not
as damage), DeviceClasses for the drivers of the inventory, its StorageClasses. Pure: the result is
applied by `cluster.py` at each start, and whatever an earlier inventory had is removed then by name.

Also what a cloud's controller does in a real cluster: a kubelet refuses to have a loopback address
and waits for its cloud to give it one; here that is us.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import credentials, gpus
from .addresses import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .inventory import Inventory, StorageClass

PROVISIONER_NAME = "devcluster.test/folders"
UNINITIALIZED_TAINT = "node.cloudprovider.kubernetes.io/uninitialized"
MANAGED = {"app.kubernetes.io/managed-by": "devcluster"}

_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_DEVICE_CLASSES = "/apis/resource.k8s.io/v1/deviceclasses"
_STORAGE_CLASSES = "/apis/storage.k8s.io/v1/storageclasses"

_READ = ("get", "list", "watch")
_WRITE = ("create", "update", "patch", "delete")

Rule = tuple[str, tuple[str, ...], tuple[str, ...]]
"""API group, resources, verbs."""

_EVENTS: Rule = ("", ("events",), ("create", "patch", "update"))
_NEW_EVENTS: Rule = ("events.k8s.io", ("events",), ("create", "patch", "update"))

ROLES: Mapping[credentials.Identity, tuple[Rule, ...]] = {
    credentials.GPU_DRIVER: (
        ("resource.k8s.io", ("resourceslices",), (*_READ, *_WRITE)),
        ("resource.k8s.io", ("resourceclaims",), _READ),
        ("", ("nodes",), _READ),
        _EVENTS,
        _NEW_EVENTS,
    ),
    credentials.PROVISIONER: (
        ("", ("persistentvolumes",), (*_READ, *_WRITE)),
        ("", ("persistentvolumes/status",), ("update", "patch")),
        ("", ("persistentvolumeclaims",), (*_READ, "update", "patch")),
        ("", ("persistentvolumeclaims/status",), ("update", "patch")),
        ("", ("nodes", "pods"), _READ),
        ("storage.k8s.io", ("storageclasses", "volumeattributesclasses"), _READ),
        ("coordination.k8s.io", ("leases",), (*_READ, *_WRITE)),
        _EVENTS,
        _NEW_EVENTS,
    ),
    credentials.NODES: (
        ("", ("nodes",), (*_READ, *_WRITE)),
        ("", ("nodes/status",), ("update", "patch")),
        ("", ("pods",), (*_READ, "delete", "patch")),
        ("", ("pods/status",), ("update", "patch")),
        ("coordination.k8s.io", ("leases",), (*_READ, *_WRITE)),
        ("resource.k8s.io", ("resourceslices",), (*_READ, *_WRITE)),
        ("resource.k8s.io", ("resourceclaims",), _READ),
        _EVENTS,
        _NEW_EVENTS,
    ),
}


def wanted(inventory: Inventory) -> dict[str, dict[str, Any]]:
    """Return the objects by their paths at the API server."""
    objects: dict[str, dict[str, Any]] = {}
    for identity, rules in ROLES.items():
        role = f"devcluster:{identity.name}"
        objects[f"{_RBAC}/clusterroles/{role}"] = _role(role, rules)
        objects[f"{_RBAC}/clusterrolebindings/{role}"] = _binding(role, role, identity.user)
    kubelet_api = "devcluster:kube-apiserver-kubelet"
    objects[f"{_RBAC}/clusterrolebindings/{kubelet_api}"] = _binding(
        kubelet_api, "system:kubelet-api-admin", credentials.API_SERVER.user
    )
    for name, expression in device_classes(inventory).items():
        objects[f"{_DEVICE_CLASSES}/{name}"] = {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "DeviceClass",
            "metadata": {"name": name, "labels": MANAGED},
            "spec": {"selectors": [{"cel": {"expression": expression}}]},
        }
    for storage in inventory.storage:
        objects[f"{_STORAGE_CLASSES}/{storage.name}"] = _storage_class(storage)
    return objects


def device_classes(inventory: Inventory) -> dict[str, str]:
    """
    Return DeviceClasses and what they select.

    Ours exist whether or not the Node has such a GPU: a fleet of extra Nodes may.
    """

    def of(driver: str) -> str:
        return f"device.driver == '{driver}'"

    def nvidia(kind: str) -> str:
        name = gpus.NVIDIA_DRIVER
        return f"{of(name)} && device.attributes['{name}'].type == '{kind}'"

    return {
        gpus.SHARING_DRIVER: of(gpus.SHARING_DRIVER),
        gpus.NVIDIA_DRIVER: nvidia("gpu"),
        gpus.MIG_CLASS: nvidia("mig"),
        **{driver.name: of(driver.name) for driver in inventory.drivers},
    }


def managed_lists() -> tuple[str, ...]:
    """Return the lists in which objects of an earlier inventory may be left."""
    return (_DEVICE_CLASSES, _STORAGE_CLASSES)


def node_addresses(node: str) -> dict[str, Any]:
    """Return the status of *node* that a cloud's controller would set."""
    return {
        "status": {
            "addresses": [
                {"type": "InternalIP", "address": LOOPBACK},
                {"type": "Hostname", "address": node},
            ]
        }
    }


def without_taint(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the change to *node* that lets Pods onto it."""
    taints = [
        taint for taint in node["spec"].get("taints", []) if taint["key"] != UNINITIALIZED_TAINT
    ]
    return {"spec": {"taints": taints}}


def _role(name: str, rules: Iterable[Rule]) -> dict[str, Any]:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": name, "labels": MANAGED},
        "rules": [
            {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
            for group, resources, verbs in rules
        ],
    }


def _binding(name: str, role: str, user: str) -> dict[str, Any]:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name, "labels": MANAGED},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


def _storage_class(storage: StorageClass) -> dict[str, Any]:
    default = "true" if storage.default else "false"
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {
            "name": storage.name,
            "labels": MANAGED,
            "annotations": {"storageclass.kubernetes.io/is-default-class": default},
        },
        "provisioner": PROVISIONER_NAME,
        "allowVolumeExpansion": storage.expansion,
        "reclaimPolicy": storage.reclaim,
        "volumeBindingMode": storage.binding,
    }
