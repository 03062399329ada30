"""
``python -m hub_services.quota``: the quota service, started by the hub.

Wiring: the settings of the process come from the environment, the objects are put together; then pages
and API are served, the lease is renewed and sweeps are made until SIGTERM.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kubernetes_asyncio.client import ApiClient

from eugospawner.policy.errors import ConfigError
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from hub_services.common import api as apis
from hub_services.common import process, serving
from hub_services.common.clock import SystemClock, WitnessedClock
from hub_services.common.mail import SmtpMail
from hub_services.common.serving import Place, Sweeper
from hub_services.common.web import Auth
from hub_services.quota import admin, api, members, pages
from hub_services.quota.asking import Asking
from hub_services.quota.cluster import Cluster
from hub_services.quota.inviting import Inviting
from hub_services.quota.office import Office
from hub_services.quota.service import Accountant
from hub_services.quota.steering import Steering

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from tornado import web

    from hub_services.common.clock import Clock
    from hub_services.common.mail import Mail
    from hub_services.quota.service import Swept

#: What runs is settled so often.
INTERVAL: Final = timedelta(minutes=1)
#: Without a sweep for so long, something is wrong.
_LATE: Final = 3 * INTERVAL


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

    has_exports: bool = False
    """EUGO_HAS_EXPORTS: whether there is an export service, to which the bar leads; empty: no."""

    @property
    def place(self) -> Place:
        """Where the service listens."""
        return Place(url=self.service_url, prefix=self.prefix)

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
            (*serving.FROM_THE_HUB, *serving.FOR_PEOPLE, "EUGO_DATABASE_URL", "EUGO_CATALOG"),
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
            has_exports=bool(environment.get("EUGO_HAS_EXPORTS")),
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

    return serving.make_app(
        settings.place,
        sweeper=sweeper,
        store=store,
        routes=[
            (base, pages.UsagePage, {"office": office}),
            (f"{base}admin", admin.AdminPage, desks),
            (f"{base}admin/audit", admin.AuditPage, desks),
            (f"{base}admin/audit.csv", admin.AuditSheet, desks),
            (f"{base}admin/([^/]+)", admin.SectionPage, desks),
            (f"{base}admin/([^/]+)/([^/]+)", admin.EntryPage, desks),
            (f"{base}members", members.MembersPage, rooms),
            (f"{base}members/([^/]+)/([^/]+)", members.MemberPage, rooms),
            (f"{base}usage.csv", pages.UsageSheet, {"office": office}),
            *apis.routes(prefix, operations, document),
        ],
        navigation=pages.navigation(hub, base, office, has_exports=settings.has_exports),
    )


def make_sweeper(
    sweep_once: Callable[[], Awaitable[Swept]], clock: Clock, silence: Callable[[], timedelta]
) -> Sweeper:
    """Return what sweeps and measures it."""
    return Sweeper(
        "quota",
        sweep_once,
        clock,
        silence,
        late=_LATE,
        gauges={
            "running": "Bound sessions whose Pods were seen.",
            "gpu_percent": "GPU percent that they hold.",
            "doubts": "Places where cluster and store do not agree.",
        },
        counters={
            "bound": "Sessions bound that the hub had not bound.",
            "settled": "Settlements.",
            "renewed": "Deadlines that changed settings, or what is left, moved.",
            "entries": "Entries of the ledger rolled up.",
        },
    )


async def main(environment: Mapping[str, str], ended: asyncio.Event) -> None:
    """Serve and sweep until *ended*."""
    settings, clock = Settings.of(environment), WitnessedClock(SystemClock())
    source = Source(settings.catalog, **settings.unavailable)
    gained = asyncio.Event()
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ApiClient(await process.kubernetes()))
        store = await stack.enter_async_context(
            contextlib.aclosing(process.Opened(settings.database_url))
        )
        lease = serving.make_lease(client, settings.namespace, "quota", clock, gained)
        office = Office(source=source, open_store=store, clock=clock, slug=slug_of)
        accountant = Accountant(
            cluster=Cluster(client, settings.namespace),
            open_store=store,
            settings=office.last_good_settings,
            lease=lease,
            clock=clock,
            slug=slug_of,
        )
        sweeper = make_sweeper(accountant.sweep_once, clock, lambda: lease.silence)
        await serving.serve(
            settings.place,
            make_app(settings, office=office, sweeper=sweeper, store=store, mail=settings.mail()),
            lease=lease,
            sweep_once=sweeper.sweep_once,
            interval=INTERVAL,
            wakeup=gained,
            ended=ended,
        )


if __name__ == "__main__":
    sys.exit(process.run("quota", main))
