"""One suite for every database that the store can live in; each test has one of its own."""

import itertools
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from eugospawner.store import open_store, upgrade
from tests.contract.store import postgres

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server():
    """A PostgreSQL server, with a migrated database `migrated` to copy."""
    # Short, for the path of a socket has 107 characters at most.
    folder = Path(tempfile.mkdtemp(prefix="eugo-pg-"))
    try:
        try:
            running = postgres.Server(folder)
        except (postgres.CannotRun, OSError) as error:
            pytest.skip(f"PostgreSQL cannot run here: {error}")
        try:
            running.create("migrated")
            upgrade(running.url("migrated"))
            yield running
        finally:
            running.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("sqlite") / "migrated.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(params=["sqlite", "postgresql"], scope="session")
def dialect(request):
    return request.param


@pytest.fixture(scope="session")
def new_url(request, dialect, tmp_path_factory):
    """A function that returns the URL of a new database, migrated or empty."""

    def new(*, migrated: bool) -> str:
        if dialect == "postgresql":
            server = request.getfixturevalue("server")
            name = f"test{next(_numbers)}"
            server.create(name, "migrated" if migrated else "template0")
            return server.url(name)
        path = tmp_path_factory.mktemp("sqlite") / "store.sqlite"
        if migrated:
            shutil.copy2(request.getfixturevalue("migrated_file"), path)
        return f"sqlite+aiosqlite:///{path}"

    return new


@pytest.fixture
def empty_url(new_url):
    return new_url(migrated=False)


@pytest.fixture
def url(new_url):
    return new_url(migrated=True)


@pytest.fixture
async def store(url):
    store = await open_store(url)
    yield store
    await store.close()


@pytest.fixture
def python():
    """The interpreter, for tests that need a process of their own."""
    return sys.executable
