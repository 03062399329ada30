"""
B2: how long after a Pod became ready a spawner's start returns.

    [KUBECONFIG=FILE] .venv/bin/python bench/ready_lag.py [--repeats 5]

Without `KUBECONFIG` a cluster is started for it. The bench itself patches each Pod's status to
ready, 2, 5, 10 or 30 s after its start began; lag is the time from the moment before that patch
until `start()` returned, so it includes the patch. Ours and KubeSpawner's take turns within each
repeat, in one process against the same API server. Starts of a turn are apart by a fifth of a
second, so that each lag is one Pod's; the last row patches a crowd at the same moment instead, and
is there to be seen: most of it is the API server working off the patches.

Goal: p99 of ours ≤ 50 ms, and KubeSpawner's at least fifty times as long.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kubernetes_asyncio import client, config  # noqa: E402
from kubespawner import KubeSpawner  # noqa: E402
from spawners import config as configured  # noqa: E402
from spawners import percentile, put_on, spawner_of  # noqa: E402

from eugospawner import store  # noqa: E402
from eugospawner.spawner import EugoSpawner  # noqa: E402
from tests.integration.devcluster.clusters import running  # noqa: E402

MOMENTS = (2, 5, 10, 30)
COPIES = 5
APART_SECONDS = 0.2
CROWD, CROWD_MOMENT = 20, 5
NODE = "bench-node"
GOAL_MS, GOAL_RATIO = 50, 50
READY = {
    "status": {
        "phase": "Running",
        "podIP": "127.0.0.9",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [
            {
                "name": "notebook",
                "ready": True,
                "restartCount": 0,
                "image": "x",
                "imageID": "x",
                "state": {"running": {}},
            }
        ],
    }
}


async def lag_of(api: client.CoreV1Api, spawner: Any, *, delay: float, moment: float) -> float:
    """Return the lag in seconds of one start that begins after *delay*."""
    await asyncio.sleep(delay)
    starting = asyncio.ensure_future(spawner.start())
    await asyncio.sleep(moment)
    patched = time.monotonic()
    await api.patch_namespaced_pod_status(spawner.pod_name, spawner.namespace, READY)
    await starting
    lag = time.monotonic() - patched
    await api.delete_namespaced_pod(spawner.pod_name, spawner.namespace, grace_period_seconds=0)
    return lag


async def turn(api: client.CoreV1Api, kind: type[KubeSpawner], made: Any) -> dict[str, list[float]]:
    """Return the lags of one turn of *kind* by what was asked of it."""
    run = uuid4().hex[:6]
    plan = [
        (f"{moment} s", (number * APART_SECONDS, moment))
        for number, moment in enumerate(MOMENTS * COPIES)
    ]
    crowd = [(f"{CROWD} at once", (0.0, CROWD_MOMENT))] * CROWD
    found: defaultdict[str, list[float]] = defaultdict(list)
    for batch in (plan, crowd):
        lags = await asyncio.gather(
            *(
                lag_of(
                    api,
                    spawner_of(kind, f"{run}-{len(batch)}-{number}", made),
                    delay=delay,
                    moment=moment,
                )
                for number, (_, (delay, moment)) in enumerate(batch)
            )
        )
        for (name, _), lag in zip(batch, lags, strict=True):
            found[name].append(lag)
        run += "x"
    return found


async def measure(repeats: int) -> dict[str, dict[str, list[float]]]:
    """Return the lags by spawner and by what was asked of it."""
    await config.load_kube_config()
    namespace = f"bench-{uuid4().hex[:8]}"
    found: dict[str, defaultdict[str, list[float]]] = {
        kind.__name__: defaultdict(list) for kind in (EugoSpawner, KubeSpawner)
    }
    async with client.ApiClient() as api_client:
        api = client.CoreV1Api(api_client)
        await api.create_namespace({"metadata": {"name": namespace}})
        # Pods on a Node that does not exist are collected within a minute.
        await api.create_node({"metadata": {"name": NODE}})
        try:
            with tempfile.TemporaryDirectory() as folder:
                made = configured(
                    namespace,
                    store=Path(folder) / "store.sqlite",
                    catalog=ROOT / "helm-values" / "catalog.yaml",
                )
                put_on(made, NODE)
                store.upgrade(made.EugoSpawner.store_url)
                await asyncio.sleep(2)  # the namespace's ServiceAccount
                for repeat in range(repeats):
                    order = (EugoSpawner, KubeSpawner) if repeat % 2 else (KubeSpawner, EugoSpawner)
                    for kind in order:
                        for name, lags in (await turn(api, kind, made)).items():
                            found[kind.__name__][name] += lags
                        print(f"repeat {repeat + 1}, {kind.__name__}: done", file=sys.stderr)
        finally:
            await api.delete_node(NODE)
            await api.delete_namespace(namespace)
    return {kind: dict(lags) for kind, lags in found.items()}


def report(found: dict[str, dict[str, list[float]]], repeats: int) -> None:
    """Print the table, and the goal's two figures."""
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {repeats} repeats\n")
    print(
        "| spawner | ready after | starts | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|---|"
    )
    for kind, moments in found.items():
        for name, lags in moments.items():
            print(
                f"| {kind} | {name} | {len(lags)} | {percentile(lags, 0.5) * 1e3:.0f} "
                f"| {percentile(lags, 0.99) * 1e3:.0f} | {max(lags) * 1e3:.0f} |"
            )
    ours, peer = (
        percentile([lag for moment in MOMENTS for lag in found[kind][f"{moment} s"]], 0.99)
        for kind in ("EugoSpawner", "KubeSpawner")
    )
    print(f"\np99 of ours, crowd left out: {ours * 1e3:.0f} ms (goal {GOAL_MS})")
    print(f"p99 of KubeSpawner / p99 of ours: {peer / ours:.0f} (goal {GOAL_RATIO})")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    if os.environ.get("KUBECONFIG"):
        report(asyncio.run(measure(options.repeats)), options.repeats)
        return
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as cluster:
        # The client library reads the variable once, when it is imported.
        environment = os.environ | {"KUBECONFIG": str(cluster.kubeconfig)}
        command = [sys.executable, __file__, f"--repeats={options.repeats}"]
        subprocess.run(command, env=environment, check=True)


if __name__ == "__main__":
    main()
