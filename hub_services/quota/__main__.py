"""
``python -m hub_services.quota``: the quota service, started by the hub.

Wiring: the settings of the process come from the environment, the objects are put together; then pages
and API are served, the lease is renewed and sweeps are made until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import sys
import uuid
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from kubernetes_asyncio.client import ApiClient
from tornado import web
from tornado.httpserver import HTTPServer

from eugospawner.policy.errors import ConfigError
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from hub_services.common import api as apis
from hub_services.common import loop, process
from hub_services.common.clock import SystemClock
from hub_services.common.lease import INTERVAL as LEASE_INTERVAL
from hub_services.common.lease import Lease
from hub_services.common.mail import SmtpMail
from hub_services.common.metrics import SweepMetrics
from hub_services.common.web import (
    Auth,
    Callback,
    Health,
    Metrics,
    NotFound,
    close_hub_connections,
    cookie_secret,
)
from hub_services.quota import admin, api, members, pages
from hub_services.quota.asking import Asking
from hub_services.quota.cluster import Cluster
from hub_services.quota.inviting import Inviting
from hub_services.quota.office import Office
from hub_services.quota.service import Accountant
from hub_services.quota.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from hub_services.common.clock import Clock
    from hub_services.common.mail import Mail
    from hub_services.quota.service import Swept

_log: Final = logging.getLogger(__name__)

#: What runs is settled so often.
INTERVAL: Final = timedelta(minutes=1)
#: The hub that starts us is about to answer its first requests.
FIRST: Final = timedelta(seconds=5)
#: Without a sweep for so long, something is wrong.
_LATE: Final = 3 * INTERVAL
LEASE: Final = "eugo-quota"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the environment says."""

    service_url: str
    """JUPYTERHUB_SERVICE_URL: where to listen; the hub sets it."""

    prefix: str
    """JUPYTERHUB_SERVICE_PREFIX; the hub sets it."""

    database_url: str
    """EUGO_DATABASE_URL: the store."""

    catalog: Path
    """EUGO_CATALOG: catalog.yaml."""

    namespace: str
    """EUGO_NAMESPACE: where workspaces are; default: eugo."""

    unavailable: Mapping[str, Mapping[str, str]]
    """EUGO_UNAVAILABLE: why this deployment lacks *kinds* or *images*, as the hub is told; JSON."""

    public_url: str = ""
    """EUGO_PUBLIC_URL: the hub's address as people type it, for links in letters; empty: no links."""

    smtp_url: str = field(default="", repr=False)
    """EUGO_SMTP_URL: the mail server, as of `mail`; empty: there is none."""

    mail_from: str = ""
    """EUGO_MAIL_FROM: who sends."""

    def mail(self) -> Mail | None:
        """
        Return the mail server; `None`: there is none.

        Raises:
            ConfigError: Its address is none.
        """
        return SmtpMail.at(self.smtp_url, sender=self.mail_from) if self.smtp_url else None

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Settings:
        """
        Return the settings in *environment*.

        Raises:
            ConfigError: One is missing; all that are missing are named.
        """
        process.require(
            environment,
            (
                "JUPYTERHUB_API_URL",
                "JUPYTERHUB_API_TOKEN",
                "JUPYTERHUB_SERVICE_URL",
                "JUPYTERHUB_SERVICE_PREFIX",
                "EUGO_DATABASE_URL",
                "EUGO_CATALOG",
            ),
        )
        return cls(
            service_url=environment["JUPYTERHUB_SERVICE_URL"],
            prefix=environment["JUPYTERHUB_SERVICE_PREFIX"],
            database_url=environment["EUGO_DATABASE_URL"],
            catalog=Path(environment["EUGO_CATALOG"]),
            namespace=environment.get("EUGO_NAMESPACE") or "eugo",
            unavailable=_unavailable(environment.get("EUGO_UNAVAILABLE") or "{}"),
            public_url=environment.get("EUGO_PUBLIC_URL") or "",
            smtp_url=environment.get("EUGO_SMTP_URL") or "",
            mail_from=environment.get("EUGO_MAIL_FROM") or "",
        )


def _unavailable(text: str) -> dict[str, dict[str, str]]:
    try:
        found = json.loads(text)
        return {name: dict(found.get(name) or {}) for name in ("kinds", "images")}
    except (ValueError, TypeError, AttributeError) as error:
        message = (
            'EUGO_UNAVAILABLE is no JSON such as {"kinds": {"vscode": "Not here."}, "images": {}}'
        )
        raise ConfigError(message) from error


class Sweeper:
    """Sweeps, and knows how they went."""

    def __init__(
        self,
        sweep_once: Callable[[], Awaitable[Swept]],
        clock: Clock,
        silence: Callable[[], timedelta],
    ) -> None:
        self.metrics = SweepMetrics("quota")
        self._sweep_once = sweep_once
        self._clock = clock
        self._silence = silence
        self._last = clock.now()
        self._gauges = {
            name: self.metrics.gauge(name, help_text)
            for name, help_text in (
                ("running", "Bound sessions whose Pods were seen."),
                ("gpu_percent", "GPU percent that they hold."),
                ("doubts", "Places where cluster and store do not agree."),
                ("leader", "Whether this process holds the lease."),
            )
        }
        self._counters = {
            name: self.metrics.counter(name, help_text)
            for name, help_text in (
                ("bound", "Sessions bound that the hub had not bound."),
                ("settled", "Settlements."),
                ("renewed", "Deadlines that changed settings, or what is left, moved."),
                ("entries", "Entries of the ledger rolled up."),
            )
        }

    async def sweep_once(self) -> None:
        """Sweep, measure it, and raise what it raises."""
        with self.metrics.sweep() as acted:
            swept = await self._sweep_once()
            acted.append(swept.acted)
        self._last = self._clock.now()
        self._gauges["leader"].set(swept.acted)
        for name in ("running", "gpu_percent", "doubts"):
            self._gauges[name].set(getattr(swept, name))
        for name, counter in self._counters.items():
            counter.inc(getattr(swept, name))

    def problem(self) -> str:
        """Return what is wrong with the sweeps; empty: nothing."""
        late, silence = self._clock.now() - self._last, self._silence()
        if silence > _LATE:
            return f"the lease could not be read for {int(silence.total_seconds())} s"
        if late > _LATE:
            return f"no sweep has come through for {int(late.total_seconds())} s"
        return ""


def make_app(
    settings: Settings,
    *,
    office: Office,
    sweeper: Sweeper,
    store: process.Opened,
    mail: Mail | None = None,
) -> web.Application:
    """Return the application."""
    base, hub = settings.prefix, Auth.instance().hub_prefix
    prefix = f"{base}api/v1"
    steering, asking = Steering(office), Asking(office)
    inviting = Inviting(office, mail=mail, public_url=settings.public_url)
    desks = {"office": office, "steering": steering, "asking": asking}
    rooms = {"office": office, "steering": steering, "inviting": inviting}
    operations = api.operations(office, steering, asking, inviting)
    document = apis.describe(
        operations, title=api.TITLE, summary=api.SUMMARY, version=api.VERSION, url=prefix
    )

    async def health() -> str:
        try:
            await (await store()).ping()
        except Exception as error:  # noqa: BLE001 - whatever it is, that is the answer
            return f"the store: {error}"
        return sweeper.problem()

    return web.Application(
        [
            (base, pages.UsagePage, {"office": office}),
            (f"{base}admin", admin.AdminPage, desks),
            (f"{base}admin/audit", admin.AuditPage, desks),
            (f"{base}admin/([^/]+)", admin.SectionPage, desks),
            (f"{base}admin/([^/]+)/([^/]+)", admin.EntryPage, desks),
            (f"{base}members", members.MembersPage, rooms),
            (f"{base}members/([^/]+)/([^/]+)", members.MemberPage, rooms),
            (f"{base}usage.csv", pages.UsageSheet, {"office": office}),
            (f"{base}oauth_callback", Callback),
            (f"{base}health", Health, {"check": health}),
            (f"{base}metrics", Metrics, {"export": sweeper.metrics.export}),
            *apis.routes(prefix, operations, document),
        ],
        default_handler_class=NotFound,
        cookie_secret=cookie_secret(Auth.instance().api_token),
        prefix=base,
        navigation=pages.navigation(hub, base, office),
    )


async def main(environment: Mapping[str, str], ended: asyncio.Event) -> None:
    """Serve and sweep until *ended*."""
    settings, clock = Settings.of(environment), SystemClock()
    source = Source(settings.catalog, **settings.unavailable)
    gained = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await process.kubernetes()))
        store = await stack.enter_async_context(
            contextlib.aclosing(process.Opened(settings.database_url))
        )
        lease = Lease(
            client,
            settings.namespace,
            LEASE,
            identity=f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}",
            now=clock.now,
            gained=gained.set,
        )
        office = Office(source=source, open_store=store, clock=clock, slug=slug_of)
        accountant = Accountant(
            cluster=Cluster(client, settings.namespace),
            open_store=store,
            settings=office.last_good_settings,
            lease=lease,
            clock=clock,
            slug=slug_of,
        )
        sweeper = Sweeper(accountant.sweep_once, clock, lambda: lease.silence)
        server = HTTPServer(
            make_app(settings, office=office, sweeper=sweeper, store=store, mail=settings.mail()),
            xheaders=True,
            max_body_size=2 * apis.LARGEST_BODY,
        )
        where = urlsplit(settings.service_url)
        server.listen(where.port or 80, where.hostname or "127.0.0.1")
        _log.info("Answering at %s%s", settings.service_url, settings.prefix)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(loop.every(LEASE_INTERVAL, lease.renew_once), name="lease"),
                tasks.create_task(
                    loop.every(INTERVAL, sweeper.sweep_once, wakeup=gained, first=FIRST),
                    name="sweep",
                ),
                tasks.create_task(process.end_with_parent(os.getppid(), ended), name="parent"),
            ]
            await ended.wait()
            for task in running:
                task.cancel()
        server.stop()
        await server.close_all_connections()
        await close_hub_connections()
        await lease.release()


if __name__ == "__main__":
    sys.exit(process.run("quota", main))
