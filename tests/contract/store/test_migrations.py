"""One line of history, up and down, and the models are what it leads to."""

import asyncio
import re
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import CheckConstraint, inspect, text

from eugospawner.policy.errors import StoreError
from eugospawner.store import open_store, schema, upgrade
from eugospawner.store.connect import database_at
from eugospawner.store.tables import Base

TABLES = {
    "alembic_version", "sessions", "volumes", "usage", "ledger", "changes", "audit", "workspaces",
    "consumption", "marks", "refusals", "identities", "provider_sessions", "logout_tokens",
    "invitations", "former_workspaces", "deployment_logs", "exports",
    "shares", "measures", "resizes",
}  # fmt: skip


def look(url, at):
    async def run():
        database = database_at(url)
        try:
            return await database.look("look", at)
        finally:
            await database.close()

    return asyncio.run(run())


def execute(url, statement):
    async def run():
        database = database_at(url)
        try:
            await database.transact(lambda connection: connection.execute(text(statement)))
        finally:
            await database.close()

    asyncio.run(run())


def tables(url):
    return set(look(url, lambda connection: inspect(connection).get_table_names()))


def test_history_has_one_head_and_says_why():
    script = ScriptDirectory.from_config(schema._config())
    assert len(script.get_heads()) == 1
    for migration in script.walk_revisions():
        name = Path(migration.path).name
        assert re.fullmatch(rf"{migration.revision}_[a-z]+_[a-z_]+\.py", name)
        assert len(migration.module.__doc__.strip().splitlines()) >= 3, name


def test_up_and_down_and_up_again(empty_url):
    assert tables(empty_url) == set()
    assert upgrade(empty_url) == schema.head() == schema.current(empty_url)
    assert tables(empty_url) == TABLES
    assert schema.downgrade(empty_url, "base") == schema.current(empty_url) == ""
    assert tables(empty_url) == {"alembic_version"}
    assert upgrade(empty_url) == schema.head()
    assert upgrade(empty_url) == schema.head()


def test_the_models_are_the_schema(url):
    def differences(connection):
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        return compare_metadata(context, Base.metadata)

    assert look(url, differences) == []


def test_every_check_of_the_models_is_in_the_schema(url, empty_url):
    """Alembic does not compare CHECKs: compare what the database says of either."""

    def checks(connection):
        seen = inspect(connection)
        return {
            (table, check["name"]): check["sqltext"]
            for table in Base.metadata.tables
            for check in seen.get_check_constraints(table)
        }

    async def create():
        database = database_at(empty_url)
        await database.transact(Base.metadata.create_all)
        await database.close()

    asyncio.run(create())
    migrated = look(url, checks)
    assert migrated == look(empty_url, checks)
    constraints = [c for t in Base.metadata.tables.values() for c in t.constraints]
    assert len(migrated) == sum(isinstance(c, CheckConstraint) for c in constraints)


def test_upgrades_at_the_same_time_wait_for_each_other(empty_url):
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(upgrade, [empty_url] * 4)) == {schema.head()}


async def test_upgrade_may_be_called_inside_a_running_loop(empty_url):
    assert upgrade(empty_url) == schema.head()


async def test_a_store_without_schema_says_what_to_run(empty_url):
    with pytest.raises(StoreError, match=r"run: python -m eugospawner\.store upgrade"):
        await open_store(empty_url)


async def test_a_store_of_a_newer_release_is_left_alone(url):
    await asyncio.to_thread(execute, url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreError, match="newer release"):
        await open_store(url)
    with pytest.raises(StoreError, match="9999"):
        upgrade(url)


def test_a_migration_that_fails_leaves_nothing(empty_url):
    execute(empty_url, "CREATE TABLE sessions (id INTEGER)")
    with pytest.raises(StoreError, match=r"schema up to date: .*sessions.* already exists"):
        upgrade(empty_url)
    assert tables(empty_url) == {"sessions"}


def test_only_its_owner_can_read_a_file(tmp_path):
    path = tmp_path / "store.sqlite"
    upgrade(f"sqlite:///{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_opening_creates_no_file(tmp_path):
    with pytest.raises(StoreError, match="empty database"):
        await open_store(f"sqlite:///{tmp_path / 'store.sqlite'}")
    assert list(tmp_path.iterdir()) == []
