"""A real store of a test's own, copied from one that was made once."""

import pytest

from eugospawner.store import open_store, upgrade


@pytest.fixture(scope="session")
def migrated(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture
async def store(migrated, tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_bytes(migrated.read_bytes())
    opened = await open_store(f"sqlite:///{path}")
    yield opened
    await opened.close()
