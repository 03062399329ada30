"""
Labels of workspace objects: what a Pod, claim or volume belongs to.

They are the platform's memory in the cluster: sweeps, policies and usage reports select by
them. Values fit Kubernetes' label grammar because their sources do (catalog keys, slugs,
integers). On Pods they are immutable to everyone but the hub, which may change the queue
(admission policy in helm-values/base). Source: design §5; F51 to F53, F56.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from eugospawner.manifests import kueue
from eugospawner.policy import units

if TYPE_CHECKING:
    from eugospawner.policy.decisions import Gpus, Grant

PREFIX: Final = "eugo.dev"
USER: Final = f"{PREFIX}/user"
WORKSPACE: Final = f"{PREFIX}/workspace"
SESSION: Final = f"{PREFIX}/session"
PROJECT: Final = f"{PREFIX}/project"
PROFILE: Final = f"{PREFIX}/profile"
QUEUE: Final = f"{PREFIX}/queue"
GPU_MODEL: Final = f"{PREFIX}/gpu-model"
GPU_COUNT: Final = f"{PREFIX}/gpu-count"
SM_PERCENT: Final = f"{PREFIX}/sm-percent"
EFFECTIVE_GPUS: Final = f"{PREFIX}/effective-gpus"
VOLUME: Final = f"{PREFIX}/volume"

#: What a Pod must carry before it can count as having a GPU (promise 5).
GPU_LABELS: Final = (GPU_MODEL, GPU_COUNT, SM_PERCENT, EFFECTIVE_GPUS)


def make_gpu_labels(gpus: Gpus) -> dict[str, str]:
    """Return the labels of everything that holds these GPUs: Pod, template and claim."""
    return {
        GPU_MODEL: gpus.model.key,
        GPU_COUNT: str(gpus.count),
        SM_PERCENT: str(gpus.sm_percent),
        EFFECTIVE_GPUS: units.effective_gpus(gpus.percent),
    }


def make_pod_labels(
    grant: Grant, *, owner_slug: str, workspace_slug: str, session: str
) -> dict[str, str]:
    """
    Return the labels of a workspace's Pod.

    Args:
        owner_slug: The owner's name, made fit for a label without collisions.
        workspace_slug: The server's name, likewise; empty for the default server.
        session: Identifier of this run; ties the Pod to its record in the store.
    """
    return {
        USER: owner_slug,
        WORKSPACE: workspace_slug,
        SESSION: session,
        PROJECT: grant.project.key,
        PROFILE: grant.profile.key,
        QUEUE: grant.queue.key,
        **({kueue.QUEUE_NAME: grant.queue.local_queue} if grant.queue.local_queue else {}),
        **(make_gpu_labels(grant.gpus) if grant.gpus else {}),
    }
