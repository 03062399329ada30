"""
``python -m hub_services.reaper``: the reaper as a service that the hub starts.

Wiring: settings come from the environment, the objects are put together, and the loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient

from hub_services.common import loop, process
from hub_services.common.clock import SystemClock
from hub_services.common.hub import Hub
from hub_services.reaper.cluster import Cluster
from hub_services.reaper.service import Reaper

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The hub's own poll of a server takes as long; so all agree within a minute or so.
INTERVAL: Final = timedelta(seconds=30)
#: The hub that starts us is about to answer its first requests.
FIRST: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    hub_url: str
    """JUPYTERHUB_API_URL; the hub sets it."""

    hub_token: str
    """JUPYTERHUB_API_TOKEN; the hub sets it."""

    database_url: str
    """EUGO_DATABASE_URL: the store."""

    namespace: str
    """EUGO_NAMESPACE: where workspaces are; default: eugo."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """
        Return the settings in *environment*.

        Raises:
            ConfigError: One is missing; all that are missing are named.
        """
        process.require(
            environment, ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "EUGO_DATABASE_URL")
        )
        return cls(
            hub_url=environment["JUPYTERHUB_API_URL"],
            hub_token=environment["JUPYTERHUB_API_TOKEN"],
            database_url=environment["EUGO_DATABASE_URL"],
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
        )


async def main(environment: Mapping[str, str], ended: asyncio.Event) -> None:
    """Sweep until *ended*."""
    settings = Settings.of(environment)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await process.kubernetes()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        store = await stack.enter_async_context(
            contextlib.aclosing(process.Opened(settings.database_url))
        )
        reaper = Reaper(
            cluster=Cluster(client, settings.namespace),
            hub=Hub(session, url=settings.hub_url, token=settings.hub_token),
            open_store=store,
            clock=SystemClock(),
        )
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(
                    loop.every(INTERVAL, reaper.sweep_once, first=FIRST), name="sweep"
                ),
                tasks.create_task(process.end_with_parent(os.getppid(), ended), name="parent"),
            ]
            await ended.wait()
            for task in running:
                task.cancel()


if __name__ == "__main__":
    sys.exit(process.run("reaper", main))
