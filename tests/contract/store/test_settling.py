"""The minute's sweep over a database whose server crashes: nothing is charged twice, nothing never."""

import asyncio
import contextlib
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.settings import Settings
from eugospawner.store import open_store
from hub_services.quota.service import Accountant
from tests.contract.store.consistency import check_ledger_consistency
from tests.contract.store.values import a_session
from tests.factories import a_catalog
from tests.factories.accounts import a_directory
from tests.factories.sessions import begin
from tests.unit.hub_services.quota.worlds import FakeCluster, FakeLease, a_running_pod
from tests.unit.hub_services.reaper.fakes import FakeClock

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SESSIONS = 40


@pytest.mark.parametrize("dialect", ["postgresql"], indirect=True, scope="session")
async def test_a_server_that_crashes_under_the_sweeps_makes_them_late_and_nothing_else(url, server):
    """SQLite has no server: there the process is killed (tests/integration/hub)."""
    store, clock = await open_store(url), FakeClock(NOON)
    pods = [
        a_running_pod(session=f"s{number}", created_at=NOON, ready_at=NOON)
        for number in range(SESSIONS)
    ]
    for number in range(SESSIONS):
        await begin(store, a_session(f"s{number}", workspace=f"w{number}", admitted_at=NOON))
        await store.sessions.bind(f"s{number}", granted_percent=25, at=NOON)

    async def opened():
        return store

    async def settings():
        return Settings(catalog=a_catalog(), directory=a_directory())

    accountant = Accountant(
        cluster=FakeCluster(pods),
        open_store=opened,
        settings=settings,
        lease=FakeLease(),
        clock=clock,
        slug=lambda name: name,
    )
    server.kill()
    try:
        with pytest.raises(StoreError):
            await accountant.sweep_once()
    finally:
        server.start()
    for _ in range(3):  # and wherever it hits
        crash = asyncio.ensure_future(asyncio.to_thread(server.crash))
        after = 5  # sweeps, once the server is there again
        while after:
            clock.time += SECOND
            with contextlib.suppress(StoreError):
                await accountant.sweep_once()
            after -= crash.done()
            await asyncio.sleep(0.02)
        await crash
    await accountant.sweep_once()
    await check_ledger_consistency(store)
    used = 25 * (clock.time - NOON) // timedelta(milliseconds=1)
    consumed = await store.consumption.of(
        Subject(SubjectKind.USER, "alice"), first_day="2026-11-24", last_day="2026-11-24"
    )
    assert [each.used.settled.gpu for each in consumed] == [used] * SESSIONS
    await store.close()
