"""
The schema: bringing a database to the revision that this release knows, and telling which it has.

Migrations are Alembic's, one line of history in `migrations/versions`. Each works with the
release before it, so an upgrade may run while that one still serves. An upgrade is one transaction
on either database: all of it or nothing, and a second one that runs at the same time waits and
then finds nothing to do. Alembic is driven from here only; there is no `alembic.ini`.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError

from eugospawner.policy.errors import StoreError
from eugospawner.store.connect import database_at
from eugospawner.store.database import translated

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from sqlalchemy import Connection

    from eugospawner.store.database import Database

_Result = TypeVar("_Result")

_MIGRATIONS: Final = Path(__file__).parent / "migrations"


def upgrade(url: str) -> str:
    """
    Bring the database at *url* to this release's schema, and return its revision.

    Creates SQLite's file if there is none. May be called anywhere, inside a running event loop
    too: it works in a thread of its own and returns when it is done.

    Raises:
        StoreError: The database does not answer, or is of a newer release.
    """

    def work(config: Config) -> None:
        command.upgrade(config, "head")

    return _in_thread(_migrate(url, work, "bring its schema up to date", creating=True))


def downgrade(url: str, revision: str = "-1") -> str:
    """
    Take migrations back down to *revision*, and return it; an empty text means that none is left.

    What a migration added is lost with everything in it.

    Args:
        revision: A revision, a step such as ``-1``, or ``base`` for all.

    Raises:
        StoreError: The database does not answer, or there is no such revision.
    """

    def work(config: Config) -> None:
        command.downgrade(config, revision)

    return _in_thread(_migrate(url, work, f"take its schema back to {revision}", creating=False))


def current(url: str) -> str:
    """Return the revision of the database at *url*; empty: no migration was ever run there."""

    async def look() -> str:
        database = database_at(url)
        try:
            return await _revision(database)
        finally:
            await database.close()

    return _in_thread(look())


def head() -> str:
    """Return the revision that this release needs."""
    return ScriptDirectory.from_config(_config()).get_current_head() or ""


async def require_head(database: Database) -> None:
    """
    Return if *database* has this release's schema.

    Raises:
        StoreError: It has another; the message says what to do.
    """
    revision, wanted = await _revision(database), head()
    if revision == wanted:
        return
    if revision and not _is_known(revision):
        remedy = f"it is of a newer release; run that one, which knows revision {revision}"
    else:
        remedy = "run: python -m eugospawner.store upgrade"
    message = (
        f"The store {database.shown} has the schema {revision or 'of an empty database'}, "
        f"this release needs {wanted}: {remedy}"
    )
    raise StoreError(message)


async def _revision(database: Database) -> str:
    if not database.exists():
        return ""
    return await database.look("read its schema's revision", _revision_of)


def _revision_of(connection: Connection) -> str:
    return MigrationContext.configure(connection).get_current_revision() or ""


def _is_known(revision: str) -> bool:
    script = ScriptDirectory.from_config(_config())
    return revision in {known.revision for known in script.walk_revisions()}


async def _migrate(url: str, work: Callable[[Config], None], what: str, *, creating: bool) -> str:
    database = database_at(url)
    try:
        if creating:
            database.create()
        elif not database.exists():
            message = f"The store could not {what}: there is none at {database.shown}"
            raise StoreError(message)
        with translated(what):
            try:
                return await database.transact(lambda connection: _run(connection, work))
            except CommandError as error:
                message = f"The store could not {what}: {error}"
                raise StoreError(message) from error
    finally:
        await database.close()


def _run(connection: Connection, work: Callable[[Config], None]) -> str:
    config = _config()
    config.attributes["connection"] = connection
    work(config)
    return _revision_of(connection)


def _config() -> Config:
    config = Config()
    # A percent sign begins an interpolation in Alembic's options.
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _in_thread(work: Coroutine[None, None, _Result]) -> _Result:
    with ThreadPoolExecutor(max_workers=1, thread_name_prefix="store-schema") as pool:
        return pool.submit(asyncio.run, work).result()
