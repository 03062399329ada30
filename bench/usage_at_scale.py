"""
B4: what reading usage costs with ten million ledger rows, against one read by key.

    .venv/bin/python bench/usage_at_scale.py [--rows 10000000] [--repeats 5] [--reads 2000]

Ours is a person's usage of all GPU models (`book.read_usage`): *month* to date, and *all* that a
decision can ask for (at once, today, this month). The peer reads one row of the same table by its primary key, through the
same layers and on the same connection, in turns. Both on a ledger of ten thousand rows and one of
`--rows`, of a thousand people and a month each, the larger one after three years of days before: a
read that looked at the ledger, or at all that ever was, would grow.

Before the figures count, the sums of the ledger are compared with what is read. Goals: ≤ 1.5 times
the read by key, and no more than 1.1 times as long at the large size as at the small one.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Final

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from quota_admissions import Databases  # noqa: E402
from spawners import percentile  # noqa: E402
from sqlalchemy import bindparam, select, text  # noqa: E402

from eugospawner.policy.quota import (  # noqa: E402
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
)
from eugospawner.store.book import read_usage  # noqa: E402
from eugospawner.store.connect import database_at  # noqa: E402
from eugospawner.store.statements import InsertMany, Prepared  # noqa: E402
from eugospawner.store.tables import LedgerRow, UsageRow, table_of  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

PEOPLE: Final = 1000
SMALL: Final = 10_000
BATCH: Final = 50_000
DAYS: Final = 26
PAST_DAYS: Final = 3 * 365
FIRST: Final = datetime(2026, 11, 1, tzinfo=UTC)
NOW: Final = datetime(2026, 11, 26, 12, tzinfo=UTC)
GOAL, FLAT = 1.5, 1.1
MONTH: Final = frozenset({Span.MONTH})

_USAGE: Final = table_of(UsageRow)
_BY_KEY: Final = Prepared(
    select(_USAGE).where(
        _USAGE.c.subject == bindparam("subject"),
        _USAGE.c.span == bindparam("span"),
        _USAGE.c.start == bindparam("start"),
        _USAGE.c.gpu_model == bindparam("gpu_model"),
    )
)
_SESSION: Final = text(
    "INSERT INTO sessions (id, owner, workspace, actor, project, profile, flavor, kind, queue, "
    "image, gpu_model, gpu_count, sm_percent, requested_percent, cpu_millicores, memory_bytes, "
    "pod_name, admitted_at, ended_at, end_reason) VALUES (:id, :owner, '', :owner, 'p', 'p', 'f', "
    "'jupyterlab', 'default', 'i', 'L4', 1, 100, 100, 0, 0, 'pod', :at, :at, 'stopped')"
)
#: The sums as the store keeps them, made of the ledger in one statement for each span.
_SUMS: Final = (
    "INSERT INTO usage SELECT 'user:' || s.owner, '{span}', {start}, 'L4', "
    "SUM(settled_gpu), SUM(settled_cpu), SUM(settled_memory), 0, 0, 0 "
    "FROM ledger l JOIN sessions s ON s.id = l.session_id GROUP BY s.owner, {start}"
)


def fill(connection: Connection, rows: int) -> None:
    """Write *rows* entries of a thousand people's sessions, and their sums."""
    at = "2026-11-01 00:00:00.000000" if connection.dialect.name == "sqlite" else NOW
    connection.execute(
        _SESSION,
        [{"id": f"s{n}", "owner": f"user{n}", "at": at} for n in range(PEOPLE)],
    )
    table = table_of(LedgerRow)
    ledger = InsertMany(table, [each.name for each in table.columns if each.name != "id"])
    for first in range(0, rows, BATCH):
        ledger.execute(connection, [entry(n) for n in range(first, min(first + BATCH, rows))])
    for span, start in (("day", "l.day"), ("month", "substr(l.day, 1, 7)")):
        connection.execute(text(_SUMS.format(span=span, start=start)))
    if rows > SMALL:
        usage = InsertMany(_USAGE, [each.name for each in _USAGE.columns])
        for person in range(0, PEOPLE, 50):
            usage.execute(
                connection, [sums for each in range(person, person + 50) for sums in past(each)]
            )


def past(person: int) -> Iterator[dict[str, Any]]:
    """Yield the sums of the days of three years before, whose ledger is in an archive."""
    amounts = {
        f"{kind}_{name}": 1 for kind in ("settled", "reserved") for name in ("gpu", "cpu", "memory")
    }
    for days in range(PAST_DAYS):
        day = (FIRST - timedelta(days=days + 1)).date().isoformat()
        where = {"subject": f"user:user{person}", "span": "day", "start": day, "gpu_model": "L4"}
        yield where | amounts


def entry(number: int) -> dict[str, Any]:
    """Return one entry: a minute of a GPU."""
    return {
        "session_id": f"s{number % PEOPLE}",
        "kind": "settle",
        "day": f"2026-11-{DAYS - number // PEOPLE % DAYS:02d}",
        "settled_gpu": 6_000_000 + number % 7,
        "settled_cpu": 60_000,
        "settled_memory": 60_000,
        "reserved_gpu": 0,
        "reserved_cpu": 0,
        "reserved_memory": 0,
        "recorded_at": NOW,
    }


def check(connection: Connection) -> None:
    """Stop unless what is read is the ledger's sum."""
    for person in (0, PEOPLE // 2, PEOPLE - 1):
        user = Subject(SubjectKind.USER, f"user{person}")
        month = Limit(
            key="", subject=user, resource=Resource.GPU, span=Span.MONTH, gpu_model=None, amount=0
        )
        read = read_usage(connection, [user], since=NOW).against(month, "2026-11")
        query = text("SELECT SUM(settled_gpu) FROM ledger WHERE session_id = :id")
        if read != connection.scalar(query, {"id": f"s{person}"}):
            sys.exit(f"user{person}: what is read is not what the ledger says")


def reads(connection: Connection, count: int) -> dict[str, list[float]]:
    """Return the seconds of each read, of ours and by key, in turns."""
    found: dict[str, list[float]] = {"month": [], "all": [], "key": []}
    for number in range(count):
        user = Subject(SubjectKind.USER, f"user{number * 37 % PEOPLE}")
        key = {
            "subject": f"user:{user.key}",
            "span": "month",
            "start": "2026-11",
            "gpu_model": "L4",
        }
        times = [time.perf_counter()]
        read_usage(connection, [user], since=NOW, spans=MONTH)
        times.append(time.perf_counter())
        read_usage(connection, [user], since=NOW)
        times.append(time.perf_counter())
        _BY_KEY.execute(connection, key).one()
        times.append(time.perf_counter())
        for name, began, ended in zip(found, times, times[1:], strict=False):
            found[name].append(ended - began)
    return found


async def measure(databases: Databases, options: argparse.Namespace) -> None:
    """Print the table."""
    print("| database | rows | what | ours µs | by key µs | ratio | goal | p95 ours | to small |")
    print("|---|---|---|---|---|---|---|---|---|")
    for kind in ("SQLite", "PostgreSQL"):
        small: dict[str, float] = {}
        for rows in (SMALL, options.rows):
            database = database_at(await asyncio.to_thread(databases.new, kind))
            await database.transact(lambda connection, rows=rows: fill(connection, rows))
            await database.look("check", check)
            await database.look("warm", lambda connection: reads(connection, 200))
            runs = [
                await database.look("read", lambda connection: reads(connection, options.reads))
                for _ in range(options.repeats)
            ]
            await database.close()
            key = [median(run["key"]) * 1e6 for run in runs]
            for what in ("month", "all"):
                ours = [median(run[what]) * 1e6 for run in runs]
                late = median(percentile(run[what], 0.95) * 1e6 for run in runs)
                least = small.setdefault(what, median(ours))
                print(
                    f"| {kind} | {rows:,} | {what} | {spread(ours)} | {spread(key)} | "
                    f"{median(ours) / median(key):.2f} | {GOAL} | {late:.0f} | "
                    f"{median(ours) / least:.2f} (goal {FLAT}) |",
                    flush=True,
                )


def spread(values: list[float]) -> str:
    """Return median, least and most."""
    return f"{median(values):.0f} ({min(values):.0f} to {max(values):.0f})"


def main() -> None:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--reads", type=int, default=2000)
    options = parser.parse_args()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, {options.repeats} repeats of ")
    print(f"{options.reads} reads\n")
    folder = Path(tempfile.mkdtemp(prefix="eugo-bench-"))
    folder.chmod(0o711)  # as root, PostgreSQL runs as nobody
    databases = Databases(folder)
    try:
        asyncio.run(measure(databases, options))
    finally:
        databases.server.stop()
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
