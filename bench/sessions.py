"""Writes running sessions into a store, many at once, without their admissions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import insert

from eugospawner.policy.catalog import Kind
from eugospawner.policy.lifecycle import State
from eugospawner.store.connect import database_at
from eugospawner.store.tables import SessionRow, WorkspaceRow, table_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection


def owner_of(number: int) -> str:
    """Return whose the session of this number is."""
    return f"user-{number:06}"


async def fill(url: str, started: datetime, each: Iterable[Mapping[str, Any]]) -> None:
    """Write a workspace and its running session for each of *each*, columns that differ."""
    workspaces, sessions = [], []
    for number, columns in enumerate(each):
        owner = owner_of(number)
        workspaces.append(
            {
                "owner": owner, "server": "", "project": "vision", "name": owner, "name_key": owner,
                "options": "{}", "created_at": started, "changed_at": started, "id": f"w{number}",
                "state": State.RUNNING, "since": started, "failures": 0,
                "session_id": f"s{number}",
            }
        )  # fmt: skip
        sessions.append(
            {
                "id": f"s{number}", "owner": owner, "workspace": "", "actor": owner,
                "project": "vision", "profile": "nb-gpu-l4", "flavor": "f", "kind": Kind.JUPYTERLAB,
                "queue": "default", "image": "i", "gpu_model": "L4", "gpu_count": 1,
                "sm_percent": 25, "requested_percent": 25, "granted_percent": 25,
                "cpu_millicores": 4000, "memory_bytes": 2**34, "pod_name": f"jupyter-{owner}",
                "admitted_at": started, "bound_at": started, "zone": "Europe/Berlin",
                "extended_ms": 0, **columns,
            }
        )  # fmt: skip

    def write(connection: Connection) -> None:
        connection.execute(insert(table_of(WorkspaceRow)), workspaces)
        connection.execute(insert(table_of(SessionRow)), sessions)

    database = database_at(url)
    await database.transact(write)
    await database.close()
