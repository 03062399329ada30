"""
B5: what a cycle of the culler costs, against jupyterhub-idle-culler on the same hub.

    .venv/bin/python bench/culler_cycle.py [--repeats 5] [--servers 10000,100000] [--idle 0,1,10]

A hub of the bench's own, a process beside both, knows so many running servers, one of each user, and answers as
JupyterHub 6.1 does: the list of users in pages that were written beforehand, so that it costs the peer next to
nothing, and 204 to a stop. The store has the same servers with the same times. So many percent were idle for longer
than the limit of one hour, by chance, and the clock stands still, so that both have the same to decide.

A cycle is one `sweep_once` of ours and one `cull_idle` of the peer's, with the hub's page of 50 users, which is
what it does by default, and with the largest, 200. Each is in a process of its own, after a cycle for which nobody
was idle, as services make one after the other. *CPU* is that process's; a database server's, like the hub's, is not
in it. *RSS* is the most that the process ever had. Each database is a new copy, since ours writes down why it stops.

Before the figures count, the stops that the hub was asked for are compared: each idle server once, by both, and no
other. Goals: wall and CPU ≤ 0.25 times the peer's, RSS ≤ 0.5 times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

if TYPE_CHECKING:
    from collections.abc import Iterator

    from quota_admissions import Databases

NOW: Final = datetime(2026, 11, 26, 12, tzinfo=UTC)
STARTED: Final = NOW - timedelta(hours=20)
LIMIT: Final = timedelta(hours=1)
GOALS: Final = {"wall": 0.25, "CPU": 0.25, "RSS": 0.5}
#: Page size that the peer asks for; 0: it leaves it to the hub.
PEERS: Final = {"peer": 0, "peer, pages of 200": 200}
OURS: Final = ("ours, SQLite", "ours, PostgreSQL")
PAGE: Final = 50
MIB: Final = 2**20


def activities(servers: int, percent: float) -> list[datetime]:
    """Return when each server was active last; *percent* of them longer ago than the limit."""
    chance = random.Random(servers)  # the same in every run
    idle = set(chance.sample(range(servers), round(servers * percent / 100)))
    return [
        NOW - (LIMIT + timedelta(seconds=chance.randint(0, 36_000)))
        if number in idle
        else NOW - timedelta(seconds=chance.randint(0, 3_599))
        for number in range(servers)
    ]


# --- The hub -----------------------------------------------------------------------------------


def user(number: int, active: datetime) -> bytes:
    """Return a user with a running server, as JupyterHub 6.1 writes it for a culler's token."""
    name, at = f"user-{number:06}", active.isoformat().replace("+00:00", "Z")
    url = f"/user/{name}/"
    server = {
        "name": "", "display_name": "", "full_name": f"{name}/", "last_activity": at,
        "started": STARTED.isoformat().replace("+00:00", "Z"), "pending": None,
        "ready": True, "stopped": False, "url": url,
        "user_options": {"project": "vision", "profile": "nb-gpu-l4", "sm_percent": "25"},
        "progress_url": f"/hub/api/users/{name}/server/progress", "full_url": None,
        "full_progress_url": None,
    }  # fmt: skip
    model = {
        "kind": "user", "name": name, "admin": False, "last_activity": at, "server": url,
        "pending": None, "created": "2026-01-01T08:00:00.000000Z", "roles": ["user"],
        "groups": ["org-a", "vision"], "servers": {"": server},
    }  # fmt: skip
    return json.dumps(model).encode()


def hub(servers: int, percent: float) -> None:
    """Be the hub; its URL is the first line, `GET /stops` says and forgets who was to stop."""
    from aiohttp import web  # noqa: PLC0415 - workers measure what they import

    users = [user(number, at) for number, at in enumerate(activities(servers, percent))]
    pages: dict[tuple[int, int], bytes] = {}
    stops: list[str] = []

    def page(offset: int, limit: int, url: str) -> bytes:
        following = offset + limit
        more = None
        if following < len(users):
            more = {"offset": following, "limit": limit, "url": f"{url}&offset={following}"}
        head = {"offset": offset, "limit": limit, "total": len(users), "next": more}
        return (
            b'{"items": [' + b", ".join(users[offset:following])
            + b'], "_pagination": ' + json.dumps(head).encode() + b"}"
        )  # fmt: skip

    async def listed(request: web.Request) -> web.Response:
        asked = request.query
        offset, limit = int(asked.get("offset", 0)), min(int(asked.get("limit", PAGE)), 200)
        if (offset, limit) not in pages:
            url = f"{request.url.origin()}/hub/api/users?state=ready&limit={limit}"
            pages.update({(at, limit): page(at, limit, url) for at in range(0, len(users), limit)})
        return web.Response(body=pages[offset, limit], content_type="application/json")

    async def stopped(request: web.Request) -> web.Response:
        stops.append(request.match_info["name"])
        return web.Response(status=204)

    async def told(_: web.Request) -> web.Response:
        said = web.json_response(stops)
        stops.clear()
        return said

    async def version(_: web.Request) -> web.Response:
        return web.json_response({"version": "6.1.0"})

    app = web.Application()
    app.router.add_get("/hub/api/", version)
    app.router.add_get("/hub/api/users", listed)
    app.router.add_delete("/hub/api/users/{name}/server", stopped)
    app.router.add_get("/stops", told)

    async def serve() -> None:
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
        await asyncio.Event().wait()

    asyncio.run(serve())


# --- Who is measured: a process for each cycle -------------------------------------------------


async def ours(hub_url: str, database: str) -> dict[str, float]:
    """Sweep once and return what it took."""
    import aiohttp  # noqa: PLC0415
    from kubernetes_asyncio import client  # noqa: F401, PLC0415 - the service has it for its lease

    from eugospawner import settings  # noqa: PLC0415
    from eugospawner.store import open_store  # noqa: PLC0415
    from hub_services.common.hub import Hub  # noqa: PLC0415
    from hub_services.culler.service import Culler  # noqa: PLC0415

    class Fixed:
        is_held = True
        at = NOW - timedelta(days=1)

        def now(self) -> datetime:
            return self.at

    loaded = settings.load(ROOT / "helm-values" / "catalog.yaml")
    catalog = replace(
        loaded.catalog,
        idle_stop=LIMIT,
        profiles={
            key: replace(each, idle_stop=None) for key, each in loaded.catalog.profiles.items()
        },
    )
    found = replace(loaded, catalog=catalog)
    store, held = await open_store(database), Fixed()

    async def opened() -> Any:
        return store

    async def newest() -> Any:
        return found

    async with aiohttp.ClientSession() as session:
        culler = Culler(
            open_store=opened,
            settings=newest,
            hub=Hub(session, url=f"{hub_url}/hub/api", token="t"),
            lease=held,
            clock=held,
        )
        await culler.sweep_once()
        held.at = NOW
        wall, cpu = time.perf_counter(), time.process_time()
        swept = await culler.sweep_once()
        took = {"wall": time.perf_counter() - wall, "CPU": time.process_time() - cpu}
    await store.close()
    if swept.failed:
        sys.exit(f"{swept.failed} stops failed")
    return took


async def peer(hub_url: str, page_size: int) -> dict[str, float]:
    """Let jupyterhub-idle-culler make a cycle, and return what it took."""
    import jupyterhub_idle_culler  # noqa: PLC0415

    jupyterhub_idle_culler.utcnow = lambda: NOW
    log = logging.getLogger("peer")
    log.setLevel(logging.ERROR)

    async def cull(limit: timedelta) -> None:
        url = f"{hub_url}/hub/api"
        await jupyterhub_idle_culler.cull_idle(
            url, "t", limit.total_seconds(), log, api_page_size=page_size
        )

    await cull(timedelta(days=365))
    wall, cpu = time.perf_counter(), time.process_time()
    await cull(LIMIT)
    return {"wall": time.perf_counter() - wall, "CPU": time.process_time() - cpu}


def work(kind: str, hub_url: str, argument: str) -> None:
    """Make a cycle and print what it took."""
    logging.disable(logging.WARNING)
    cycle = ours(hub_url, argument) if kind in OURS else peer(hub_url, PEERS[kind])
    took = asyncio.run(cycle)
    # Not `ru_maxrss`: a process inherits that of the one that began it.
    status = Path("/proc/self/status").read_text("utf-8")
    took["RSS"] = 1024 * int(status.split("VmHWM:")[1].split()[0])
    print(json.dumps(took))


# --- The store ---------------------------------------------------------------------------------


def columns(active: list[datetime]) -> Iterator[dict[str, Any]]:
    """Yield what the sessions have of their own."""
    for at in active:
        yield {
            "active_at": at, "ends_at": NOW + timedelta(hours=4), "ends_because": "max-session",
        }  # fmt: skip


class Copies:
    """Databases with the same sessions, a new one for each cycle."""

    def __init__(self, databases: Databases, folder: Path, active: list[datetime]) -> None:
        from sessions import fill  # noqa: PLC0415 - workers measure what they import

        self._databases = databases
        self._folder = folder
        self._full = {}
        for kind in OURS:
            self._full[kind] = databases.new(kind.removeprefix("ours, "))
            asyncio.run(fill(self._full[kind], STARTED, columns(active)))
        self._count = 0

    def new(self, kind: str) -> str:
        """Return the URL of one."""
        self._count += 1
        url, name = self._full[kind], f"copy{id(self)}{self._count}"
        if url.startswith("sqlite"):
            shutil.copy(url.partition(":///")[2], self._folder / name)
            return f"sqlite:///{self._folder / name}"
        self._databases.server.create(name, _database_of(url))
        return self._databases.server.url(name)


def _database_of(url: str) -> str:
    return url.partition("@/")[2].partition("?")[0]


def cycle(kind: str, hub_url: str, copies: Copies) -> dict[str, float]:
    """Return what one cycle took."""
    argument = copies.new(kind) if kind in OURS else ""
    ran = subprocess.run(
        [sys.executable, __file__, "--worker", kind, hub_url, argument],
        check=True, stdout=subprocess.PIPE,
    )  # fmt: skip
    found: dict[str, float] = json.loads(ran.stdout)
    return found


def stops(hub_url: str) -> list[str]:
    """Return who was to stop since last asked, in order."""
    with urllib.request.urlopen(f"{hub_url}/stops") as answer:  # noqa: S310 - loopback
        return sorted(json.load(answer))


def measure(databases: Databases, folder: Path, options: argparse.Namespace) -> None:
    """Print the table."""
    print("| servers | idle | figure | " + " | ".join((*OURS, *PEERS)) + " | ratio | goal |")
    print("|---|---|---|---|---|---|---|---|---|")
    for servers, percent in product(options.servers, options.idle):
        active = activities(servers, percent)
        wanted = [f"user-{at:06}" for at, seen in enumerate(active) if NOW - seen >= LIMIT]
        copies = Copies(databases, folder, active)
        process = subprocess.Popen(
            [sys.executable, __file__, "--hub", str(servers), str(percent)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        found: defaultdict[tuple[str, str], list[float]] = defaultdict(list)
        try:
            hub_url = process.stdout.readline().strip()
            kinds = (*OURS, *PEERS)
            for kind in kinds:
                cycle(kind, hub_url, copies)
                if (asked := stops(hub_url)) != wanted:
                    sys.exit(f"{kind} had {len(asked)} stopped where {len(wanted)} were idle")
            for repeat in range(options.repeats):
                for kind in kinds if repeat % 2 == 0 else kinds[::-1]:
                    for figure, value in cycle(kind, hub_url, copies).items():
                        found[kind, figure].append(value)
                    stops(hub_url)
        finally:
            process.kill()
            process.wait()
        for figure, goal in GOALS.items():
            cells = [spread(found[kind, figure], figure) for kind in kinds]
            # The dearer of ours by the cheaper of the peer's.
            ratio = max(median(found[kind, figure]) for kind in OURS) / min(
                median(found[kind, figure]) for kind in PEERS
            )
            print(
                f"| {servers:,} | {percent:g} % | {figure} | {' | '.join(cells)} | {ratio:.3f} | "
                f"{goal} |",
                flush=True,
            )


def spread(values: list[float], figure: str) -> str:
    """Return median, least and most: in MiB or ms."""
    scale, unit = (1 / MIB, "MiB") if figure == "RSS" else (1e3, "ms")
    scaled = [each * scale for each in values]
    return f"{median(scaled):.0f} {unit} ({min(scaled):.0f} to {max(scaled):.0f})"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--servers", type=numbers, default="10000,100000")
    parser.add_argument("--idle", type=numbers, default="0,1,10", help="percent")
    parser.add_argument("--hub", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.hub:
        hub(int(options.hub[0]), float(options.hub[1]))
    elif options.worker:
        work(*options.worker)
    else:
        from quota_admissions import Databases  # noqa: PLC0415

        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.repeats} repeats\n")
        folder = Path(tempfile.mkdtemp(prefix="eugo-bench-"))
        folder.chmod(0o711)  # as root, PostgreSQL runs as nobody
        databases = Databases(folder)
        try:
            measure(databases, folder, options)
        finally:
            databases.server.stop()
            shutil.rmtree(folder)


def numbers(text: str) -> list[int]:
    """Return whole numbers."""
    return [int(each) for each in text.split(",")]


if __name__ == "__main__":
    main()
