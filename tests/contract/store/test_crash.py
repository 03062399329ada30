"""Kill -9 in the middle of writes: what was acknowledged is there."""

import asyncio
import subprocess

from eugospawner.store import open_store
from tests.contract.store.values import check_sessions

WRITER = """
import asyncio, sys
from eugospawner.store import open_store
from tests.contract.store.values import NOON, a_session
from tests.factories.sessions import begin

async def caller(store, number):
    for n in range(10_000):
        name = f"{number}-{n}"
        await begin(store, a_session(name, workspace=str(number)))
        print(name, "open", flush=True)
        if n % 2:
            await store.sessions.end(name, reason="stopped", at=NOON)
            print(name, "stopped", flush=True)

async def main():
    store = await open_store(sys.argv[1])
    await asyncio.gather(*(caller(store, number) for number in range(16)))

asyncio.run(main())
"""


def test_what_was_acknowledged_survives_kill_9(url, python):
    writer = subprocess.Popen([python, "-c", WRITER, url], stdout=subprocess.PIPE, text=True)
    acknowledged = [writer.stdout.readline().split() for _ in range(500)]
    writer.kill()
    acknowledged += [line.split() for line in writer.stdout if line.endswith("\n")]
    writer.stdout.close()
    writer.wait()
    kept = {session.id: session for session in asyncio.run(sessions_in(url))}
    assert len(acknowledged) >= 500
    for name, state in acknowledged:
        assert name in kept
        if state == "stopped":
            assert kept[name].end_reason == "stopped"


async def sessions_in(url):
    store = await open_store(url)
    try:
        return await check_sessions(store, "alice")
    finally:
        await store.close()


FORGETFUL = """
import asyncio, sys
from eugospawner.store import open_store
from tests.contract.store.values import a_session
from tests.factories.sessions import begin

async def main():
    store = await open_store(sys.argv[1])
    await begin(store, a_session())
    asyncio.ensure_future(begin(store, a_session("s2")))

asyncio.run(main())
"""


def test_a_process_that_forgets_to_close_still_ends(url, python):
    done = subprocess.run(
        [python, "-c", FORGETFUL, url], timeout=30, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
