"""
Process: what every service needs around its own objects: environment, store, Kubernetes, its end.

A service runs until SIGTERM, and ends, too, when the hub that started it is gone, even by kill -9:
the next hub starts one of its own, and the token of this one is no longer worth anything.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from kubernetes_asyncio import config
from kubernetes_asyncio.client import Configuration

from eugospawner.policy.errors import ConfigError
from eugospawner.store import open_store
from hub_services.common import logs, loop

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from eugospawner.store import Store

_PARENT_LOOK: Final = timedelta(seconds=1)


def require(environment: Mapping[str, str], names: Iterable[str]) -> None:
    """
    Return if *environment* has something under each of *names*.

    Raises:
        ConfigError: It lacks some; all of them are named.
    """
    missing = [name for name in names if not environment.get(name)]
    if missing:
        message = (
            f"Not set: {', '.join(missing)}. The hub sets JUPYTERHUB_… for its services; "
            "EUGO_… stand in the service's `environment`"
        )
        raise ConfigError(message)


class Opened:
    """The store, opened when it is first needed and kept."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = asyncio.Lock()
        self._store: Store | None = None

    async def __call__(self) -> Store:
        """Return the store; raises `StoreError` if it cannot be opened now."""
        async with self._lock:
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


async def end_with_parent(parent: int, ended: asyncio.Event) -> None:
    """Set *ended* once the process that started us is gone."""
    while os.getppid() == parent:
        await loop.sleep(_PARENT_LOOK)
    logging.getLogger(__name__).info("The hub that started this is gone; the next starts its own")
    ended.set()


def run(name: str, serve: Callable[[Mapping[str, str], asyncio.Event], Awaitable[None]]) -> int:
    """
    Run the service *name* and return its exit code: 2 if a setting is missing or wrong.

    Args:
        serve: Given the environment and an event; returns after the event is set.
    """

    async def main() -> None:
        ended = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, ended.set)
        await serve(os.environ, ended)

    try:
        logs.configure(name, os.environ)
        asyncio.run(main())
    except ConfigError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0
