"""
B3: how many admissions a second one hot quota allows, against two bare statements of SQL.

    .venv/bin/python bench/quota_admissions.py [--repeats 5] [--admissions 2000] [--clients 64]

Ours is what a start does: the whole session is reserved against a monthly quota of its owner, the
session, the ledger's entries and the sums of user, project and queue are written, and the answer
comes when all of it is durable. The peer does the least that is exact: ``UPDATE quota SET used =
used + n WHERE used + n <= amount`` and one INSERT into a ledger, in a transaction of its own, as
prepared statements of the driver. Both have the same number of clients, on the same database, in
turns; PostgreSQL with fsync and synchronous_commit on, SQLite with WAL and synchronous=FULL.

Before the figures count, a quota with room for a tenth is raced for: exactly so many must be
admitted. Goal: ≥ 3 times the peer's admissions a second, and a p99 that is no longer.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import asyncpg  # noqa: E402
from spawners import percentile  # noqa: E402

from eugospawner.policy.quota import (  # noqa: E402
    Fits,
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
)
from eugospawner.store import open_store, upgrade  # noqa: E402
from tests.contract.store import postgres  # noqa: E402
from tests.contract.store.racing import NOON, ONE  # noqa: E402
from tests.contract.store.values import a_session  # noqa: E402
from tests.factories.sessions import a_demand  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

GOAL: Final = 3.0
Run = tuple[float, list[float], int]


def limit(sessions: int) -> Limit:
    """Return a quota with room for so many sessions."""
    return Limit(
        key="hot",
        subject=Subject(SubjectKind.USER, "alice"),
        resource=Resource.GPU,
        span=Span.MONTH,
        gpu_model=None,
        amount=sessions * ONE,
    )


async def ours(url: str, clients: int, admissions: int, room: int) -> Run:
    """Return seconds, latencies and how many were admitted."""
    store = await open_store(url)
    quota, latencies, admitted = limit(room), [], 0
    sessions = [
        a_session(f"s{number}", workspace=str(number), admitted_at=NOON)
        for number in range(admissions)
    ]
    asked = iter([(each, a_demand(each, limits=(quota,))) for each in sessions])

    async def client() -> None:
        nonlocal admitted
        for new, demand in asked:
            began = time.perf_counter()
            answer = await store.sessions.open(new, demand)
            latencies.append(time.perf_counter() - began)
            admitted += isinstance(answer, Fits)

    began = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - began
    await store.close()
    return seconds, latencies, admitted


_UPDATE: Final = "UPDATE hot SET used = used + 1 WHERE key = 'hot' AND used + 1 <= {}"
_INSERT: Final = "INSERT INTO bare (name, amount) VALUES ({}, 1)"
_TABLES: Final = (
    "CREATE TABLE hot (key TEXT PRIMARY KEY, used BIGINT NOT NULL)",
    "CREATE TABLE bare (name TEXT PRIMARY KEY, amount BIGINT NOT NULL)",
    "INSERT INTO hot VALUES ('hot', 0)",
)


async def bare_postgresql(url: str, clients: int, admissions: int, room: int) -> Run:
    """Return the same of the peer, on PostgreSQL."""
    dsn = url.replace("postgresql+asyncpg", "postgresql")
    connections = [await asyncpg.connect(dsn) for _ in range(clients)]
    for statement in _TABLES:
        await connections[0].execute(statement)
    latencies, admitted, numbers = [], 0, iter(range(admissions))

    async def client(connection: Any) -> None:
        nonlocal admitted
        update = await connection.prepare(_UPDATE.format("$1"))
        insert = await connection.prepare(_INSERT.format("$1"))
        for number in numbers:
            began = time.perf_counter()
            async with connection.transaction():
                await update.fetch(room)
                if update.get_statusmsg() == "UPDATE 1":
                    await insert.fetch(str(number))
                    admitted += 1
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*map(client, connections))
    seconds = time.perf_counter() - began
    for connection in connections:
        await connection.close()
    return seconds, latencies, admitted


async def bare_sqlite(url: str, clients: int, admissions: int, room: int) -> Run:
    """Return the same of the peer, on SQLite: a thread and a connection for each client."""
    path = url.partition(":///")[2]
    with sqlite3.connect(path) as connection:
        for statement in _TABLES:
            connection.execute(statement)
    latencies: list[float] = []
    admitted, numbers, lock = [0], iter(range(admissions)), threading.Lock()

    def client() -> None:
        own = sqlite3.connect(path, timeout=60, isolation_level=None)
        own.execute("PRAGMA synchronous = FULL")
        while True:
            with lock:
                number = next(numbers, None)
            if number is None:
                own.close()
                return
            began = time.perf_counter()
            own.execute("BEGIN IMMEDIATE")
            if own.execute(_UPDATE.format("?"), (room,)).rowcount:
                own.execute(_INSERT.format("?"), (str(number),))
                with lock:
                    admitted[0] += 1
            own.execute("COMMIT")
            latencies.append(time.perf_counter() - began)

    threads = [threading.Thread(target=client) for _ in range(clients)]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        await asyncio.to_thread(thread.join)
    return time.perf_counter() - began, latencies, admitted[0]


class Databases:
    """New databases of either kind, for one run each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._count = 0
        (folder / "pg").mkdir()
        self.server = postgres.Server(folder / "pg", durable=True)

    def new(self, kind: str) -> str:
        """Return the URL of a database with the store's schema."""
        self._count += 1
        name = f"bench{self._count}"
        if kind == "PostgreSQL":
            self.server.create(name)
            url = self.server.url(name)
        else:
            url = f"sqlite:///{self._folder / name}.sqlite"
        upgrade(url)
        return url


PEERS: Final[dict[str, Callable[[str, int, int, int], Awaitable[Run]]]] = {
    "PostgreSQL": bare_postgresql,
    "SQLite": bare_sqlite,
}


def measure(databases: Databases, options: argparse.Namespace) -> None:
    """Print the table."""
    print("| database | admissions/s ours | bare | ratio | goal | p99 ms ours | bare |")
    print("|---|---|---|---|---|---|---|")
    for kind, peer in PEERS.items():
        room = options.admissions // 10
        for contender in (ours, peer):
            run = asyncio.run(
                contender(databases.new(kind), options.clients, options.admissions, room)
            )
            if run[2] != room:
                sys.exit(f"{kind}: {run[2]} were admitted where {room} fit")
        found: dict[str, list[tuple[float, float]]] = {"ours": [], "bare": []}
        for repeat in range(options.repeats):
            turns = [("ours", ours), ("bare", peer)]
            for name, contender in turns if repeat % 2 == 0 else turns[::-1]:
                seconds, latencies, _ = asyncio.run(
                    contender(
                        databases.new(kind), options.clients, options.admissions, options.admissions
                    )
                )
                found[name].append(
                    (options.admissions / seconds, percentile(latencies, 0.99) * 1e3)
                )
        rates = {name: [rate for rate, _ in runs] for name, runs in found.items()}
        late = {name: [p99 for _, p99 in runs] for name, runs in found.items()}
        ratio = median(rates["ours"]) / median(rates["bare"])
        print(
            f"| {kind} | {spread(rates['ours'], 0)} | {spread(rates['bare'], 0)} | {ratio:.1f} | "
            f"{GOAL} | {spread(late['ours'], 1)} | {spread(late['bare'], 1)} |",
            flush=True,
        )


def spread(values: list[float], digits: int) -> str:
    """Return median, least and most."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--admissions", type=int, default=2000)
    parser.add_argument("--clients", type=int, default=64)
    options = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{os.cpu_count()} cores, load {load:.1f}, {options.repeats} repeats of ", end="")
    print(f"{options.admissions} admissions by {options.clients} clients\n")
    folder = Path(tempfile.mkdtemp(prefix="eugo-bench-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as nobody
    databases = Databases(folder)
    try:
        measure(databases, options)
    finally:
        databases.server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
