"""
``python -m hub_services.export``: the export service, started by the hub.

Wiring: settings come from the environment, the objects are put together; then pages and API are served, the lease is
renewed and sweeps are made until SIGTERM.
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

from eugospawner.policy.catalog import DEFAULT_QUEUE
from eugospawner.policy.errors import ConfigError
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from hub_services.common import api as apis
from hub_services.common import process, serving
from hub_services.common.clock import SystemClock, WitnessedClock
from hub_services.common.newest import Newest
from hub_services.common.serving import Place, Sweeper
from hub_services.common.web import Auth
from hub_services.export import api, pages, uploads
from hub_services.export.cluster import Cluster
from hub_services.export.exporters import Exporters, Means
from hub_services.export.lounge import Lounge
from hub_services.export.measuring import Measurer
from hub_services.export.office import Office
from hub_services.export.resizing import Resizer
from hub_services.export.restoring import Restorer
from hub_services.export.service import Preparer, Rounds, Swept
from hub_services.export.storeroom import Storeroom

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tornado import web

    from hub_services.common.clock import Clock

#: Whoever waits for an export has it prepared at once; this is for what was left behind.
INTERVAL: Final = timedelta(seconds=10)
_LATE: Final = timedelta(minutes=3)
_MOST_HOURS: Final = 24 * 366


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    place: Place
    """JUPYTERHUB_SERVICE_URL and JUPYTERHUB_SERVICE_PREFIX; the hub sets them."""

    database_url: str
    """EUGO_DATABASE_URL: the store."""

    catalog: Path
    """EUGO_CATALOG: catalog.yaml."""

    namespace: str
    """EUGO_NAMESPACE: where workspaces are; default: eugo."""

    image: str
    """EUGO_EXPORTER_IMAGE: image of the Pods that read volumes; it has Python 3 and this package."""

    storage_class: str
    """EUGO_STORAGE_CLASS: StorageClass of projects' new volumes; default: the cluster's."""

    measure_every: timedelta | None
    """EUGO_MEASURE_HOURS: how old a measure may be of a volume in use; default: 24; 0: none is made unasked."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """
        Return the settings in *environment*.

        Raises:
            ConfigError: One is missing, all that are missing are named; or one is no number of hours.
        """
        needed = ("EUGO_DATABASE_URL", "EUGO_CATALOG", "EUGO_EXPORTER_IMAGE")
        told = environment.get("EUGO_MEASURE_HOURS") or "24"
        if not told.isdecimal() or int(told) > _MOST_HOURS:
            message = f"EUGO_MEASURE_HOURS is {told!r}: write whole hours, 0 to {_MOST_HOURS}"
            raise ConfigError(message)
        process.require(environment, (*serving.FROM_THE_HUB, *serving.FOR_PEOPLE, *needed))
        return cls(
            place=Place.of(environment),
            database_url=environment["EUGO_DATABASE_URL"],
            catalog=Path(environment["EUGO_CATALOG"]),
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
            image=environment["EUGO_EXPORTER_IMAGE"],
            storage_class=environment.get("EUGO_STORAGE_CLASS", ""),
            measure_every=timedelta(hours=int(told)) or None,
        )


def make_sweeper(
    sweep_once: Callable[[], Awaitable[Swept]], clock: Clock, silence: Callable[[], timedelta]
) -> Sweeper:
    """Return what sweeps and measures it."""
    return Sweeper(
        "export",
        sweep_once,
        clock,
        silence,
        late=_LATE,
        gauges={
            "preparing": "Exports that are being prepared.",
            "pods": "Pods that read volumes.",
            "measuring": "Volumes that are being measured.",
        },
        counters={
            "removed": "Pods that were deleted.",
            "given_up": "Exports that were not prepared in time.",
            "resized": "Volumes whose new size Kubernetes was told.",
        },
    )


def make_app(
    place: Place,
    *,
    office: Office,
    lounge: Lounge,
    storeroom: Storeroom,
    restorer: Restorer,
    exporters: Exporters,
    newest: Newest,
    sweeper: Sweeper,
    store: process.Opened,
) -> web.Application:
    """Return the application."""
    base, hub = place.prefix, Auth.instance().hub_prefix
    prefix = f"{base}api/v1"
    operations = api.operations(office, lounge, storeroom, restorer)
    document = apis.describe(
        operations, title=api.TITLE, summary=api.SUMMARY, version=api.VERSION, url=prefix
    )
    desk = {"office": office, "lounge": lounge, "newest": newest}
    shared = {"lounge": lounge, "newest": newest}
    fetched = {"office": office, "exporters": exporters}
    return serving.make_app(
        place,
        sweeper=sweeper,
        store=store,
        routes=[
            (base, pages.ExportsPage, desk),
            (f"{base}exports/([^/]+)", pages.ExportPage, desk),
            (f"{base}download/([^/]+)/([^/]+)/([^/]+)", pages.Download, fetched),
            (f"{base}shares", pages.SharesPage, {"lounge": lounge}),
            (f"{base}shared/([^/]+)", pages.SharedPage, shared),
            (f"{base}shared/([^/]+)/document", pages.SharedDocument, {"lounge": lounge}),
            (f"{base}volumes", pages.VolumesPage, {"storeroom": storeroom, "newest": newest}),
            (
                f"{base}volumes/([^/]+)/([^/]+)",
                pages.VolumePage,
                {"storeroom": storeroom, "newest": newest},
            ),
            (f"{base}restore", uploads.RestorePage, {"restorer": restorer}),
            (f"{prefix}/restores", uploads.RestoreRoute, {"restorer": restorer}),
            *apis.routes(prefix, operations, document),
        ],
        navigation=pages.navigation(hub, base),
        first="Exports",
    )


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

        async def priority_class() -> str:
            return (await newest.last_good()).catalog.queues[DEFAULT_QUEUE].priority_class

        cluster = Cluster(client, settings.namespace)
        means = Means(image=settings.image, priority_class=priority_class, slug=slug_of)
        exporters = Exporters(cluster, session, means)
        lease = serving.make_lease(client, settings.namespace, "export", clock, wakeup)
        office = Office(
            newest=newest,
            open_store=store,
            exporters=exporters,
            clock=clock,
            slug=slug_of,
            prefix=settings.place.prefix,
            wake=wakeup.set,
        )
        lounge = Lounge(
            newest=newest,
            open_store=store,
            lives=office.lives,
            exporters=exporters,
            clock=clock,
            prefix=settings.place.prefix,
        )
        measurer = Measurer(
            open_store=store,
            exporters=exporters,
            cluster=cluster,
            clock=clock,
            every=settings.measure_every,
        )
        resizer = Resizer(open_store=store, cluster=cluster, clock=clock)
        storeroom = Storeroom(
            newest=newest,
            open_store=store,
            cluster=cluster,
            resizer=resizer,
            clock=clock,
            slug=slug_of,
            storage_class=settings.storage_class,
            wake=wakeup.set,
        )
        restorer = Restorer(office=office, open_store=store, exporters=exporters, clock=clock)
        preparer = Preparer(
            open_store=store,
            exporters=exporters,
            cluster=cluster,
            lease=lease,
            clock=clock,
            errands=lambda: measurer.errands,
        )
        rounds = Rounds(preparer, measurer, resizer)
        sweeper = make_sweeper(rounds.sweep_once, clock, lambda: lease.silence)
        try:
            await serving.serve(
                settings.place,
                make_app(
                    settings.place,
                    office=office,
                    lounge=lounge,
                    storeroom=storeroom,
                    restorer=restorer,
                    exporters=exporters,
                    newest=newest,
                    sweeper=sweeper,
                    store=store,
                ),
                lease=lease,
                sweep_once=sweeper.sweep_once,
                interval=INTERVAL,
                wakeup=wakeup,
                ended=ended,
            )
        finally:
            await measurer.close()
            await preparer.close()


if __name__ == "__main__":
    sys.exit(process.run("export", main))
