"""
Pages: take files of a workspace away, with JavaScript and without.

An export that is being prepared, or sent, shows how far it is; without JavaScript the page is loaded again by itself.
Source: F85; L8; screen "Export" of the features.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote

import aiohttp
from pydantic import ValidationError
from tornado.iostream import StreamClosedError

from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.errors import Barred
from hub_services.common.problems import DoorReason, Fault
from hub_services.common.web import Page, fault_of
from hub_services.export import models
from hub_services.export.choosing import form_of
from hub_services.export.exporter.render import POLICY
from hub_services.export.exporters import ExportError
from hub_services.export.office import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from eugospawner.policy.accounts import Actor
    from eugospawner.store.exports import Export
    from hub_services.common.newest import Newest
    from hub_services.export.exporters import Exporters
    from hub_services.export.lounge import Lounge
    from hub_services.export.office import Office
    from hub_services.export.storeroom import Storeroom

_TYPES: Final = {
    "zip": "application/zip",
    "html": "text/html; charset=utf-8",
    "pdf": "application/pdf",
}
_log: Final = logging.getLogger(__name__)


class Link(NamedTuple):
    """A place in the navigation."""

    text: str
    href: str


def navigation(hub: str, base: str) -> Callable[[Actor | None], Sequence[Link]]:
    """Return what the bar shows to whom."""

    def shown(actor: Actor | None) -> Sequence[Link]:
        links = [Link("Home", f"{hub}home"), Link("Token", f"{hub}token")]
        usage = f"{base.removesuffix('export/')}quota/"
        if actor is not None and actor.is_admin:
            links.append(Link("Admin", f"{hub}admin"))
        return [
            *links,
            Link("Usage", usage),
            Link("Volumes", f"{base}volumes"),
            Link("Exports", base),
        ]

    return shown


class _ExportPage(Page):
    def initialize(self, office: Office, lounge: Lounge, newest: Newest) -> None:
        """Take over who answers."""
        self._office = office
        self._lounge = lounge
        self._newest = newest

    async def zone(self) -> str:
        """Return the zone in which times are shown."""
        return (await self._newest.last_good()).catalog.zone


class ExportsPage(_ExportPage):
    """What somebody took, and the form for more."""

    async def get(self) -> None:
        """Show it."""
        await self._show(chosen=self.get_query_argument("workspace", ""))

    async def post(self) -> None:
        """Record what is wanted, and go to its page."""
        owner, _, server = self.get_body_argument("workspace", "").partition("/")
        folder = self.get_body_argument("folder", "").strip()
        what = self.get_body_argument("what", "notebooks")
        try:
            new = models.NewExport(
                owner=owner or None,
                server=server or DEFAULT,
                folder=folder,
                everything=what == "everything",
                format=what if what in {"html", "pdf"} else "zip",
            )
            made = await self._office.create(self.actor, new)
        except ValidationError as error:
            first = error.errors()[0]
            detail = f"{first['loc'][0]}: {first['msg']}."
            await self._refuse(Fault(DoorReason.MALFORMED, detail))
        except (Barred, Fault) as error:
            await self._refuse(fault_of(error))
        else:
            self.redirect(f"{self.settings['prefix']}exports/{made.id}", status=303)

    async def _refuse(self, fault: Fault) -> None:
        self.set_status(fault.status)
        await self._show(
            chosen=self.get_body_argument("workspace", ""),
            folder=self.get_body_argument("folder", ""),
            what=self.get_body_argument("what", ""),
            fault=fault,
        )

    async def _show(
        self, *, chosen: str, folder: str = "", what: str = "", fault: Fault | None = None
    ) -> None:
        workspaces = [
            (f"{each.owner}/{each.server or DEFAULT}", each.name)
            for each in await self._office.workspaces(self.actor)
        ]
        zone = await self.zone()
        self.render_page(
            "exports.html",
            exports=(await self._office.listed(self.actor)).exports,
            shares=await self._lounge.listed(self.actor),
            workspaces=workspaces,
            chosen=chosen,
            folder=folder,
            what=what or "notebooks",
            problem=None if fault is None else fault.to_problem(),
            home_path=(await self._newest.last_good()).catalog.storage.home_path,
            when=lambda at: local(at, zone),
        )


class ExportPage(_ExportPage):
    """One export."""

    async def get(self, identifier: str) -> None:
        """Show it."""
        zone = await self.zone()
        found = await self._office.one(self.actor, _path(identifier))
        directory = (await self._newest.last_good()).directory
        person = directory.people.get(self.actor.name)
        groups = sorted(person.groups) if person else []
        organization = directory.organizations.get(person.organization) if person else None
        self.render_page(
            "export.html",
            export=found,
            groups=[
                (key, directory.groups[key].display_name)
                for key in groups
                if key in directory.groups
            ],
            organization=None if organization is None else organization.display_name,
            when=lambda at: local(at, zone),
        )

    async def post(self, identifier: str) -> None:
        """Revoke it."""
        await self._office.revoke(self.actor, _path(identifier))
        self.redirect(f"{self.settings['prefix']}exports/{identifier}", status=303)


def _path(identifier: str) -> models.ExportPath:
    try:
        return models.ExportPath(id=identifier)
    except ValidationError as error:
        raise Fault(DoorReason.NOT_FOUND, "There is no such export.") from error


class _VolumePage(Page):
    def initialize(self, storeroom: Storeroom, newest: Newest) -> None:
        """Take over who answers."""
        self._storeroom = storeroom
        self._newest = newest

    async def when(self) -> Callable[[datetime], str]:
        """Return how times are shown."""
        zone = (await self._newest.last_good()).catalog.zone
        return lambda at: local(at, zone)


class VolumesPage(_VolumePage):
    """Volumes, how large and how full they are."""

    async def get(self) -> None:
        """Show one's own, somebody's, or everybody's."""
        owner = self.get_query_argument("owner", "").strip()
        await self._show(owner, everybody=bool(self.get_query_argument("everybody", "")))

    async def post(self) -> None:
        """Make a volume for a project."""
        typed = {
            name: self.get_body_argument(name, "").strip() for name in ("project", "key", "size")
        }
        try:
            made = await self._storeroom.create(self.actor, models.NewVolume(**typed))
        except ValidationError:
            problem = (
                "Choose a project, and name the volume with lower-case letters, digits and hyphens."
            )
            await self._show("", typed=typed, fault=Fault(DoorReason.MALFORMED, problem))
        except (Barred, Fault) as error:
            await self._show("", typed=typed, fault=fault_of(error))
        else:
            self.redirect(f"{self.settings['prefix']}volumes/{made.place}", status=303)

    async def _show(
        self,
        owner: str,
        *,
        everybody: bool = False,
        typed: Mapping[str, str] | None = None,
        fault: Fault | None = None,
    ) -> None:
        try:
            query = models.VolumesQuery(owner=owner or None, everybody=everybody)
        except ValidationError as error:
            message = "There is nobody with this name."
            raise Fault(DoorReason.NOT_FOUND, message) from error
        if fault is not None:
            self.set_status(fault.status)
        self.render_page(
            "volumes.html",
            typed=typed or {},
            problem=None if fault is None else fault.to_problem(),
            makes_for=await self._storeroom.makes_for(self.actor),
            found=await self._storeroom.listed(self.actor, query),
            owner=owner if owner != self.actor.name else "",
            everybody=everybody,
            sees_others=await self._storeroom.sees_others(self.actor),
            when=await self.when(),
        )


class VolumePage(_VolumePage):
    """One volume."""

    async def get(self, owner: str, volume: str) -> None:
        """Show it."""
        await self._show(_volume_path(owner, volume))

    async def post(self, owner: str, volume: str) -> None:
        """Do what the pressed button says."""
        path = _volume_path(owner, volume)
        if self.get_body_argument("action", "") == "measure":
            await self._storeroom.measure(self.actor, path)
        else:
            size = self.get_body_argument("size", "").strip()
            try:
                await self._storeroom.resize(self.actor, path, models.NewSize(size=size))
            except ValidationError:
                fault = Fault(DoorReason.MALFORMED, "Write a size, for example 20Gi.")
                await self._show(path, size=size, fault=fault)
                return
            except (Barred, Fault) as error:
                await self._show(path, size=size, fault=fault_of(error))
                return
        place = f"{quote(path.owner, safe='')}/{path.volume}"
        self.redirect(f"{self.settings['prefix']}volumes/{place}", status=303)

    async def _show(
        self, path: models.VolumePath, *, size: str = "", fault: Fault | None = None
    ) -> None:
        found = await self._storeroom.one(self.actor, path)
        if fault is not None:
            self.set_status(fault.status)
        self.render_page(
            "volume.html",
            volume=found,
            size=size,
            problem=None if fault is None else fault.to_problem(),
            when=await self.when(),
        )


def _volume_path(owner: str, volume: str) -> models.VolumePath:
    try:
        return models.VolumePath(owner=owner, volume=volume)
    except ValidationError as error:
        raise Fault(DoorReason.NOT_FOUND, "There is no such volume.") from error


class SharesPage(Page):
    """Where a share is made and taken back; what there is stands on the page of exports."""

    def initialize(self, lounge: Lounge) -> None:
        """Take over who answers."""
        self._lounge = lounge

    async def post(self) -> None:
        """Do what the pressed button says."""
        if self.get_body_argument("action", "") == "revoke":
            await self._lounge.revoke(self.actor, _share_path(self.get_body_argument("id", "")))
            self.redirect(f"{self.settings['prefix']}#eugo-shares", status=303)
            return
        try:
            new = models.NewShare(
                export=self.get_body_argument("export", ""),
                people=_names(self.get_body_argument("people", "")),
                groups=self.get_body_arguments("group"),
                organization=bool(self.get_body_argument("organization", "")),
                days=int(self.get_body_argument("days", "7")),
            )
        except (ValidationError, ValueError) as error:
            message = "Write user names with commas between them, and 1 to 90 days."
            raise Fault(DoorReason.MALFORMED, message) from error
        made = await self._lounge.create(self.actor, new)
        self.redirect(made.page, status=303)


def _names(text: str) -> list[str]:
    return [name for each in text.split(",") if (name := each.strip())]


class SharedPage(Page):
    """What somebody shares, for whom it is."""

    def initialize(self, lounge: Lounge, newest: Newest) -> None:
        """Take over who answers."""
        self._lounge = lounge
        self._newest = newest

    async def get(self, identifier: str) -> None:
        """Show it."""
        share = await self._lounge.read(self.actor, _share_path(identifier))
        zone = (await self._newest.last_good()).catalog.zone
        policy = str(self._headers.get("Content-Security-Policy"))
        self.set_header("Content-Security-Policy", f"{policy}; frame-src 'self'")
        self.render_page("shared.html", share=share, when=lambda at: local(at, zone))


class SharedDocument(Page):
    """The document of a share: in its frame, or to be kept."""

    def initialize(self, lounge: Lounge) -> None:
        """Take over who answers."""
        self._lounge = lounge

    async def get(self, identifier: str) -> None:
        """Send it."""
        share, document = await self._lounge.open(self.actor, _share_path(identifier))
        is_kept = share.form != "html" or bool(self.get_query_argument("keep", ""))
        self.set_header("Content-Type", _TYPES[share.form])
        self.set_header("Content-Security-Policy", f"sandbox; {POLICY}; frame-ancestors 'self'")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Content-Disposition", _disposition(share.name, is_kept=is_kept))
        self.finish(document)


def _share_path(identifier: str) -> models.SharePath:
    try:
        return models.SharePath(id=identifier)
    except ValidationError as error:
        raise Fault(DoorReason.NOT_FOUND, "There is no such share.") from error


def _disposition(name: str, *, is_kept: bool) -> str:
    kind = "attachment" if is_kept else "inline"
    return f"{kind}; filename=\"{name}\"; filename*=UTF-8''{quote(name)}"


class Download(Page):
    """Where an export is fetched."""

    first = "Create a new export"

    def initialize(self, office: Office, exporters: Exporters) -> None:
        """Take over who answers."""
        self._office = office
        self._exporters = exporters

    def _request_summary(self) -> str:
        """Return what is logged: a link without what makes it one."""
        before, _, rest = super()._request_summary().partition("/download/")
        return f"{before}/download/{rest.partition('/')[0]}/…"

    async def get(self, identifier: str, signature: str, _name: str) -> None:
        """Send it, as it is made."""
        export = await self._office.fetch(self.actor, identifier, signature)
        about = {
            "export": export.id, "owner": export.owner, "server": export.server,
            "created_at": export.created_at.isoformat(), "choice": export.choice,
        }  # fmt: skip
        try:
            async with self._exporters.archive(export, about) as chunks:
                self._say_what_it_is(export)
                async for chunk in chunks:
                    self.write(chunk)
                    await self.flush()
        except StreamClosedError:
            _log.info("Whoever fetched the export %s has gone", export.id)
            return
        except aiohttp.ClientError as error:
            if not self._headers_written:
                raise Fault(
                    DoorReason.EXPORT_FAILED, f"The export broke off: {error}. Try again."
                ) from error
            # An end that is no end is all that can still be said.
            _log.warning("The export %s broke off: %s", export.id, error)
            self.request.connection.stream.close()  # type: ignore[union-attr]
            return
        except ExportError as error:
            raise Fault(DoorReason.EXPORT_FAILED, str(error)) from error
        await self._office.fetched(export)

    def _say_what_it_is(self, export: Export) -> None:
        # What people wrote is never a page of ours: it is kept, not shown, and if shown may do nothing.
        self.set_header("Content-Type", _TYPES[form_of(export.choice)])
        self.set_header("Content-Security-Policy", f"sandbox; {POLICY}; frame-ancestors 'none'")
        self.set_header("Content-Disposition", _disposition(export.name, is_kept=True))
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Accel-Buffering", "no")
