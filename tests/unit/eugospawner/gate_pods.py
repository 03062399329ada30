"""
Pods as the real spawner makes them, for the manifest gate: one of every kind of grant.

Options go through `options.parse`, admission and `EugoSpawner.load_user_options`; the Pod comes
out of `get_pod_manifest`, serialised as for the API. Only the outside is missing: no hub, no
store, no cluster. The world is that of `tests.factories`.
"""

from __future__ import annotations

import asyncio
import copy
from dataclasses import dataclass, replace
from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from unittest import mock

from kubernetes_asyncio import client
from traitlets.config import Config

from eugospawner.judge import Circumstances
from eugospawner.manifests import configured
from eugospawner.policy.capacity import UNKNOWN_CLUSTER
from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import NOTHING_USED
from eugospawner.spawner import EugoSpawner
from tests.factories import (
    NOW,
    a_catalog,
    a_plan,
    a_profile,
    a_project,
    some_accounts,
    some_volumes,
)
from tests.factories.accounts import PROFILES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.manifests.configured import Configured
    from eugospawner.policy.decisions import Grant

Json = Any

#: What an admin's configuration may add to every Pod.
ADMIN: Mapping[str, Any] = {
    "volumes": [
        {"name": "datasets", "persistentVolumeClaim": {"claimName": "datasets", "readOnly": True}},
        {"name": "settings", "configMap": {"name": "settings-{username}"}},
        {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "1Gi"}},
        {"name": "about", "projected": {"sources": [{"downwardAPI": {"items": []}}]}},
        {"name": "pod", "downward_api": {"items": []}},
    ],
    "volume_mounts": [
        {"name": "datasets", "mountPath": "/datasets", "readOnly": True},
        {"name": "settings", "mount_path": "/etc/jupyter/site.json", "sub_path": "site.json"},
        {"name": "shm", "mountPath": "/dev/shm"},  # noqa: S108 - a container's own
    ],
    "extra_containers": [
        {
            "name": "helper",
            "image": "registry.example/helper:1",
            "volumeMounts": [{"name": "about", "mountPath": "/about"}],
            "resources": {"limits": {"cpu": "100m", "memory": "64Mi"}},
            "livenessProbe": {"httpGet": {"path": "/", "port": 9000}},
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "runAsUser": 65534,
            },
        }
    ],
    "init_containers": [
        {
            "name": "prepare",
            "image": "registry.example/helper:1",
            "command": ["prepare", "{username}"],
            "securityContext": {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
            },
        }
    ],
    "tolerations": [
        {"key": "pool", "operator": "Equal", "value": "people", "effect": "NoSchedule"}
    ],
    "node_selector": {"pool": "people"},
    "node_affinity_required": [
        {"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a"]}]}
    ],
    "pod_anti_affinity_preferred": [
        {
            "weight": 1,
            "podAffinityTerm": {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}},
        }
    ],
    "environment": {
        "PLAIN": "text for {username}",
        "LICENCE": {"valueFrom": {"secretKeyRef": {"name": "licence", "key": "key"}}},
    },
    "extra_annotations": {"example.org/team": "people"},
    "extra_labels": {"team": "people"},
    "image_pull_secrets": ["registry"],
    "fs_gid": 1000,
    "supplemental_gids": [2000],
    "extra_resource_limits": {"ephemeral-storage": "10Gi"},
    "lifecycle_hooks": {"preStop": {"exec": {"command": ["true"]}}},
    "image_pull_policy": "Always",
}

#: Kind of grant → options that end in it.
OPTIONS: Mapping[str, Mapping[str, Any]] = {
    "cpu": {},
    "share": {"profile": "gpu", "gpu_model": "H100", "gpu_count": 2, "sm_percent": 25},
    "exclusive": {"profile": "gpu", "flavor": "gpu-a100"},
    "root": {"project": "lab", "root_shell": True},
    "startup": {"profile": "scripted", "gpu_model": "L4", "gpu_count": 1},
    "volumes": {
        "volumes": [
            {"claim": "data", "mount_path": "/data"},
            {"claim": "fresh", "mount_path": "/mnt/fresh"},
        ]
    },
    "admin": {},
    "admin-root": {"project": "lab", "root_shell": True, "profile": "scripted"},
}


@dataclass(frozen=True, slots=True)
class Good:
    """A Pod that must pass, what was granted for it and what the configuration declares."""

    manifest: Json
    grant: Grant
    configured: Configured

    def copy(self) -> Json:
        """Return the Pod for a test to spoil."""
        return copy.deepcopy(self.manifest)


def circumstances() -> Circumstances:
    """The unit tests' world, with a profile that has a startup script."""
    catalog = a_catalog()
    scripted = a_profile(
        "scripted",
        flavors=("cpu-2", "gpu-h100"),
        startup_script="echo hello",
        environment={"WHERE": "{here}"},
    )
    plan = a_plan(profiles=PROFILES | {"scripted"})
    return Circumstances(
        revision=0,
        catalog=replace(catalog, profiles={**catalog.profiles, "scripted": scripted}),
        accounts=some_accounts(
            a_project("lab", plan=plan, allows_root=True), personal=a_project(plan=plan)
        ),
        usage=NOTHING_USED,
        volumes=some_volumes("data", "old"),
        cluster=UNKNOWN_CLUSTER,
        now=NOW,
    )


async def no_store() -> Any:
    """A store that does not answer: nothing here depends on it."""
    message = "there is no store here"
    raise StoreError(message)


class OfflineSpawner(EugoSpawner):
    """The real spawner with its desk replaced."""

    offline_desk: Any = SimpleNamespace(catalog=circumstances().catalog, store=no_store)

    @property
    def desk(self) -> Any:
        return self.offline_desk

    async def circumstances(self, **_wanted: bool) -> Circumstances:
        return circumstances()


def a_spawner(
    options: Mapping[str, Any],
    traits: Mapping[str, Any] | None = None,
    *,
    name: str = "",
    api: Any = None,
) -> OfflineSpawner:
    """Return a spawner of Alice that is about to start; needs a running loop."""
    config = Config()
    config.EugoSpawner.namespace = "eugo"
    config.EugoSpawner.now = lambda: NOW
    config.EugoSpawner.pvc_name_template = "home-{username}"
    config.EugoSpawner.storage_pvc_ensure = True
    config.EugoSpawner.service_account = "workspace"
    config.EugoSpawner.automount_service_account_token = False
    config.EugoSpawner.cmd = ["jupyterhub-singleuser"]
    config.EugoSpawner.update(traits or {})
    user = SimpleNamespace(name="alice", id=1, url="/user/alice/")
    with (
        mock.patch("kubespawner.spawner.load_config"),
        mock.patch("kubespawner.spawner.shared_client", return_value=api),
    ):
        row = SimpleNamespace(name=name, server=None, user_options=None)
        spawner = OfflineSpawner(_mock=True, user=user, orm_spawner=row, config=config)
    spawner.user_options = dict(options)
    return spawner


async def make(
    options: Mapping[str, Any], traits: Mapping[str, Any] | None = None, *, name: str = ""
) -> Good:
    """Return the Pod for *options* under a configuration with these *traits*."""
    spawner = a_spawner(options, traits, name=name)
    await spawner.load_user_options()
    admitted = spawner._admitted
    assert admitted is not None
    manifest = to_json(await spawner.get_pod_manifest())
    return Good(manifest, admitted.grant, configured.of(spawner))


def to_json(pod: Any) -> Json:
    """Return a Pod of the client's models as the spawner sends it."""
    serializer = client.ApiClient.__new__(client.ApiClient)
    return serializer.sanitize_for_serialization(pod)


@cache
def good_pods() -> Mapping[str, Good]:
    """Return a Pod of every kind, made once."""

    async def all_of_them() -> dict[str, Good]:
        return {
            kind: await make(options, ADMIN if kind.startswith("admin") else None)
            for kind, options in OPTIONS.items()
        }

    return asyncio.run(all_of_them())
