"""The store as a whole: URLs, outages, loops, threads."""

import asyncio
import threading

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store import open_store, upgrade
from eugospawner.store.connect import database_at
from tests.contract.store.values import NOON, a_session
from tests.factories.sessions import begin


async def test_ping_answers(store):
    await store.ping()


async def test_a_store_belongs_to_one_loop(store):
    async def elsewhere():
        with pytest.raises(StoreError, match="another event loop"):
            await begin(store, a_session())
        with pytest.raises(StoreError, match="another event loop"):
            await store.sessions.get("s1")

    thread = threading.Thread(target=asyncio.run, args=[elsewhere()])
    thread.start()
    await asyncio.to_thread(thread.join)
    await store.ping()


async def test_reads_do_not_wait_for_a_writer_elsewhere_but_writes_do(store, url):
    await begin(store, a_session())
    began, may_end = threading.Event(), threading.Event()

    async def hold():
        database = database_at(url)
        await database.transact(lambda _: (began.set(), may_end.wait(30)))
        await database.close()

    thread = threading.Thread(target=lambda: asyncio.run(hold()))
    thread.start()
    await asyncio.to_thread(began.wait)
    waiting = asyncio.create_task(store.sessions.end("s1", reason="stopped", at=NOON))
    for _ in range(5):
        assert (await store.sessions.get("s1")).ended_at is None
    assert not waiting.done()
    may_end.set()
    assert await waiting is True
    await asyncio.to_thread(thread.join)


async def test_a_file_that_is_no_database_is_told_in_words(tmp_path):
    path = tmp_path / "store.sqlite"
    path.write_text("not a database" * 100)
    with pytest.raises(StoreError, match="file is not a database"):
        await open_store(f"sqlite:///{path}")
    with pytest.raises(StoreError, match="file is not a database"):
        await asyncio.to_thread(upgrade, f"sqlite:///{path}")


async def test_a_folder_that_is_missing_is_told_in_words(tmp_path):
    with pytest.raises(StoreError, match=r"could not create the file .*No such file or directory"):
        await asyncio.to_thread(upgrade, f"sqlite:///{tmp_path}/missing/store.sqlite")


async def test_a_server_that_is_not_there_is_told_without_its_password(tmp_path):
    url = f"postgresql+asyncpg://eugo:s3cret@/store?host={tmp_path}"
    with pytest.raises(StoreError, match="could not read its schema's revision") as caught:
        await open_store(url)
    assert "s3cret" not in str(caught.value)


async def test_a_store_outlives_the_connections_to_its_server(server):
    server.create("restarted", "migrated")
    store = await open_store(server.url("restarted"))
    await begin(store, a_session())
    await store.sessions.get("s1")
    server.cut("restarted")
    await store.ping()
    server.cut("restarted")
    assert await store.sessions.end("s1", reason="stopped", at=NOON) is True
    await store.close()
