"""
Serving: what a service that sweeps and listens is made of: lease, loop, health, metrics, and its end.

One process of several acts: the one that holds the Lease of the namespace. All of them listen, for health and
metrics and for whatever pages and routes the service has. Source: design §7.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

from tornado import web
from tornado.httpserver import HTTPServer

import hub_services
from hub_services.common import loop, process
from hub_services.common.lease import INTERVAL as LEASE_INTERVAL
from hub_services.common.lease import Lease
from hub_services.common.metrics import SweepMetrics
from hub_services.common.web import (
    LARGEST_BODY,
    Auth,
    Callback,
    Health,
    Metrics,
    NotFound,
    close_hub_connections,
    cookie_secret,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from typing import Any

    from kubernetes_asyncio.client import ApiClient

    from eugospawner.policy.accounts import Actor
    from hub_services.common.clock import Clock, WitnessedClock

_log: Final = logging.getLogger(__name__)

#: The hub that starts us is about to answer its first requests.
FIRST: Final = timedelta(seconds=5)
#: What the hub sets for every service, and for one that people reach through its proxy.
FROM_THE_HUB: Final = ("JUPYTERHUB_API_URL", "JUPYTERHUB_API_TOKEN")
FOR_PEOPLE: Final = ("JUPYTERHUB_SERVICE_URL", "JUPYTERHUB_SERVICE_PREFIX")
#: Where a service listens that people do not reach.
LISTEN: Final = "EUGO_LISTEN"
#: What a service listens on, where others ask for it at an address that is not its machine's.
BIND: Final = "EUGO_BIND"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """
    Where a service is asked.

    Attributes:
        url: Its own, without the hub's proxy.
        prefix: That of its addresses below the hub's.
        bind: What it listens on, at the port of *url*: an address, or ``*`` for all; empty: the host of *url*.
    """

    url: str
    prefix: str
    bind: str = ""

    @property
    def listens_on(self) -> tuple[int, str]:
        """Port and address, as `HTTPServer.listen` has them."""
        where = urlsplit(self.url)
        address = self.bind or where.hostname or "127.0.0.1"
        return where.port or 80, "" if address == "*" else address

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Place:
        """Return the place in *environment*: as the hub names it, else `EUGO_LISTEN` itself."""
        bind = environment.get(BIND, "")
        if LISTEN in environment:
            return cls(url=environment[LISTEN], prefix="/", bind=bind)
        return cls(
            url=environment["JUPYTERHUB_SERVICE_URL"],
            prefix=environment["JUPYTERHUB_SERVICE_PREFIX"],
            bind=bind,
        )


class Swept(Protocol):
    """What a sweep tells of itself; numbers are read from it by name."""

    @property
    def acted(self) -> bool: ...  # noqa: D102


class Sweeper:
    """
    Sweeps, measures, and knows how it went.

    Args:
        gauges: Numbers of the last sweep that are shown, by name, with what they are.
        counters: Numbers of each sweep that are added up, likewise.
        late: Without a sweep for so long, something is wrong.
    """

    def __init__(
        self,
        service: str,
        sweep_once: Callable[[], Awaitable[Swept]],
        clock: Clock,
        silence: Callable[[], timedelta],
        *,
        late: timedelta,
        gauges: Mapping[str, str],
        counters: Mapping[str, str],
    ) -> None:
        self.metrics = SweepMetrics(service)
        self._sweep_once = sweep_once
        self._clock = clock
        self._silence = silence
        self._late = late
        self._last = clock.now()
        self._ahead = self.metrics.gauge(
            "clock_ahead_seconds", "By how much the machine's clock is ahead of Kubernetes'."
        )
        self._leader = self.metrics.gauge("leader", "Whether this process holds the lease.")
        self._gauges = {name: self.metrics.gauge(name, about) for name, about in gauges.items()}
        self._counters = {
            name: self.metrics.counter(name, about) for name, about in counters.items()
        }

    async def sweep_once(self) -> None:
        """Sweep, measure it, and raise what it raises."""
        with self.metrics.sweep() as acted:
            swept = await self._sweep_once()
            acted.append(swept.acted)
        self._last = self._clock.now()
        self._leader.set(swept.acted)
        self._ahead.set(self._clock.ahead.total_seconds())
        for name, gauge in self._gauges.items():
            gauge.set(getattr(swept, name))
        for name, counter in self._counters.items():
            counter.inc(getattr(swept, name))

    def problem(self) -> str:
        """Return what is wrong with the sweeps; empty: nothing."""
        late, silence = self._clock.now() - self._last, self._silence()
        if silence > self._late:
            return f"the lease could not be read for {int(silence.total_seconds())} s"
        if late > self._late:
            return f"no sweep has come through for {int(late.total_seconds())} s"
        return ""


def make_lease(
    client: ApiClient, namespace: str, service: str, clock: WitnessedClock, gained: asyncio.Event
) -> Lease:
    """Return the lease of *service* in *namespace*, whose answers *clock* hears."""
    return Lease(
        client,
        namespace,
        f"eugo-{service}",
        identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}",
        now=clock.now,
        gained=gained.set,
        witness=lambda date, waited: clock.hear(date, waited=waited),
    )


def make_app(
    place: Place,
    *,
    sweeper: Sweeper,
    store: process.Opened,
    routes: Sequence[Any] = (),
    navigation: Callable[[Actor | None], Sequence[object]] = lambda _actor: (),
    first: str = "Your usage",
) -> web.Application:
    """
    Return the application: *routes*, health, metrics, and the end of signing in.

    Args:
        navigation: What the bar of its pages shows to whom.
        first: What its first page is called by others that lead to it.
    """

    async def health() -> str:
        try:
            await (await store()).ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, that is the answer
            return f"the store: {error}"
        return sweeper.problem()

    base = place.prefix
    return web.Application(
        [
            (f"{base}oauth_callback", Callback),
            (f"{base}health", Health, {"check": health}),
            (f"{base}metrics", Metrics, {"export": sweeper.metrics.export}),
            *routes,
        ],
        default_handler_class=NotFound,
        cookie_secret=cookie_secret(Auth.instance().api_token),
        prefix=base,
        navigation=navigation,
        first=first,
    )


async def serve(
    place: Place,
    app: web.Application,
    *,
    lease: Lease,
    sweep_once: Callable[[], Awaitable[object]],
    interval: timedelta,
    wakeup: asyncio.Event,
    ended: asyncio.Event,
    more: Mapping[str, Callable[[], Awaitable[object]]] | None = None,
) -> None:
    """
    Listen, renew the lease and sweep until *ended*.

    Args:
        wakeup: Set it, and the next sweep begins at once.
        more: Other things that go on meanwhile, by name.
    """
    server = HTTPServer(app, xheaders=True, max_body_size=2 * LARGEST_BODY)
    server.listen(*place.listens_on)
    _log.info("Answering at %s%s", place.url, place.prefix)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(loop.every(LEASE_INTERVAL, lease.renew_once), name="lease"),
            tasks.create_task(
                loop.every(interval, sweep_once, wakeup=wakeup, first=FIRST), name="sweep"
            ),
            tasks.create_task(
                process.end_with_parent(hub_services.STARTED_BY, ended), name="parent"
            ),
            *(tasks.create_task(_awaited(run), name=name) for name, run in (more or {}).items()),
        ]
        await ended.wait()
        for task in running:
            task.cancel()
    server.stop()
    await server.close_all_connections()
    await close_hub_connections()
    await lease.release()


async def _awaited(run: Callable[[], Awaitable[object]]) -> None:
    await run()
