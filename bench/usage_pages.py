"""
How long the usage pages take with ten million ledger rows.

    .venv/bin/python bench/usage_pages.py [--rows 10000000] [--requests 200] [--repeats 3]

A thousand people of one project, group and organization, a session and a month of entries each, on
SQLite. The roll-up is timed on its way; then the quota service itself (`make_app`, a real socket, the
hub's answers from a process that knows some tokens) is asked for the pages of a person, of the project
and of the whole organization, in turns, once rolled up and once with the last ten thousand entries
still to be rolled up. Before the figures count, what the organization's page shows is compared with
the sum of the ledger. Goal: p95 ≤ 200 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from http import HTTPStatus
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from spawners import percentile  # noqa: E402
from sqlalchemy import text  # noqa: E402
from usage_at_scale import PEOPLE, fill  # noqa: E402

from eugospawner.store import open_store, upgrade  # noqa: E402
from eugospawner.store.connect import database_at  # noqa: E402
from tests.integration.quota.servers import serving, sow  # noqa: E402

if TYPE_CHECKING:
    from sqlalchemy import Connection

GOAL_MS = 200
PAGES = {
    "a person": "?user=user7",
    "the project": "?project=vision",
    "the organization": "?organization=acme",
}
#: The sums of those who pay for all, made of the people's.
_SUMS = (
    "INSERT INTO usage SELECT '{subject}', span, start, gpu_model, SUM(settled_gpu), "
    "SUM(settled_cpu), SUM(settled_memory), SUM(reserved_gpu), SUM(reserved_cpu), "
    "SUM(reserved_memory) FROM usage WHERE subject LIKE 'user:user%' GROUP BY span, start, gpu_model"
)


def fill_all(connection: Connection, rows: int) -> None:
    """Write entries and sums, and who pays for them."""
    fill(connection, rows)
    connection.execute(
        text(
            "UPDATE sessions SET project = 'vision', group_key = 'vision-lab', "
            "organization = 'acme' WHERE owner LIKE 'user%'"
        )
    )
    for subject in ("project:vision", "group:vision-lab", "organization:acme"):
        connection.execute(text(_SUMS.format(subject=subject)))


async def prepare(url: str, rows: int) -> float:
    """Fill the store and roll all of it up but the last ten thousand; return the seconds of that."""
    database = database_at(url)
    await database.transact(lambda connection: fill_all(connection, rows))
    await database.close()
    store = await open_store(url)
    began, left = time.perf_counter(), rows - 10_000
    while left > 0:
        left -= await store.consumption.roll_up(most=min(20_000, left))
    seconds = time.perf_counter() - began
    await store.close()
    return seconds


def check(running: Any, rows: int) -> None:
    """Stop unless the organization's page shows what the ledger says."""

    def look(connection: Connection) -> int:
        query = "SELECT SUM(settled_gpu) FROM ledger WHERE session_id LIKE 's%'"
        return int(connection.execute(text(query)).scalar() or 0)

    expected = running.run(running.store._database.look("look", look))
    report = running.ask("GET", "/usage?organization=acme", token="t-alice").body
    shown = sum(day["gpu"] for day in report["days"])
    if shown != expected:
        sys.exit(f"{rows:,} rows: the page says {shown}, the ledger {expected}")


def measure(running: Any, requests: int) -> dict[str, list[float]]:
    """Return the milliseconds of each page."""
    found: dict[str, list[float]] = {name: [] for name in PAGES}
    for _ in range(requests):
        for name, query in PAGES.items():
            began = time.perf_counter()
            answer = running.ask("GET", query, token="t-ada", api=False)
            found[name].append((time.perf_counter() - began) * 1000)
            assert answer.status == HTTPStatus.OK, answer.text
    return found


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.repeats} repeats of ")
    print(f"{options.requests} requests, {PEOPLE} people\n")
    folder = Path(tempfile.mkdtemp(prefix="eugo-bench-"))
    try:
        catalog, url = ROOT / "helm-values" / "catalog.yaml", f"sqlite:///{folder / 's.sqlite'}"
        upgrade(url)
        seconds = asyncio.run(prepare(url, options.rows))
        sow(catalog, url)
        print(f"Rolled up {options.rows:,} entries in {seconds:.0f} s\n")
        print("| entries not rolled up | page | p50 ms | p95 ms | goal |")
        print("|---|---|---|---|---|")
        with serving(folder, catalog, url) as running:
            check(running, options.rows)
            for rest in (10_000, 0):
                if not rest:
                    running.run(running.store.consumption.roll_up())
                runs = [measure(running, options.requests) for _ in range(options.repeats)]
                for name in PAGES:
                    middle = [median(run[name]) for run in runs]
                    late = [percentile(run[name], 0.95) for run in runs]
                    print(
                        f"| {rest:,} | {name} | {spread(middle)} | {spread(late)} | {GOAL_MS} |",
                        flush=True,
                    )
    finally:
        shutil.rmtree(folder)


def spread(values: list[float]) -> str:
    """Return median, least and most."""
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


if __name__ == "__main__":
    main()
