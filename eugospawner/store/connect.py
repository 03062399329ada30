"""From a URL to the database that it names; the only place that knows both kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eugospawner.store.database import parse_url
from eugospawner.store.postgresql import Postgresql
from eugospawner.store.sqlite import Sqlite

if TYPE_CHECKING:
    from eugospawner.store.database import Database


def database_at(url: str) -> Database:
    """
    Return the database at *url*; nothing is opened yet.

    Raises:
        StoreError: The URL is wrong.
    """
    parsed = parse_url(url)
    return Sqlite(parsed) if parsed.get_backend_name() == "sqlite" else Postgresql(parsed)
