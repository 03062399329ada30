"""
B2: how long after a Pod became ready a spawner's start returns.

    KUBECONFIG=FILE .venv/bin/python bench/ready_lag.py [--repeats 5]

The bench itself patches each Pod's status to ready, t seconds after its start began, t in 2, 5, 10
and 30; lag is the time from the moment before that patch until `start()` returned, so it includes
the patch. Ours and KubeSpawner's run in the same process against the same API server, in one run.
Goal: p99 of ours ≤ 50 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

import kubernetes_asyncio
from kubernetes_asyncio.client import CoreV1Api
from kubespawner import KubeSpawner
from spawners import config, spawner_of

from eugospawner import store
from eugospawner.spawner import EugoSpawner

ROOT = Path(__file__).resolve().parents[1]
MOMENTS = (2, 5, 10, 30)
NODE = "bench-node"
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


async def lag_of(api: CoreV1Api, spawner: Any, moment: float) -> float:
    """Return the lag of one start in seconds."""
    starting = asyncio.ensure_future(spawner.start())
    await asyncio.sleep(moment)
    patched = time.monotonic()
    await api.patch_namespaced_pod_status(spawner.pod_name, spawner.namespace, READY)
    await starting
    lag = time.monotonic() - patched
    await api.delete_namespaced_pod(spawner.pod_name, spawner.namespace, grace_period_seconds=0)
    return lag


async def measure(repeats: int) -> dict[str, dict[int, list[float]]]:
    """Return the lags by spawner and moment."""
    await kubernetes_asyncio.config.load_kube_config()
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    async with kubernetes_asyncio.client.ApiClient() as client:
        api = CoreV1Api(client)
        await api.create_namespace({"metadata": {"name": namespace}})
        # Pods on a Node that does not exist are collected within a minute.
        await api.create_node({"metadata": {"name": NODE}})
        try:
            with tempfile.TemporaryDirectory() as folder:
                made = config(
                    namespace,
                    store=Path(folder) / "store.sqlite",
                    catalog=ROOT / "helm-values" / "catalog.yaml",
                )
                store.upgrade(made.EugoSpawner.store_url)
                await asyncio.sleep(2)  # the namespace's ServiceAccount
                found: dict[str, dict[int, list[float]]] = {}
                for round_ in range(repeats):
                    starts = [
                        (kind, moment, f"{kind.__name__.lower()}-{round_}-{moment}-{copy}")
                        for kind in (EugoSpawner, KubeSpawner)
                        for moment in MOMENTS
                        for copy in range(5)
                    ]
                    lags = await asyncio.gather(
                        *(
                            lag_of(api, spawner_of(kind, name, made, node=NODE), moment)
                            for kind, moment, name in starts
                        )
                    )
                    for (kind, moment, _), lag in zip(starts, lags, strict=True):
                        found.setdefault(kind.__name__, {}).setdefault(moment, []).append(lag)
                return found
        finally:
            await api.delete_node(NODE)
            await api.delete_namespace(namespace)


def percentile(values: list[float], share: float) -> float:
    """Return the value below which *share* of *values* lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    found = asyncio.run(measure(options.repeats))
    print(
        "| spawner | ready after | starts | p50 ms | p99 ms | max ms |\n|---|---|---|---|---|---|"
    )
    for name, moments in found.items():
        for moment, lags in moments.items():
            print(
                f"| {name} | {moment} s | {len(lags)} | {percentile(lags, 0.5) * 1e3:.0f} "
                f"| {percentile(lags, 0.99) * 1e3:.0f} | {max(lags) * 1e3:.0f} |"
            )
    ours, peer = (
        [lag for lags in found[name].values() for lag in lags]
        for name in ("EugoSpawner", "KubeSpawner")
    )
    ratio = percentile(peer, 0.99) / percentile(ours, 0.99)
    print(f"\np99 of KubeSpawner / p99 of ours: {ratio:.0f}")


if __name__ == "__main__":
    main()
