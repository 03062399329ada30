"""
B10: what hub and services take while many workspaces run.

    .venv/bin/python bench/hub_at_scale.py [--workspaces 1000] [--seconds 60]

Brings a cluster of its own with Nodes without machines, whose Pods are ready at once and do nothing, and the demo's hub
on it with all services and the proxy. One program answers for all notebooks. Each process is looked at twice: before
the first workspace, and when all run: memory that is its own (USS: what would be free if it ended) and RSS, and CPU
while nobody does anything. As root, in a network of its own, where the Pods' addresses lead to that program.

Goals: none; the sizes in helm-values come from it.
"""

from __future__ import annotations

import argparse
import http.server
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import yaml  # noqa: E402

from tests.integration.demo import demos  # noqa: E402
from tests.integration.devcluster.clusters import kubectl_of, running  # noqa: E402
from tests.integration.hub.hubs import Hub  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where the Nodes without machines have their Pods (devcluster/kubernetes/internal/nodes).
PODS: Final = "198.18.0.0/15"
ALONE: Final = "EUGO_BENCH_ALONE"
PORT: Final = 8888
AT_ONCE: Final = 16
PATIENCE: Final = 1800
MIB: Final = 1 << 20
INVENTORY: Final = {
    "node": {"name": "devnode"},
    "gpus": [],
    "images": {},
    "storage": [{"name": "bench", "default": True, "binding": "Immediate"}],
    "nodes": [{"prefix": "bench-", "count": 12, "cpu": 1024, "memory": "8192Gi", "gpus": []}],
}
#: What a process is, by its command line.
NAMES: Final = {
    r"hub_services\.(\w+)": r"\1",
    r"-m jupyterhub ": "hub",
    r"configurable-http-proxy|chp|proxy": "proxy",
}


class Notebook(http.server.BaseHTTPRequestHandler):
    """What answers for every notebook."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Be there."""
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", "6.1.1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the library's
        """Say nothing."""


def processes(root: int) -> dict[str, int]:
    """Return the pids of hub, services and proxy below *root*, by name."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(path.parent.name)] = int(fields[1])
    found = {}
    for pid in parents:
        above, line = pid, []
        while above in parents:
            line.append(above)
            above = parents[above]
        if root not in line or pid == root:
            continue
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
        for pattern, name in NAMES.items():
            if match := re.search(pattern, command):
                found.setdefault(match.expand(name), pid)
                break
    return found


def looked_at(pids: Mapping[str, int], seconds: float) -> dict[str, dict[str, float]]:
    """Return memory in MiB, and CPU in percent of a core over *seconds*, of each process."""

    def ticks(pid: int) -> int:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    before = {name: ticks(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    hertz = os.sysconf("SC_CLK_TCK")
    found = {}
    for name, pid in pids.items():
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        sizes = {
            key: int(size) for key, size in re.findall(r"^(\w+): +(\d+) kB$", text, re.MULTILINE)
        }
        found[name] = {
            "RSS": sizes["Rss"] / 1024,
            "USS": (sizes["Private_Clean"] + sizes["Private_Dirty"]) / 1024,
            "CPU": 100 * (ticks(pid) - before[name]) / hertz / seconds,
        }
    return found


def start(hub: Hub, count: int) -> float:
    """Have *count* people start a workspace each; return the seconds until all run."""
    names = [f"bench-{number}" for number in range(count)]
    for first in range(0, count, 100):
        hub.ask("POST", "/users", {"usernames": names[first : first + 100]})
    began = time.monotonic()

    def one(name: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while (answer := hub.start_light(name, profile="nb-cpu-2")).status >= 400:  # noqa: PLR2004
            # The hub lets so many start at a time, and says so.
            if answer.status not in {429, 503} or time.monotonic() > deadline:
                sys.exit(f"{name} does not start: {answer}")
            time.sleep(1)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(one, names))
    deadline = time.monotonic() + PATIENCE
    while (ready := count_ready(hub)) < count:
        if time.monotonic() > deadline:
            sys.exit(f"only {ready} of {count} run")
        time.sleep(1)
    return time.monotonic() - began


def count_ready(hub: Hub) -> int:
    """Return how many workspaces run."""
    ready, offset = 0, 0
    while page := hub.ask("GET", f"/users?state=ready&limit=200&offset={offset}").body:
        ready += len(page)
        offset += 200
    return ready


def measure(count: int, seconds: float) -> dict[str, Any]:
    """Return what each process took before the first workspace and while *count* run."""
    server = http.server.ThreadingHTTPServer(("0.0.0.0", PORT), Notebook)  # noqa: S104 - in a network of its own
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inventory = folder / "inventory.yaml"
        inventory.write_text(yaml.safe_dump(INVENTORY), "utf-8")
        (folder / "cluster").mkdir()
        with running(folder / "cluster", inventory=inventory) as cluster:
            kubectl = kubectl_of(cluster.kubeconfig)
            kubectl("cordon", "devnode")  # Pods there would be processes
            data = folder / "hub" / "demo"
            data.parent.mkdir()
            with demos.started("--kubeconfig", cluster.kubeconfig, data=data, cwd=folder) as demo:
                hub = Hub(demo, kubectl)
                pids = processes(demo.process.pid)
                before = looked_at(pids, seconds)
                took = start(hub, count)
                time.sleep(seconds)  # what is settled and measured after starts
                return {"seconds": took, "before": before, "while": looked_at(pids, seconds)}


def report(found: Mapping[str, Any], count: int) -> None:
    """Print it."""
    print(
        f"{count} workspaces began in {found['seconds']:.0f} s ({count / found['seconds']:.1f} a second).\n"
    )
    print("| process | RSS before | RSS | USS before | USS | CPU before | CPU |")
    print("|---|---|---|---|---|---|---|")
    total = {
        "before": dict.fromkeys(("RSS", "USS", "CPU"), 0.0),
        "while": dict.fromkeys(("RSS", "USS", "CPU"), 0.0),
    }
    for name in found["before"]:
        cells = []
        for what, unit, digits in (("RSS", "MiB", 0), ("USS", "MiB", 0), ("CPU", "%", 1)):
            for when in ("before", "while"):
                value = found[when][name][what]
                total[when][what] += value
                cells.append(f"{value:.{digits}f} {unit}")
        print(f"| {name} | {' | '.join(cells)} |")
    cells = [
        f"{total[when][what]:.{digits}f} {unit}"
        for what, unit, digits in (("RSS", "MiB", 0), ("USS", "MiB", 0), ("CPU", "%", 1))
        for when in ("before", "while")
    ]
    print(f"| together | {' | '.join(cells)} |")
    print(f"\n{json.dumps(found)}", file=sys.stderr)


def main() -> None:
    """Measure in a network of its own, and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--workspaces", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    if not os.environ.get(ALONE):
        if os.geteuid():
            sys.exit("As root, please: the Pods' addresses have to lead somewhere.")
        script = f'ip link set lo up && ip route add local {PODS} dev lo && exec "$@"'
        command = ["unshare", "--net", "--", "sh", "-c", script, "sh", sys.executable, *sys.argv]
        sys.exit(subprocess.run(command, check=False, env=os.environ | {ALONE: "1"}).returncode)
    report(measure(options.workspaces, options.seconds), options.workspaces)


if __name__ == "__main__":
    main()
