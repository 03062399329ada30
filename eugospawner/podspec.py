"""
Pod spec: a grant in KubeSpawner's terms.

KubeSpawner writes the Pod from its traits; `make_traits` says which. What it has no trait for,
or gets wrong (an override of ``resources`` replaces the CPU and memory limits, its issue #637;
templates are expanded in whatever a trait holds), `complete` adds to the finished Pod. Both only
carry over what `eugospawner.manifests` made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kubernetes_asyncio import client
from kubespawner.utils import get_k8s_model

from eugospawner.manifests import claims, editors, reporter
from eugospawner.manifests import pod as pods
from eugospawner.policy import units

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eugospawner.policy.catalog import Storage
    from eugospawner.policy.decisions import Grant


def make_traits(
    grant: Grant,
    home: Storage,
    *,
    guarantee_percent: int,
    fs_group: int | None,
    declared_command: Sequence[str] | None,
) -> dict[str, object]:
    """
    Return KubeSpawner's traits for *grant*, by name.

    Args:
        declared_command: What the configuration has JupyterLab run; `None`: the image's own command.
    """
    command = editors.make_command(grant, home.home_path)
    as_root = {"cmd": editors.make_root_command(declared_command)} if grant.root_shell else {}
    return {
        "image": grant.image.reference,
        # A command that the configuration gives is for JupyterLab.
        **(as_root if command is None else {"cmd": command, "default_url": ""}),
        "cpu_limit": grant.cpu_millicores / 1000,
        "cpu_guarantee": grant.cpu_millicores * guarantee_percent / 100_000,
        "mem_limit": grant.memory_bytes,
        "mem_guarantee": grant.memory_bytes * guarantee_percent // 100,
        "priority_class_name": grant.queue.priority_class,
        "working_dir": home.home_path,
        "storage_capacity": units.format_memory(home.home_bytes),
        "storage_access_modes": list(home.access_modes),
        "container_security_context": pods.make_container_security(),
        "pod_security_context": pods.make_pod_security(
            root_shell=grant.root_shell, fs_group=fs_group
        ),
        "extra_pod_config": pods.make_pod_fields(grant),
    }


def complete(
    pod: Any, grant: Grant, *, labels: Mapping[str, str], home_claim: str, home_path: str
) -> None:
    """
    Add what *grant* means beyond the traits to a finished Pod.

    Labels are among it: KubeSpawner would look for templates in each of them.
    """
    pod.metadata.labels = {**(pod.metadata.labels or {}), **labels}
    spec, notebook = pod.spec, pod.spec.containers[0]
    spec.volumes = _extended(spec.volumes, client.V1Volume, pods.make_volumes(grant, home_claim))
    notebook.volume_mounts = _extended(
        notebook.volume_mounts, client.V1VolumeMount, pods.make_volume_mounts(grant, home_path)
    )
    environment = pods.make_environment(grant, home_path)
    notebook.env = [
        *(each for each in notebook.env or () if each.name not in environment),
        *(client.V1EnvVar(name=name, value=value) for name, value in environment.items()),
    ]
    notebook.readiness_probe = get_k8s_model(client.V1Probe, pods.make_readiness_probe())
    if notebook.lifecycle is None:  # a hook of the configuration comes first
        notebook.lifecycle = get_k8s_model(client.V1Lifecycle, reporter.make_lifecycle())
    startup = pods.make_startup_container(grant, home_path)
    if startup is not None:
        spec.init_containers = _extended(spec.init_containers, client.V1Container, [startup])
    if grant.gpus is not None:
        notebook.resources.claims = [client.CoreV1ResourceClaim(name=claims.NAME)]
        spec.resource_claims = [
            client.V1PodResourceClaim(
                name=claims.NAME, resource_claim_template_name=claims.template_name(grant.gpus)
            )
        ]


def _extended(present: list[Any] | None, model: Any, added: list[dict[str, object]]) -> list[Any]:
    return [*(present or ()), *(get_k8s_model(model, each) for each in added)]
