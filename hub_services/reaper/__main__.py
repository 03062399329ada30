"""
``python -m hub_services.reaper``: the reaper as a service that the hub starts.

Wiring: settings come from the environment, the objects are put together, and the loop runs until
SIGTERM. It ends, too, when the hub that started it is gone, even by kill -9: the next hub starts a
reaper of its own, and the token of this one is no longer worth anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import aiohttp
from kubernetes_asyncio import config
from kubernetes_asyncio.client import ApiClient, Configuration

from eugospawner.policy.errors import ConfigError
from eugospawner.store import open_store
from hub_services.common import loop
from hub_services.common.clock import SystemClock
from hub_services.common.hub import Hub
from hub_services.reaper.cluster import Cluster
from hub_services.reaper.service import Reaper

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.store import Store

#: The hub's own poll of a server takes as long; so all agree within a minute or so.
INTERVAL: Final = timedelta(seconds=30)
#: The hub that starts us is about to answer its first requests.
FIRST: Final = timedelta(seconds=5)
_PARENT_LOOK: Final = timedelta(seconds=1)


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
        needed = ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN", "EUGO_DATABASE_URL")
        missing = [name for name in needed if not environment.get(name)]
        if missing:
            message = (
                f"Not set: {', '.join(missing)}. The hub sets JUPYTERHUB_… for its services; "
                "EUGO_DATABASE_URL stands in the service's `environment`"
            )
            raise ConfigError(message)
        return cls(
            hub_url=environment["JUPYTERHUB_API_URL"],
            hub_token=environment["JUPYTERHUB_API_TOKEN"],
            database_url=environment["EUGO_DATABASE_URL"],
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
        )


class Opened:
    """The store, opened when it is first needed and kept."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store: Store | None = None

    async def __call__(self) -> Store:
        """Return the store; raises `StoreError` if it cannot be opened now."""
        if self._store is None:
            self._store = await open_store(self._url)
        return self._store

    async def aclose(self) -> None:
        """Close it if it is open."""
        if self._store is not None:
            await self._store.close()


async def kubernetes() -> Configuration:
    """
    Return how to reach Kubernetes: from inside a Pod, else by KUBECONFIG.

    Raises:
        ConfigError: Neither is there.
    """
    found = Configuration()
    try:
        with contextlib.suppress(config.ConfigException):
            config.load_incluster_config(client_configuration=found)  # type: ignore[no-untyped-call]
            return found
        await config.load_kube_config(client_configuration=found)
    except (config.ConfigException, OSError) as error:
        message = f"No way to Kubernetes: set KUBECONFIG to a readable kubeconfig ({error})"
        raise ConfigError(message) from error
    return found


async def serve(settings: Settings, ended: asyncio.Event) -> None:
    """Sweep until *ended*."""
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await kubernetes()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        store = await stack.enter_async_context(contextlib.aclosing(Opened(settings.database_url)))
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
                tasks.create_task(_end_with_parent(os.getppid(), ended), name="parent"),
            ]
            await ended.wait()
            for task in running:
                task.cancel()


async def _end_with_parent(parent: int, ended: asyncio.Event) -> None:
    """Set *ended* once the process that started us is gone."""
    while os.getppid() == parent:
        await loop.sleep(_PARENT_LOOK)
    logging.getLogger(__name__).info("The hub that started this is gone; the next starts its own")
    ended.set()


async def main() -> int:
    """Run the service; return its exit code."""
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        await serve(Settings.of(os.environ), ended)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    logging.basicConfig(
        level=logging.INFO,
        format="[%(levelname).1s %(asctime)s reaper] %(message)s",
        datefmt="%Y-%m-%d %H:%M:%S",
    )
    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells what every look at it is
    sys.exit(asyncio.run(main()))
