"""
The store: what the product must remember, in SQLite or PostgreSQL.

One module per domain (`sessions`, `volumes`), each a small class whose methods take and return
frozen values, never rows. The store remembers and keeps invariants that hold for every writer
(one open session per workspace, the first end wins); it decides nothing else. A write is durable
before its caller goes on, and concurrent writes share one transaction (`writer`). Whatever goes
wrong below comes out as `eugospawner.policy.errors.StoreError`.

Open it once per process with `open_store`, on the event loop that uses it; bring the schema up
to date before with `upgrade` or ``python -m eugospawner.store upgrade``. Source: design §4.
"""

from __future__ import annotations

from eugospawner.store.schema import upgrade
from eugospawner.store.sessions import NewSession, Session, Sessions
from eugospawner.store.store import Brief, Store, open_store
from eugospawner.store.volumes import Volumes
from eugospawner.store.workspaces import Wish, Workspace

__all__ = [
    "Brief",
    "NewSession",
    "Session",
    "Sessions",
    "Store",
    "Volumes",
    "Wish",
    "Workspace",
    "open_store",
    "upgrade",
]
