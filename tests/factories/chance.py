"""
Requests and clusters by chance, for properties and for the second opinion on admission.

Most words are absent or fine, some are near a bound, few are hostile: so about a third of the
requests are admitted, and refusals come alone as well as together. The names are those of
`tests.factories.catalog`. One `random.Random` decides everything, so a seed tells the whole story.
"""

from collections.abc import Sequence
from random import Random
from typing import TypeVar

from eugospawner.policy.capacity import UNKNOWN_CLUSTER, ClusterView
from eugospawner.policy.catalog import Kind
from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
from tests.factories.catalog import GIB, a_catalog
from tests.factories.cluster import Gpu, a_cluster

_T = TypeVar("_T")

IMAGES = [image.reference for image in a_catalog().images.values()]
MODELS = [None, "H100", "H100", "L4", "A100", "A100-MIG", "A100-MIG", "T4"]
KEYS = ["data", "more", "old", "a-1", "No", "", "../x", "x" * 41]
PATHS = [
    "/mnt/a",
    "/mnt/ab",
    "/mnt/a/b",
    "/etcetera",
    "/etc/x",
    "/home",
    "relative",
    "/a/../b",
    "/a/",
]


def chance(seed: int) -> Random:
    """Return the chance of this *seed*."""
    return Random(seed)  # noqa: S311 - nothing is secret


def _chosen(random: Random, often: Sequence[_T], seldom: Sequence[_T]) -> _T:
    return random.choice(seldom if random.random() < 0.08 else often)


def a_random_request(random: Random) -> WorkspaceRequest:
    """A request of Alice with any words of the right type."""
    profile = _chosen(random, [None, "notebook", "code", "gpu"], ["nope", "", "Notebook"])
    kinds = [None, Kind.VSCODE, Kind.JUPYTERLAB] if profile == "code" else [None, Kind.JUPYTERLAB]
    images = [None, *IMAGES] if profile == "code" else [None, None, IMAGES[0]]
    flavors = [None, "gpu-h100", "gpu-a100"] if profile == "gpu" else [None, "cpu-2", "cpu-8"]
    return WorkspaceRequest(
        owner="alice",
        project=_chosen(random, [None, None, "lab", "vision"], ["theirs", ""]),
        profile=profile,
        flavor=_chosen(random, flavors, ["gpu-h100", "nope"]),
        kind=_chosen(random, kinds, list(Kind)),
        image=_chosen(random, images, [IMAGES[0] + "@evil", "", "\0"]),
        queue=_chosen(random, [None, "default", "batch"], ["high"]),
        gpu_count=_chosen(random, [None, 0, 1, 1, 2, 3], [4, 5, -1, 10**6]),
        gpu_model=_chosen(random, MODELS, ["H200", "h100", ""]),
        sm_percent=_chosen(random, [None, 100, 100, 25, 50, 1, 15, 43], [0, 101, -5, 10**6]),
        cpu_millicores=_chosen(random, [None, None, 100, 16_000], [99, 16_001, 0]),
        memory_bytes=_chosen(random, [None, None, GIB // 2, 128 * GIB], [1, 129 * GIB, 0]),
        volumes=tuple(
            VolumeRequest(
                claim=_chosen(random, KEYS[:4], KEYS), mount_path=_chosen(random, PATHS[:4], PATHS)
            )
            for _ in range(_chosen(random, [0, 0, 0, 1, 2], [3, 4, 12]))
        ),
        root_shell=random.random() < 0.1,
    )


def a_random_cluster(random: Random) -> ClusterView:
    """Up to three nodes with up to four devices of each model, more or less taken; or unknown."""
    if random.random() < 0.2:
        return UNKNOWN_CLUSTER
    return a_cluster(
        **{
            model: {
                f"n{node}": [make(random) for _ in range(random.randint(0, most))]
                for node in range(random.randint(1, 3))
            }
            for model, make, most in (
                ("H100", _a_device, 4),
                ("L4", _a_device, 4),
                ("A100", _a_device, 4),
                ("A100-MIG", _a_gpu_with_sizes, 2),
                ("T4", _a_device, 4),
            )
            if random.random() < 0.85
        }
    )


def _a_device(random: Random) -> Gpu:
    return random.choice([0, 1, 24, 25, 50, 100])


def _a_gpu_with_sizes(random: Random) -> Gpu:
    """A GPU that is cut to some of the sizes, and to one that the catalog has not."""
    sizes = [percent for percent in (15, 29, 43, 58, 100) if random.random() < 0.6] or [15]
    most = {percent: random.randint(1, 3) for percent in sizes}
    return {percent: (each, random.randint(0, each)) for percent, each in most.items()}
