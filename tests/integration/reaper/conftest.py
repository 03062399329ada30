"""A reaper on the run's cluster and hub, which are the demo's."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import aiohttp
import pytest
from kubernetes_asyncio import config

from eugospawner.store import open_store
from hub_services.common.hub import Hub as HubClient
from hub_services.reaper.cluster import Cluster
from hub_services.reaper.service import Reaper

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eugospawner.store import Store
    from tests.integration.hub.hubs import Hub


@dataclass
class ClockAhead:
    """Shows the time that it will be: so a grace has passed without waiting for it."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead  # noqa: TID251 - a clock


@pytest.fixture
def clock() -> ClockAhead:
    return ClockAhead()


@pytest.fixture
async def store(hub: Hub) -> AsyncIterator[Store]:
    """The hub's own store."""
    opened = await open_store(f"sqlite:///{hub.demo.data / 'store.sqlite'}")
    yield opened
    await opened.close()


@pytest.fixture
async def reaper(hub: Hub, store: Store, clock: ClockAhead) -> AsyncIterator[Reaper]:
    """A reaper with the hub's permissions in the cluster, and not one more."""
    kubeconfig = str(hub.demo.data / "hub.kubeconfig")
    ready = hub.demo.ready

    async def opened() -> Store:
        return store

    async with (
        await config.new_client_from_config(kubeconfig) as client,
        aiohttp.ClientSession() as session,
    ):
        yield Reaper(
            cluster=Cluster(client, ready["namespace"]),
            hub=HubClient(session, url=f"{ready['url']}/hub/api", token=ready["admin_token"]),
            open_store=opened,
            clock=clock,
        )
