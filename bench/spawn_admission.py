"""
B1: what a start costs over KubeSpawner's, with a GPU share and without.

    .venv/bin/python bench/spawn_admission.py [--repeats 5] [--crowds 1,64,500]

Brings a cluster of its own with Nodes without machines: the real scheduler binds every Pod, and it
is ready at once. Four starts are compared, each crowd in a process of its own, so that CPU is that
of the spawner (reflectors included) and of nothing else; within a repeat they alternate. The
peer's *share* has the very claim template of ours, made beforehand, so that the cluster has the
same work. Homes are claimed and not mounted: binding volumes is the cluster's affair.

Wall: one `start()`, from its call until its return. CPU: of the process per start. A crowd of 1 is
20 starts one after the other.

Goals: p50 ≤ 1.15, p99 ≤ 1.25, CPU ≤ 1.5 times KubeSpawner's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402
from kubernetes_asyncio import client, config  # noqa: E402
from kubespawner import KubeSpawner  # noqa: E402
from spawners import changing, percentile, spawner_of  # noqa: E402
from spawners import config as configured  # noqa: E402

from eugospawner import settings, store  # noqa: E402
from eugospawner.manifests import claims, names  # noqa: E402
from eugospawner.policy.decisions import Gpus  # noqa: E402
from eugospawner.spawner import EugoSpawner  # noqa: E402
from tests.integration.devcluster.clusters import running  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

CATALOG = ROOT / "helm-values" / "catalog.yaml"
ALONE = 20
LABEL = {"bench": "true"}
PERCENT = 2
GOALS: Final = {"p50": 1.15, "p99": 1.25, "CPU": 1.5}
KINDS: Final = ("eugo-share", "kube-share", "eugo-cpu", "kube-cpu")
INVENTORY = {
    "node": {"name": "devnode"},
    "gpus": [],
    "images": {},
    "storage": [{"name": "bench", "default": True, "binding": "WaitForFirstConsumer"}],
    "nodes": [
        {
            "prefix": "bench-",
            "count": 6,
            "cpu": 1024,
            "memory": "8192Gi",
            "labels": LABEL,
            "gpus": [
                {"model": "L4", "product": "NVIDIA L4", "memory": "24Gi", "count": 8},
            ],
        }
    ],
}


def loosened(pod: dict[str, Any]) -> None:
    """Take from a Pod what only the product's own namespace has."""
    spec = pod["spec"]
    spec.pop("priorityClassName", None)
    spec["nodeSelector"] = LABEL
    for volume in spec.get("volumes") or ():
        if volume.pop("persistentVolumeClaim", None) is not None:
            volume["emptyDir"] = {}


def share() -> dict[str, Any]:
    """Return the claim template of the share that both ask for."""
    model = settings.load(CATALOG).catalog.gpu_models["L4"]
    return claims.make_claim_template(Gpus(model=model, count=1, sm_percent=PERCENT))


def loosened_peers(kind: str) -> Callable[[Any], None]:
    """Return the same for KubeSpawner's model of a Pod; a share gets its claim here."""
    template = names.of(share())

    def change(pod: Any) -> None:
        pod.spec.node_selector = LABEL
        for volume in pod.spec.volumes or ():
            if volume.persistent_volume_claim is not None:
                volume.persistent_volume_claim = None
                volume.empty_dir = client.V1EmptyDirVolumeSource()
        if kind == "kube-share":
            pod.spec.resource_claims = [
                client.V1PodResourceClaim(name="gpu", resource_claim_template_name=template)
            ]
            pod.spec.containers[0].resources.claims = [client.CoreV1ResourceClaim(name="gpu")]

    return change


async def start_all(kind: str, crowd: int, namespace: str, folder: Path) -> dict[str, Any]:
    """Start a crowd of *kind*; return the seconds of each start and the CPU of all."""
    await config.load_kube_config()
    made = configured(namespace, store=folder / "store.sqlite", catalog=CATALOG)
    store.upgrade(made.EugoSpawner.store_url)
    changing(made, ours=loosened, peers=loosened_peers(kind))
    if kind == "kube-share":
        async with client.ApiClient() as api:
            await client.ResourceV1Api(api).create_namespaced_resource_claim_template(
                namespace, share()
            )
    words = {
        "eugo-share": {"profile": "nb-gpu-l4", "sm_percent": PERCENT},
        "eugo-cpu": {"profile": "nb-cpu-2"},
    }

    async def start(number: int) -> float:
        spawner = spawner_of(
            EugoSpawner if kind.startswith("eugo") else KubeSpawner, f"{kind}-{number}", made
        )
        spawner.user_options = words.get(kind, {})
        began = time.monotonic()
        await spawner.start()
        return time.monotonic() - began

    await start(0)  # opens reflectors, store and template
    cpu = time.process_time()
    if crowd == 1:
        walls = [await start(number) for number in range(1, ALONE + 1)]
    else:
        walls = await asyncio.gather(*(start(number) for number in range(1, crowd + 1)))
    cpu = time.process_time() - cpu
    return {"walls": list(walls), "cpu": cpu / len(walls)}


def run_crowd(kind: str, crowd: int, namespace: str) -> dict[str, Any]:
    """Return what `start_all` measures in a process of its own."""
    command = [sys.executable, __file__, "--worker", kind, str(crowd), namespace]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


async def one_crowd(core: client.CoreV1Api, kind: str, crowd: int) -> dict[str, Any]:
    """Measure one crowd in a namespace of its own, and clear it away."""
    namespace = f"bench-{uuid4().hex[:8]}"
    await core.create_namespace({"metadata": {"name": namespace}})
    while not (await core.list_namespaced_service_account(namespace)).items:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    try:
        return await asyncio.to_thread(run_crowd, kind, crowd, namespace)
    finally:
        await core.delete_namespace(namespace)
        while namespace in {  # noqa: ASYNC110
            each.metadata.name for each in (await core.list_namespace()).items
        }:
            await asyncio.sleep(0.5)


async def measure(
    kubeconfig: Path, crowds: list[int], repeats: int
) -> dict[tuple[str, int], list[dict[str, Any]]]:
    """Return the crowds' figures by kind and size."""
    await config.load_kube_config(str(kubeconfig))
    found: defaultdict[tuple[str, int], list[dict[str, Any]]] = defaultdict(list)
    async with client.ApiClient() as api:
        core = client.CoreV1Api(api)
        for crowd in crowds:
            for repeat in range(repeats):
                order = KINDS if repeat % 2 == 0 else KINDS[::-1]
                for kind in order:
                    found[kind, crowd].append(await one_crowd(core, kind, crowd))
                    print(f"crowd {crowd}, {kind}: done", file=sys.stderr)
    return found


def summary(batches: list[dict[str, Any]]) -> dict[str, tuple[float, float, float]]:
    """Return median, least and most over the repeats for each figure, in milliseconds."""
    figures = {
        "p50": [percentile(each["walls"], 0.5) for each in batches],
        "p99": [percentile(each["walls"], 0.99) for each in batches],
        "CPU": [each["cpu"] for each in batches],
    }
    return {
        name: (median(each) * 1e3, min(each) * 1e3, max(each) * 1e3)
        for name, each in figures.items()
    }


def report(found: dict[tuple[str, int], list[dict[str, Any]]], crowds: list[int]) -> None:
    """Print the table of figures and ratios."""
    print(f"{os.cpu_count()} cores, {len(next(iter(found.values())))} repeats, milliseconds: ")
    print("median (least to most) of the repeats\n")
    print("| start | at once | figure | ours | KubeSpawner | ratio | goal |")
    print("|---|---|---|---|---|---|---|")
    for what in ("share", "cpu"):
        for crowd in crowds:
            ours, peer = (summary(found[f"{who}-{what}", crowd]) for who in ("eugo", "kube"))
            for name, goal in GOALS.items():
                shown = [f"{m:.1f} ({least:.1f} to {most:.1f})" for m, least, most in
                         (ours[name], peer[name])]  # fmt: skip
                ratio = ours[name][0] / peer[name][0]
                print(f"| {what} | {crowd} | {name} | {' | '.join(shown)} | {ratio:.2f} | {goal} |")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--crowds", default="1,64,500")
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, crowd, namespace = options.worker
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(asyncio.run(start_all(kind, int(crowd), namespace, Path(folder)))))
        return
    crowds = [int(each) for each in options.crowds.split(",")]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inventory = folder / "inventory.yaml"
        inventory.write_text(yaml.safe_dump(INVENTORY), "utf-8")
        with running(folder, inventory=inventory) as cluster:
            os.environ["KUBECONFIG"] = str(cluster.kubeconfig)  # the workers'
            report(asyncio.run(measure(cluster.kubeconfig, crowds, options.repeats)), crowds)


if __name__ == "__main__":
    main()
