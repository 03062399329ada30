"""
``python -m hub_services.workspaces``: the workspaces service, started by the hub.

Wiring: settings come from the environment, the objects are put together; then the API is served, the lease is
renewed and sweeps are made until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import aiohttp
from kubernetes_asyncio.client import ApiClient

from eugospawner.policy.errors import EugoError
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from hub_services.common import api as apis
from hub_services.common import process, serving
from hub_services.common.clock import SystemClock, WitnessedClock
from hub_services.common.hub import Hub
from hub_services.common.newest import Newest
from hub_services.common.serving import Place, Sweeper
from hub_services.workspaces import api
from hub_services.workspaces.anchors import AnchorFile
from hub_services.workspaces.auditing import Auditing
from hub_services.workspaces.cluster import Cluster
from hub_services.workspaces.ending import Ended, Terminator
from hub_services.workspaces.office import Office
from hub_services.workspaces.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tornado import web

    from hub_services.common.clock import Clock

_log: Final = logging.getLogger(__name__)

#: A termination waits for its Pod; whoever looks at it should not wait long.
INTERVAL: Final = timedelta(seconds=5)
_LATE: Final = timedelta(minutes=3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    hub_url: str
    """JUPYTERHUB_API_URL; the hub sets it."""

    hub_token: str
    """JUPYTERHUB_API_TOKEN; the hub sets it."""

    place: Place
    """JUPYTERHUB_SERVICE_URL and JUPYTERHUB_SERVICE_PREFIX; the hub sets them."""

    database_url: str
    """EUGO_DATABASE_URL: the store."""

    catalog: Path
    """EUGO_CATALOG: catalog.yaml."""

    namespace: str
    """EUGO_NAMESPACE: where workspaces are; default: eugo."""

    anchor: Path | None
    """EUGO_AUDIT_ANCHOR: file to which the end of the audit is written; absent: nowhere."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """
        Return the settings in *environment*.

        Raises:
            ConfigError: One is missing; all that are missing are named.
        """
        process.require(
            environment,
            (*serving.FROM_THE_HUB, *serving.FOR_PEOPLE, "EUGO_DATABASE_URL", "EUGO_CATALOG"),
        )
        anchor = environment.get("EUGO_AUDIT_ANCHOR")
        return cls(
            hub_url=environment["JUPYTERHUB_API_URL"],
            hub_token=environment["JUPYTERHUB_API_TOKEN"],
            place=Place.of(environment),
            database_url=environment["EUGO_DATABASE_URL"],
            catalog=Path(environment["EUGO_CATALOG"]),
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
            anchor=Path(anchor) if anchor else None,
        )


def make_sweeper(
    sweep_once: Callable[[], Awaitable[Ended]], clock: Clock, silence: Callable[[], timedelta]
) -> Sweeper:
    """Return what sweeps and measures it."""
    return Sweeper(
        "workspaces",
        sweep_once,
        clock,
        silence,
        late=_LATE,
        gauges={
            "terminating": "Workspaces that are being destroyed.",
            "waiting": "Those of them that wait for something to go.",
        },
        counters={
            "terminated": "Workspaces that were destroyed.",
            "given_up": "Terminations that failed.",
            "stopped": "Stops that the hub was asked for.",
            "failed": "Acts that were tried again.",
        },
    )


def make_app(
    place: Place, *, office: Office, auditing: Auditing, sweeper: Sweeper, store: process.Opened
) -> web.Application:
    """Return the application."""
    prefix = f"{place.prefix}api/v1"
    operations = api.operations(office, auditing)
    document = apis.describe(
        operations, title=api.TITLE, summary=api.SUMMARY, version=api.VERSION, url=prefix
    )
    return serving.make_app(
        place, sweeper=sweeper, store=store, routes=apis.routes(prefix, operations, document)
    )


def sweep_of(terminator: Terminator, auditing: Auditing) -> Callable[[], Awaitable[Ended]]:
    """Return a sweep that goes on with what is to end, and keeps the end of the audit outside."""

    async def sweep() -> Ended:
        ended = await terminator.sweep_once()
        if ended.acted:
            try:
                await auditing.anchor()
            except EugoError as error:
                _log.warning("%s", error)
        return ended

    return sweep


async def main(environment: Mapping[str, str], ended: asyncio.Event) -> None:
    """Serve and sweep until *ended*."""
    settings, clock = Settings.of(environment), WitnessedClock(SystemClock())
    wakeup = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await process.kubernetes()))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        store = await stack.enter_async_context(
            contextlib.aclosing(process.Opened(settings.database_url))
        )
        newest = Newest(Source(settings.catalog, kinds={}, images={}), store)
        lease = serving.make_lease(client, settings.namespace, "workspaces", clock, wakeup)
        office = Office(
            newest=newest,
            open_store=store,
            clock=clock,
            slug=slug_of,
            relay=Relay(session, url=settings.hub_url),
            wake=wakeup.set,
        )
        auditing = Auditing(
            newest=newest,
            open_store=store,
            clock=clock,
            anchors=None if settings.anchor is None else AnchorFile(settings.anchor),
        )
        terminator = Terminator(
            cluster=Cluster(client, settings.namespace),
            hub=Hub(session, url=settings.hub_url, token=settings.hub_token),
            open_store=store,
            clock=clock,
            is_held=lambda: lease.is_held,
        )
        sweeper = make_sweeper(sweep_of(terminator, auditing), clock, lambda: lease.silence)
        await serving.serve(
            settings.place,
            make_app(
                settings.place, office=office, auditing=auditing, sweeper=sweeper, store=store
            ),
            lease=lease,
            sweep_once=sweeper.sweep_once,
            interval=INTERVAL,
            wakeup=wakeup,
            ended=ended,
        )


if __name__ == "__main__":
    sys.exit(process.run("workspaces", main))
