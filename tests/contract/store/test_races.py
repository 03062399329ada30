"""
The last unit goes to exactly one, whoever asks from wherever: promise 2.

Coroutines of one process are in `test_ledger.py`; here are threads with a loop each, processes of
their own, processes that are killed, and a server that crashes in the middle.
"""

import asyncio
import json
import subprocess
import threading
import time

import pytest

from eugospawner.store import open_store
from tests.contract.store.consistency import check_ledger_consistency
from tests.contract.store.racing import race

STARTS = 256
RACER = """
import asyncio, json, sys
from tests.contract.store.racing import race
url, first, count, sessions = sys.argv[1], *map(int, sys.argv[2:])
print(json.dumps(asyncio.run(race(url, range(first, first + count), sessions=sessions, patient=True))))
"""


def racer(python, url, first, count, sessions):
    command = [python, "-c", RACER, url, *map(str, (first, count, sessions))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


async def count_open(url):
    store = await open_store(url)
    try:
        return len(await store.sessions.open_sessions())
    finally:
        await store.close()


async def judge(url):
    """Check the ledger and return how many sessions are open."""
    store = await open_store(url)
    try:
        await check_ledger_consistency(store)
    finally:
        await store.close()
    return await count_open(url)


def test_of_256_in_threads_exactly_one_gets_the_last_unit(url):
    admitted, each = [], STARTS // 8

    def run(first):
        admitted.extend(asyncio.run(race(url, range(first, first + each))))

    threads = [threading.Thread(target=run, args=(n * each,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(admitted) == 1
    assert asyncio.run(judge(url)) == 1


def test_of_256_in_processes_exactly_one_gets_the_last_unit(url, python):
    each = STARTS // 4
    racers = [racer(python, url, n * each, each, 1) for n in range(4)]
    said = [racer.communicate(timeout=60)[0] for racer in racers]
    assert sum(len(json.loads(text)) for text in said) == 1
    assert asyncio.run(judge(url)) == 1


def test_a_racer_that_is_killed_leaves_no_reservation_without_its_session(url, python):
    running = racer(python, url, 0, 20_000, 20_000)
    while not asyncio.run(count_open(url)):
        assert running.poll() is None
    running.kill()
    running.communicate()
    assert 0 < asyncio.run(judge(url)) < 20_000


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True, scope="session")
async def test_a_server_that_crashes_in_the_middle_admits_no_more_and_loses_none(url, server):
    racing = asyncio.ensure_future(race(url, range(4000), sessions=2000, patient=True))
    while not await count_open(url):
        assert not racing.done()
    before = await count_open(url)
    await asyncio.to_thread(server.crash)
    admitted = await racing
    assert 0 < before < 2000  # it was in the middle
    assert len(admitted) == 2000
    assert await judge(url) == 2000


@pytest.mark.nightly
@pytest.mark.timeout(1800)
def test_of_a_hundred_thousand_exactly_as_many_as_fit(url, python, record_property):
    """From four processes; the rate is told for whoever asks."""
    each, room = 25_000, 60_000
    began = time.perf_counter()
    racers = [racer(python, url, n * each, each, room) for n in range(4)]
    said = [running.communicate(timeout=1500)[0] for running in racers]
    seconds = time.perf_counter() - began
    assert sum(len(json.loads(text)) for text in said) == room
    assert asyncio.run(judge(url)) == room
    record_property("admissions_per_second", round(4 * each / seconds))
    print(f"{4 * each} in {seconds:.0f} s, {room} admitted")  # noqa: T201
