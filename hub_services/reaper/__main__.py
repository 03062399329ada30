"""
``python -m hub_services.reaper``: the reaper as a service that the hub starts.

Wiring: settings come from the environment, the objects are put together, and the loop runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient

from hub_services.common import loop, process, serving
from hub_services.common.clock import SystemClock, WitnessedClock
from hub_services.common.hub import Hub
from hub_services.common.serving import Place, Sweeper
from hub_services.reaper.closing import Closed, Closer
from hub_services.reaper.cluster import Cluster
from hub_services.reaper.service import Reaper, Swept

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hub_services.common.clock import Clock
    from hub_services.common.lease import Lease


#: The hub's own poll of a server takes as long; so all agree within a minute or so.
INTERVAL: Final = timedelta(seconds=30)
#: Beside the moments at which windows close.
CLOSING: Final = timedelta(seconds=15)
_LATE: Final = 6 * INTERVAL


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

    namespace: str
    """EUGO_NAMESPACE: where workspaces are; default: eugo."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """
        Return the settings in *environment*.

        Raises:
            ConfigError: One is missing; all that are missing are named.
        """
        process.require(environment, (*serving.FROM_THE_HUB, serving.LISTEN, "EUGO_DATABASE_URL"))
        return cls(
            hub_url=environment["JUPYTERHUB_API_URL"],
            hub_token=environment["JUPYTERHUB_API_TOKEN"],
            place=Place.of(environment),
            database_url=environment["EUGO_DATABASE_URL"],
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Acted:
    """What a sweep did, if this process holds the lease: orphans, then what was to end."""

    acted: bool
    orphans: Swept = field(default_factory=Swept)
    closing: Closed = field(default_factory=Closed)

    @property
    def reaped(self) -> int:
        """Pods that nobody answered for."""
        return self.orphans.reaped

    @property
    def ended(self) -> int:
        """Sessions that had no Pod any more."""
        return self.orphans.closed

    @property
    def dropped(self) -> int:
        """GPU claim templates that nobody needed."""
        return self.orphans.dropped

    @property
    def failed(self) -> int:
        """Acts that were tried again."""
        return self.orphans.failed + self.closing.failed

    @property
    def windows(self) -> int:
        """Sessions that ended with the window of their plan."""
        return self.closing.closed


def make_sweeper(
    lease: Lease,
    clock: Clock,
    *,
    orphans: Callable[[], Awaitable[Swept]],
    closing: Callable[[], Awaitable[Closed]],
) -> tuple[Sweeper, Callable[[], Awaitable[None]]]:
    """Return what sweeps for orphans, measured, and what closes windows; both if the lease is held."""
    closed = Closed()

    async def sweep() -> Acted:
        nonlocal closed
        if not lease.is_held:
            return Acted(acted=False)
        found, closed = Acted(acted=True, orphans=await orphans(), closing=closed), Closed()
        return found

    async def close() -> None:
        nonlocal closed
        if lease.is_held:
            now = await closing()
            closed = Closed(
                closed=closed.closed + now.closed,
                again=closed.again + now.again,
                labelled=closed.labelled + now.labelled,
                given_up=closed.given_up + now.given_up,
                failed=closed.failed + now.failed,
            )

    sweeper = Sweeper(
        "reaper",
        sweep,
        clock,
        lambda: lease.silence,
        late=_LATE,
        gauges={},
        counters={
            "reaped": "Pods that nobody answered for.",
            "ended": "Sessions that had no Pod any more.",
            "dropped": "GPU claim templates that nobody needed.",
            "windows": "Sessions that ended with the window of their plan.",
            "failed": "Acts that were tried again.",
        },
    )
    return sweeper, close


async def main(environment: Mapping[str, str], ended: asyncio.Event) -> None:
    """Serve and sweep until *ended*."""
    settings, clock = Settings.of(environment), WitnessedClock(SystemClock())
    gained, closes = asyncio.Event(), asyncio.Event()
    running = asyncio.get_running_loop()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await process.kubernetes()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        store = await stack.enter_async_context(
            contextlib.aclosing(process.Opened(settings.database_url))
        )
        cluster = Cluster(client, settings.namespace)
        hub = Hub(session, url=settings.hub_url, token=settings.hub_token)
        lease = serving.make_lease(client, settings.namespace, "reaper", clock, gained)
        reaper = Reaper(cluster=cluster, hub=hub, open_store=store, clock=clock)
        alarm: asyncio.TimerHandle | None = None

        def wake_in(delay: timedelta) -> None:
            nonlocal alarm
            if alarm is not None:
                alarm.cancel()
            alarm = running.call_later(max(delay.total_seconds(), 0), closes.set)

        closer = Closer(cluster=cluster, hub=hub, open_store=store, clock=clock, wakeup=wake_in)
        sweeper, close = make_sweeper(
            lease, clock, orphans=reaper.sweep_once, closing=closer.sweep_once
        )
        await serving.serve(
            settings.place,
            serving.make_app(settings.place, sweeper=sweeper, store=store),
            lease=lease,
            sweep_once=sweeper.sweep_once,
            interval=INTERVAL,
            wakeup=gained,
            ended=ended,
            more={
                "closing": lambda: loop.every(CLOSING, close, wakeup=closes, first=serving.FIRST)
            },
        )


if __name__ == "__main__":
    sys.exit(process.run("reaper", main))
