"""
B8: from the close of a plan's window until the last of its Pods is deleted, against a bare loop.

    .venv/bin/python bench/window_close.py [--repeats 5] [--pods 1000]

A cluster of the bench's own, real but for Nodes without machines, runs so many Pods of sessions of one plan, whose window
closes in a moment, and a tenth as many in the default queue beside them. Ours is the reaper's `Closer`, which
sleeps until the close as the service does, reads the store, writes why each session ends, and has the Pod deleted by its uid; then
it tells the hub, which here answers at once. The peer knows names and uids beforehand, writes nothing, and does
nothing but delete, as many at once as ours.

*Accepted*: from the close until the API server has answered the last deletion. *Gone*: until none of the Pods is there
any more. Before the figures count: no deletion before the close, every session has ended with the plan window as its reason,
and the Pods of the default queue run on. Goals: accepted ≤ 1.2 times the bare loop's, and ≤ 5 s.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import re
import sys
import tempfile
from collections import defaultdict
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402
from kubernetes_asyncio import client, config  # noqa: E402
from sessions import fill, owner_of  # noqa: E402

from eugospawner import cluster as api  # noqa: E402
from eugospawner.manifests import labels  # noqa: E402
from eugospawner.policy.lifecycle import Ending  # noqa: E402
from eugospawner.store import open_store, upgrade  # noqa: E402
from hub_services.common.clock import SystemClock  # noqa: E402
from hub_services.reaper.closing import Closer  # noqa: E402
from hub_services.reaper.cluster import Cluster  # noqa: E402
from tests.integration.devcluster.clusters import running  # noqa: E402

if TYPE_CHECKING:
    from hub_services.reaper.observed import Pod

CLOCK: Final = SystemClock()
AT_ONCE: Final = 64
#: Time to settle between filling the namespace and the close.
AHEAD: Final = timedelta(seconds=3)
QUEUE: Final = "night"
GOAL, GOAL_SECONDS = 1.2, 5.0
INVENTORY = {
    "node": {"name": "devnode"},
    "gpus": [],
    "images": {},
    "storage": [{"name": "bench", "default": True, "binding": "WaitForFirstConsumer"}],
    "nodes": [{"prefix": "bench-", "count": 20, "cpu": 1024, "memory": "8192Gi", "pods": 200}],
}


class TimedCluster(Cluster):
    """Ours, which also says when deletions began and the last was answered."""

    first: datetime | None = None
    last: datetime | None = None

    async def delete_pod(self, pod: Pod) -> None:
        """Delete it."""
        self.first = self.first or CLOCK.now()
        await super().delete_pod(pod)
        self.last = CLOCK.now()


class Hub:
    """One that answers at once."""

    async def stop(self, *_: object, **__: object) -> None:
        """Do nothing."""


def make_pod(number: int, queue: str) -> dict[str, Any]:
    """Return a workspace's Pod as it is sent, without what a bare namespace does not have."""
    text = Path(__file__).with_name("pod.json").read_text("utf-8")
    known = {
        "user": owner_of(number), "session": f"s{number}", "model": "L4", "percent": "25",
        "profile": "nb-gpu-l4", "image": "base-notebook", "node": f"bench-{number % 20}",
    }  # fmt: skip
    pod: dict[str, Any] = json.loads(re.sub("<([a-z]+)>", lambda m: known.get(m[1], "0"), text))
    for key in ("creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"):
        pod["metadata"].pop(key, None)
    pod["metadata"]["labels"][labels.QUEUE] = queue
    pod.pop("status")
    spec = pod["spec"]
    for key in ("preemptionPolicy", "priority", "priorityClassName", "resourceClaims", "volumes"):
        spec.pop(key)
    spec["serviceAccountName"] = spec["serviceAccount"] = "default"
    container = spec["containers"][0]
    container.pop("volumeMounts")
    container["resources"] = {"requests": {"cpu": "4", "memory": "16Gi"}}
    return pod


async def prepare(core: client.CoreV1Api, pods: int) -> str:
    """Return a namespace in which they all run."""
    namespace = f"bench-{uuid4().hex[:8]}"
    await core.create_namespace({"metadata": {"name": namespace}})
    while not (await core.list_namespaced_service_account(namespace)).items:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    turn = asyncio.Semaphore(AT_ONCE)

    async def create(number: int) -> None:
        queue = QUEUE if number < pods else "default"
        async with turn:
            body = make_pod(number, queue) | {}
            body["metadata"]["namespace"] = namespace
            await core.create_namespaced_pod(namespace, body)

    await asyncio.gather(*(create(number) for number in range(pods + pods // 10)))
    while True:
        listed = await core.list_namespaced_pod(namespace, field_selector="status.phase!=Running")
        if not listed.items:
            return namespace
        await asyncio.sleep(0.5)


async def ours(
    made: client.ApiClient, namespace: str, pods: int, folder: Path
) -> tuple[datetime, datetime]:
    """Return when the last deletion was accepted, and the close."""
    url = f"sqlite:///{folder / namespace}.sqlite"
    await asyncio.to_thread(upgrade, url)
    close = CLOCK.now() + AHEAD
    window = {"queue": QUEUE, "ends_at": close, "ends_because": str(Ending.WINDOW)}
    await fill(
        url, CLOCK.now() - timedelta(hours=1),
        [window] * pods + [window | {"queue": "default", "ends_at": close + AHEAD * 600}] * (pods // 10),
    )  # fmt: skip
    store = await open_store(url)
    cluster, waits = TimedCluster(made, namespace), []

    async def opened() -> Any:
        return store

    closer = Closer(cluster=cluster, hub=Hub(), open_store=opened, clock=CLOCK, wakeup=waits.append)
    swept = await closer.sweep_once()
    assert swept.closed == 0, swept
    while cluster.last is None:
        await asyncio.sleep(waits[-1].total_seconds())
        swept = await closer.sweep_once()
    assert (swept.closed, swept.failed) == (pods, 0), swept
    assert cluster.first is not None
    assert cluster.first >= close, "a Pod was deleted before the close"
    sessions = await store.sessions.open_sessions()
    reasons = {each.queue: each.stop_reason for each in sessions}
    assert reasons == {QUEUE: Ending.WINDOW, "default": None}, reasons
    await store.close()
    return cluster.last, close


async def bare(
    made: client.ApiClient, namespace: str, pods: int, _folder: Path
) -> tuple[datetime, datetime]:
    """Return the same of a loop of deletions."""
    cluster = TimedCluster(made, namespace)
    known = [each for each in (await cluster.pods()).of_sessions if each.queue == QUEUE]
    assert len(known) == pods
    core, turn = client.CoreV1Api(made), asyncio.Semaphore(AT_ONCE)

    async def delete(pod: Pod) -> None:
        async with turn:
            await api.delete_pod(core, namespace, pod.name, grace_seconds=10, uid=pod.uid)

    await asyncio.sleep(AHEAD.total_seconds())
    close = CLOCK.now()
    await asyncio.gather(*(delete(each) for each in known))
    return CLOCK.now(), close


CONTENDERS: Final = {"ours": ours, "bare loop": bare}


async def measure(kubeconfig: Path, options: argparse.Namespace, folder: Path) -> None:
    """Print the table."""
    await config.load_kube_config(str(kubeconfig))
    found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
    async with client.ApiClient() as made:
        api.send_as_it_stands(made)
        core = client.CoreV1Api(made)
        for repeat in range(-1, options.repeats):
            order = list(CONTENDERS) if repeat % 2 == 0 else list(CONTENDERS)[::-1]
            for name in order:
                namespace = await prepare(core, options.pods)
                last, close = await CONTENDERS[name](made, namespace, options.pods, folder)
                while (  # noqa: ASYNC110 - a watch would be work for the API server, too
                    left := len((await TimedCluster(made, namespace).pods()).uids)
                ) > options.pods // 10:
                    await asyncio.sleep(0.1)
                gone = CLOCK.now()
                assert left == options.pods // 10, "Pods of the default queue have gone"
                if repeat >= 0:  # the first warms the API server
                    found[name, "accepted"].append((last - close).total_seconds())
                    found[name, "gone"].append((gone - close).total_seconds())
                await core.delete_namespace(namespace)
                while namespace in {  # noqa: ASYNC110
                    each.metadata.name for each in (await core.list_namespace()).items
                }:
                    await asyncio.sleep(0.5)
                print(f"repeat {repeat + 1}, {name}: done", file=sys.stderr)
    print("| figure | ours | bare loop | ratio | goal |\n|---|---|---|---|---|")
    for figure, goal in (("accepted", f"{GOAL}; {GOAL_SECONDS:.0f} s"), ("gone", "")):
        ours_, peer = (found[name, figure] for name in CONTENDERS)
        ratio = median(ours_) / median(peer)
        print(f"| {figure} | {spread(ours_)} | {spread(peer)} | {ratio:.2f} | {goal} |")


def spread(values: list[float]) -> str:
    """Return median, least and most."""
    return f"{median(values):.2f} s ({min(values):.2f} to {max(values):.2f})"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pods", type=int, default=1000)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.repeats} repeats of ")
    print(f"{options.pods} Pods\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inventory = folder / "inventory.yaml"
        inventory.write_text(yaml.safe_dump(INVENTORY), "utf-8")
        with running(folder, inventory=inventory) as cluster:
            asyncio.run(measure(cluster.kubeconfig, options, folder))


if __name__ == "__main__":
    main()
