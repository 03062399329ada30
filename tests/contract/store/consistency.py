"""
What must hold of ledger, usage and sessions after every step, worked out from the rows alone.

Shares no code with the store: sums are made of the ledger's entries here, and what a session must
have reserved and settled follows from its own times.
"""

from collections import Counter
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, text

from eugospawner.store import Store

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUERIES = {
    "sessions": "SELECT * FROM sessions",
    "ledger": "SELECT * FROM ledger",
    "usage": "SELECT * FROM usage",
}
RESOURCES = ("gpu", "cpu", "memory")


async def check_ledger_consistency(store: Store, owner: str | None = None) -> None:
    """
    Fail with all that does not agree.

    Args:
        owner: Whose alone is looked at, where tests beside this one change the times of their own sessions.
    """
    wrong = await store._database.look("check the ledger", lambda found: problems(found, owner))
    assert not wrong, "\n".join(wrong)


def problems(connection: Connection, owner: str | None = None) -> list[str]:
    rows = {
        table: [dict(row) for row in connection.execute(text(query)).mappings()]
        for table, query in QUERIES.items()
    }
    if owner is not None:
        rows["sessions"] = [each for each in rows["sessions"] if each["owner"] == owner]
        theirs = {each["id"] for each in rows["sessions"]}
        rows["ledger"] = [each for each in rows["ledger"] if each["session_id"] in theirs]
    found = judge(rows["sessions"], rows["ledger"], rows["usage"])
    # What others have in the same queue or project is not summed up here.
    return [
        each
        for each in found
        if owner is None or not each.startswith("('") or f"'user:{owner}'" in each
    ]


def judge(
    sessions: list[dict[str, Any]], ledger: list[dict[str, Any]], usage: list[dict[str, Any]]
) -> list[str]:
    by_id = {session["id"]: session for session in sessions}
    wrong = [
        f"{row} is negative"
        for row in usage
        if any(row[f"{kind}_{name}"] < 0 for kind in ("settled", "reserved") for name in RESOURCES)
    ]
    expected: Counter[tuple[str, ...]] = Counter()
    totals: Counter[tuple[str, str, str]] = Counter()
    for entry in ledger:
        session = by_id[entry["session_id"]]
        for kind in ("settled", "reserved"):
            for name in RESOURCES:
                amount = entry[f"{kind}_{name}"]
                totals[session["id"], kind, name] += amount
                for whom in subjects({**session, "queue": entry["queue"] or session["queue"]}):
                    for span, start in (("day", entry["day"]), ("month", entry["day"][:7])):
                        expected[whom, span, start, session["gpu_model"] or "", kind, name] += (
                            amount
                        )
    for session in sessions:
        if session["reserved_from"] is not None:
            for name, rate in rates(session).items():
                for whom in subjects(session):
                    key = (whom, "at-once", "", session["gpu_model"] or "", "reserved", name)
                    expected[key] += rate
        wrong += of_session(session, totals)
    found = {
        (row["subject"], row["span"], row["start"], row["gpu_model"], kind, name): row[
            f"{kind}_{name}"
        ]
        for row in usage
        for kind in ("settled", "reserved")
        for name in RESOURCES
    }
    for key in expected.keys() | found.keys():
        if found.get(key, 0) != expected[key]:
            wrong.append(f"{key}: the ledger says {expected[key]}, usage {found.get(key, 0)}")
    return wrong


def of_session(session: dict[str, Any], totals: Counter[tuple[str, str, str]]) -> list[str]:
    wrong = []
    if session["ended_at"] is not None and session["reserved_from"] is not None:
        wrong.append(f"{session['id']} ended and still reserves")
    if session["zone"] is None:
        return wrong
    bound, ended = ms(session["bound_at"]), ms(session["ended_at"])
    start, deadline = ms(session["reserved_from"]), ms(session["ends_at"])
    assert deadline is not None
    held = max(deadline - start, 0) if start is not None else 0
    if bound is None:
        used = 0
    elif start is not None:
        used = start - bound
    else:
        used = max(min(ended or 0, deadline) - bound, 0)
    for name, rate in rates(session).items():
        for kind, length in (("reserved", held), ("settled", used)):
            total = totals[session["id"], kind, name]
            if total != rate * length:
                wrong.append(
                    f"{session['id']} has {kind} {total} of {name}, should have {rate * length}"
                )
    return wrong


def rates(session: dict[str, Any]) -> dict[str, int]:
    granted = session["granted_percent"]
    return {
        "gpu": session["requested_percent"] if granted is None else granted,
        "cpu": session["cpu_millicores"],
        "memory": -(-session["memory_bytes"] // 2**20),
    }


def subjects(session: dict[str, Any]) -> list[str]:
    named = [("user", "owner"), ("project", "project"), ("queue", "queue")]
    named += [("group", "group_key"), ("organization", "organization")]
    return [f"{kind}:{session[column]}" for kind, column in named if session[column] is not None]


def ms(at: Any) -> int | None:
    """Return whole milliseconds; SQLite hands out text, PostgreSQL times."""
    if at is None:
        return None
    if isinstance(at, str):
        at = datetime.fromisoformat(at)
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    passed = at - EPOCH
    return (passed.days * 86_400 + passed.seconds) * 1000 + passed.microseconds // 1000
