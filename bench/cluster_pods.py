"""
How long the development cluster takes to run a Pod, and fifty at once.

    .venv/bin/python bench/cluster_pods.py [--kubeconfig FILE] [--rounds N]

Without `--kubeconfig` a cluster is started for it. Measured at the API, as any client sees it: from
just before the create call until the Pod's status says Running. Goals (issue 3): one Pod ≤ 0.5 s,
the last of fifty ≤ 5 s, the cluster ready ≤ 8 s.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from kubernetes_asyncio import client, config, watch  # noqa: E402

from tests.integration.devcluster.clusters import running  # noqa: E402
from tests.integration.devcluster.pods import a_pod  # noqa: E402

CROWD = 50
GOALS = {"ready": 8.0, "one Pod": 0.5, f"last of {CROWD}": 5.0}


async def until_running(core: client.CoreV1Api, namespace: str, names: set[str]) -> float:
    """Return the time at which the last of *names* is seen Running."""
    async with watch.Watch() as watching:
        async for event in watching.stream(core.list_namespaced_pod, namespace):
            pod = event["object"]
            if pod.status.phase == "Running":
                names.discard(pod.metadata.name)
            if not names:
                break
    return time.monotonic()


async def run(core: client.CoreV1Api, namespace: str, count: int) -> float:
    """Create *count* Pods at once; return the seconds until all run. Then delete them."""
    names = {f"p-{uuid4().hex[:8]}" for _ in range(count)}
    seen = asyncio.create_task(until_running(core, namespace, set(names)))
    await asyncio.sleep(0.5)  # the watch is open
    began = time.monotonic()
    await asyncio.gather(*(core.create_namespaced_pod(namespace, a_pod(name)) for name in names))
    took = await seen - began
    await core.delete_collection_namespaced_pod(namespace, grace_period_seconds=1)
    while (await core.list_namespaced_pod(namespace)).items:  # noqa: ASYNC110  # a poll is enough
        await asyncio.sleep(0.2)
    return took


async def measure(kubeconfig: Path, rounds: int) -> dict[str, list[float]]:
    """Return the seconds of each round by what was measured."""
    async with await config.new_client_from_config(str(kubeconfig)) as api:
        core = client.CoreV1Api(api)
        namespace = f"bench-{uuid4().hex[:8]}"
        await core.create_namespace({"metadata": {"name": namespace}})
        while True:
            with contextlib.suppress(client.ApiException):
                await core.read_namespaced_service_account("default", namespace)
                break
            await asyncio.sleep(0.05)
        try:
            await run(core, namespace, 1)  # warm
            return {
                "one Pod": [await run(core, namespace, 1) for _ in range(rounds)],
                f"last of {CROWD}": [await run(core, namespace, CROWD) for _ in range(rounds)],
            }
        finally:
            await core.delete_namespace(namespace)


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    figures: dict[str, list[float]] = {}
    if options.kubeconfig:
        figures |= asyncio.run(measure(options.kubeconfig, options.rounds))
    else:
        with tempfile.TemporaryDirectory() as folder:
            for _ in range(2):  # the first makes the data
                began = time.monotonic()
                with running(Path(folder)) as cluster:
                    figures.setdefault("ready", []).append(time.monotonic() - began)
                    if len(figures["ready"]) > 1:
                        figures |= asyncio.run(measure(cluster.kubeconfig, options.rounds))
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.rounds} rounds")
    print(f"{'':14} {'median':>8} {'worst':>8} {'goal':>8} {'median/goal':>12}")
    for what, seconds in figures.items():
        ratio = median(seconds) / GOALS[what]
        print(
            f"{what:14} {median(seconds):7.2f}s {max(seconds):7.2f}s {GOALS[what]:7.2f}s {ratio:12.2f}"
        )


if __name__ == "__main__":
    main()
