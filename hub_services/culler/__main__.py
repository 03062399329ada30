"""
``python -m hub_services.culler``: the culler, started by the hub.

Wiring: settings come from the environment, the objects are put together; then health and metrics are served, the
lease is renewed and sweeps are made until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient

from eugospawner.policy.errors import ConfigError
from eugospawner.source import Source
from hub_services.common import process, serving
from hub_services.common.clock import SystemClock, WitnessedClock
from hub_services.common.hub import Hub
from hub_services.common.newest import Newest
from hub_services.common.serving import Place, Sweeper
from hub_services.culler.prometheus import Prometheus
from hub_services.culler.service import Culler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hub_services.common.clock import Clock
    from hub_services.culler.service import Swept

#: Nobody runs longer than this past their end.
INTERVAL: Final = timedelta(seconds=30)
_LATE: Final = 6 * INTERVAL
_AT_WORK_PERCENT: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    hub_url: str
    """JUPYTERHUB_API_URL; the hub sets it."""

    hub_token: str
    """JUPYTERHUB_API_TOKEN; the hub sets it."""

    place: Place
    """EUGO_LISTEN: where health and metrics are."""

    database_url: str
    """EUGO_DATABASE_URL: the store."""

    catalog: Path
    """EUGO_CATALOG: catalog.yaml."""

    namespace: str
    """EUGO_NAMESPACE: where workspaces are; default: eugo."""

    prometheus_url: str
    """EUGO_PROMETHEUS_URL: where the use of GPUs is known; empty: nowhere."""

    at_work_percent: float
    """EUGO_GPU_AT_WORK_PERCENT: from this use of a GPU on it is at work; default: 5."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """
        Return the settings in *environment*.

        Raises:
            ConfigError: One is missing or wrong; all that are missing are named.
        """
        process.require(
            environment,
            (*serving.FROM_THE_HUB, serving.LISTEN, "EUGO_DATABASE_URL", "EUGO_CATALOG"),
        )
        return cls(
            hub_url=environment["JUPYTERHUB_API_URL"],
            hub_token=environment["JUPYTERHUB_API_TOKEN"],
            place=Place.of(environment),
            database_url=environment["EUGO_DATABASE_URL"],
            catalog=Path(environment["EUGO_CATALOG"]),
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
            prometheus_url=environment.get("EUGO_PROMETHEUS_URL") or "",
            at_work_percent=_percent(environment.get("EUGO_GPU_AT_WORK_PERCENT") or ""),
        )


def _percent(text: str) -> float:
    try:
        found = float(text) if text else _AT_WORK_PERCENT
    except ValueError:
        found = 0.0
    if not 0 < found <= 100:  # noqa: PLR2004 - percent
        message = f"EUGO_GPU_AT_WORK_PERCENT is {text!r}: write a number above 0, 100 at most"
        raise ConfigError(message)
    return found


def make_sweeper(
    sweep_once: Callable[[], Awaitable[Swept]], clock: Clock, silence: Callable[[], timedelta]
) -> Sweeper:
    """Return what sweeps and measures it."""
    return Sweeper(
        "culler",
        sweep_once,
        clock,
        silence,
        late=_LATE,
        gauges={
            "due": "Sessions that were looked at.",
            "listed": "Sessions that would have been stopped, where idleness is only listed.",
        },
        counters={
            "stopped": "Stops that the hub was asked for.",
            "spared": "Sessions that somebody kept a moment before.",
            "deleted": "Entries of long-stopped workspaces that went.",
            "failed": "Acts that were tried again.",
        },
    )


async def main(environment: Mapping[str, str], ended: asyncio.Event) -> None:
    """Serve and sweep until *ended*."""
    settings, clock = Settings.of(environment), WitnessedClock(SystemClock())
    gained = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await process.kubernetes()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        store = await stack.enter_async_context(
            contextlib.aclosing(process.Opened(settings.database_url))
        )
        newest = Newest(Source(settings.catalog, kinds={}, images={}), store)
        lease = serving.make_lease(client, settings.namespace, "culler", clock, gained)
        culler = Culler(
            open_store=store,
            settings=newest.last_good,
            hub=Hub(session, url=settings.hub_url, token=settings.hub_token),
            lease=lease,
            clock=clock,
            utilisation=Prometheus(
                session, url=settings.prometheus_url, namespace=settings.namespace
            )
            if settings.prometheus_url
            else None,
            at_work_percent=settings.at_work_percent,
        )
        sweeper = make_sweeper(culler.sweep_once, clock, lambda: lease.silence)
        await serving.serve(
            settings.place,
            serving.make_app(settings.place, sweeper=sweeper, store=store),
            lease=lease,
            sweep_once=sweeper.sweep_once,
            interval=INTERVAL,
            wakeup=gained,
            ended=ended,
        )


if __name__ == "__main__":
    sys.exit(process.run("culler", main))
