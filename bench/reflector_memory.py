"""
B9: what 10,000 workspaces cost a hub in memory, in our reflector and in KubeSpawner's.

    .venv/bin/python bench/reflector_memory.py [--repeats 5] [--pods 10000]

The Pods are copies of `pod.json`, a workspace with a GPU share as kube-apiserver 1.36 returned it
(`kubectl get pod -o json --show-managed-fields`), with names, ids, addresses, times and tokens of
their own, on 200 Nodes, of 6 profiles, 5 shares and 4 images. A server of the bench's own hands
them out as the API server does: *listed*, in one answer or in pages, whichever a reflector asks
for; or *watched*, one by one, as by a hub that was there when they started. The two differ: within
one JSON document the parser holds equal keys once.

Each figure is of a process of its own that holds a client and one reflector: *RSS* is how much it
grew by (since a list of nothing, so that code is loaded), *objects* what Python has allocated since
(by tracemalloc, in further processes), *peak* the most RSS on the way. Ours and KubeSpawner's
alternate. KubeSpawner lists anew every 30 s at the latest and then holds both lists for a moment;
that is not counted.

Goal: RSS and objects of ours ≤ 0.25 times KubeSpawner's.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import random
import re
import sys
import tracemalloc
import uuid
from collections import defaultdict
from itertools import product
from pathlib import Path
from statistics import median
from typing import Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from aiohttp import web  # noqa: E402
from kubernetes_asyncio import client  # noqa: E402
from kubespawner.spawner import PodReflector as KubeReflector  # noqa: E402

from eugospawner.reflector import PodReflector as OurReflector  # noqa: E402

KINDS: Final = {"ours": OurReflector, "KubeSpawner": KubeReflector}
WAYS: Final = ("listed", "watched")
GOALS: Final = {"RSS": "0.25", "objects": "0.25", "peak": ""}
MIB: Final = 2**20


def make_pods(count: int) -> list[bytes]:
    """Return *count* Pods as the API server writes them."""
    template = json.loads(Path(__file__).with_name("pod.json").read_text("utf-8"))
    parts = re.split(r"<([a-z]+)>", json.dumps(template, separators=(",", ":")))
    chance = random.Random(9)  # the same Pods in every run

    def digits(size: int) -> str:
        return f"{chance.getrandbits(4 * size):0{size}x}"

    def one(number: int) -> bytes:
        model, percent = chance.choice(("h100", "l40s", "l4", "a100", "t4", "a10")), digits(1)
        node = chance.randrange(200)
        known = {
            "user": f"user-{digits(8)}",
            "uid": str(uuid.UUID(digits(32))),
            "claim": str(uuid.UUID(digits(32))),
            "session": digits(32),
            "token": digits(32),
            "container": digits(64),
            "suffix": digits(5),
            "profile": f"nb-gpu-{model}",
            "model": model.upper(),
            "percent": chance.choice(("10", "25", "33", "50", "75")),
            "shape": f"{model:0>18}{percent}0",
            "image": f"{chance.choice(('base', 'torch', 'jax', 'geo'))}-notebook",
            "node": f"node-{node:03}",
            "host": f"10.0.{node}.1",
            "ip": f"10.1.{number // 256}.{number % 256}",
            "version": str(100_000 + 17 * number),
            "hour": f"{chance.randrange(24):02}",
            "minute": f"{chance.randrange(60):02}",
        }
        return "".join(known[part] if at % 2 else part for at, part in enumerate(parts)).encode()

    return [one(number) for number in range(count)]


def make_app(pods: list[bytes]) -> web.Application:
    """Return a server of Pods: the namespace `listed` has them, `watched` gets them."""

    async def answer(request: web.Request) -> web.StreamResponse:
        namespace, asked = request.match_info["namespace"], request.query
        if "watch" not in asked:
            held = pods if namespace == "listed" else []
            at, limit = int(asked.get("continue", 0)), int(asked.get("limit", len(pods)))
            more = {"continue": str(at + limit)} if at + limit < len(held) else {}
            head = json.dumps({"kind": "PodList", "metadata": {"resourceVersion": "9"} | more})
            body = head[:-1].encode() + b',"items":[' + b",".join(held[at : at + limit]) + b"]}"
            return web.Response(body=body, content_type="application/json")
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        for pod in pods:
            await stream.write(b'{"type":"ADDED","object":' + pod + b"}\n")
        await asyncio.Event().wait()  # until the client has gone
        return stream

    app = web.Application()
    app.router.add_get("/api/v1/namespaces/{namespace}/pods", answer)
    return app


def resident(field: str) -> int:
    """Return VmRSS or VmHWM (the most so far) of this process in bytes."""
    status = Path("/proc/self/status").read_text("utf-8")
    return 1024 * int(status.split(f"{field}:")[1].split()[0])


async def hold(kind: str, way: str, url: str, count: int, *, traced: bool) -> dict[str, int]:
    """Return what *count* Pods take in this process, in bytes."""
    configuration = client.Configuration()
    configuration.host = url
    client.Configuration.set_default(configuration)
    # KubeSpawner's would list anew in the middle of the watch.
    patient = {"timeout_seconds": 600, "restart_seconds": 600} if kind == "KubeSpawner" else {}
    await KINDS[kind](namespace="nothing")._list_and_update()
    reflector = KINDS[kind](namespace=way, **patient)
    gc.collect()
    before = resident("VmRSS")
    if traced:
        tracemalloc.start()
    if way == "listed":
        await reflector._list_and_update()
    else:
        await reflector.start()
        while len(reflector.pods) < count:  # noqa: ASYNC110 - KubeSpawner's has no event to wait for
            await asyncio.sleep(0.05)
    assert len(reflector.pods) == count
    gc.collect()
    if traced:
        found = {"objects": tracemalloc.get_traced_memory()[0]}
    else:
        found = {
            each: resident(field) - before for each, field in (("RSS", "VmRSS"), ("peak", "VmHWM"))
        }
    await reflector.stop()
    await reflector.api.api_client.close()
    return found


async def measure(repeats: int, count: int) -> dict[tuple[str, str, str], list[int]]:
    """Return bytes by way, figure and reflector."""
    runner = web.AppRunner(make_app(make_pods(count)), handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    found: defaultdict[tuple[str, str, str], list[int]] = defaultdict(list)
    for repeat in range(repeats):
        order = list(KINDS) if repeat % 2 == 0 else list(KINDS)[::-1]
        for way, traced, kind in product(WAYS, ("", "traced"), order):
            worker = await asyncio.create_subprocess_exec(
                sys.executable, __file__, "--worker", kind, way, url, str(count), traced,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            said, _ = await worker.communicate()
            for figure, value in json.loads(said).items():
                found[way, figure, kind].append(value)
        print(f"repeat {repeat + 1}: done", file=sys.stderr)
    await runner.cleanup()
    return dict(found)


def report(found: dict[tuple[str, str, str], list[int]], repeats: int, count: int) -> None:
    """Print the table."""
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {count} Pods, {repeats} repeats; "
    )
    print("MiB: median (least to most)\n")
    print("| Pods | figure | ours | KubeSpawner | ratio | goal |")
    print("|---|---|---|---|---|---|")
    for way, (figure, goal) in product(WAYS, GOALS.items()):
        ours, peer = (found[way, figure, kind] for kind in KINDS)
        cells = " | ".join(
            f"{median(each) / MIB:.0f} ({min(each) / MIB:.0f} to {max(each) / MIB:.0f})"
            for each in (ours, peer)
        )
        print(f"| {way} | {figure} | {cells} | {median(ours) / median(peer):.3f} | {goal} |")


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--worker", nargs=5, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, way, url, count, traced = options.worker
        print(json.dumps(asyncio.run(hold(kind, way, url, int(count), traced=bool(traced)))))
        return
    report(asyncio.run(measure(options.repeats, options.pods)), options.repeats, options.pods)


if __name__ == "__main__":
    main()
