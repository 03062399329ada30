"""
Lounge: documents that people let others read.

A share is made of an export that is ready, by whoever may still download of the workspace, and keeps the document as it is
at that moment. Who reads it is asked at each reading whether they still may, and that they did is on record.
Source: F88; promise 8.
"""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Literal

import aiohttp

from eugospawner.policy.roles import Action
from eugospawner.store.exports import Standing
from eugospawner.store.shares import Share
from eugospawner.store.workspaces import object_of
from hub_services.common.problems import DoorReason, Fault, existing
from hub_services.export import choosing, models, sharing
from hub_services.export.exporters import ExportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eugospawner.lives import Lives
    from eugospawner.policy.accounts import Actor, Directory
    from eugospawner.store import Store
    from eugospawner.store.exports import Export
    from hub_services.common.clock import Clock
    from hub_services.common.newest import Newest
    from hub_services.export.exporters import Exporters

_Standing = Literal["open", "expired", "revoked"]
_WORDS: Final[Mapping[_Standing, tuple[str, str]]] = {
    "open": ("Open", "good"),
    "expired": ("Expired", "neutral"),
    "revoked": ("Revoked", "neutral"),
}


class Lounge:
    """
    The desk of shares.

    Args:
        lives: Says who may download of which workspace.
        prefix: Of the service's addresses, below the hub's.
    """

    def __init__(
        self,
        *,
        newest: Newest,
        open_store: Callable[[], Awaitable[Store]],
        lives: Lives,
        exporters: Exporters,
        clock: Clock,
        prefix: str,
    ) -> None:
        self._newest = newest
        self._open_store = open_store
        self._lives = lives
        self._exporters = exporters
        self._clock = clock
        self._prefix = prefix

    async def listed(self, actor: Actor) -> models.Shares:
        """Return what *actor* shares, and what others share with them."""
        store = await self._open_store()
        directory = (await self._newest.settings()).directory
        reader = directory.person(actor.name)
        shared = await store.shares.open_shares(self._clock.now())
        return models.Shares(
            mine=[
                self._show(each, directory, is_mine=True)
                for each in await store.shares.of_creator(actor.name)
            ],
            with_me=[
                self._show(each, directory)
                for each in shared
                if each.creator != actor.name and sharing.may_read(each, reader)
            ],
        )

    async def create(self, actor: Actor, new: models.NewShare) -> models.Share:
        """
        Let others read the document of an export of *actor*'s.

        Raises:
            Fault: There is no such export, it is no document, not ready, too large, or not for these.
            Barred: *actor* may not download of the workspace any more.
        """
        store, now = await self._open_store(), self._clock.now()
        directory = (await self._newest.settings()).directory
        found = await store.exports.get(new.export)
        is_mine = found is not None and found.creator == actor.name
        export = existing(found if is_mine else None, "export", new.export)
        await self._lives.find_for(actor, Action.DOWNLOAD, export.owner, export.server)
        form = choosing.form_of(export.choice)
        sharer = directory.person(actor.name)
        audience = sharing.Audience(
            people=tuple(dict.fromkeys(new.people)),
            groups=tuple(dict.fromkeys(new.groups)),
            organization=sharer.organization if new.organization else "",
        )
        problem = sharing.problem_of(audience, sharer, directory)
        if form == choosing.ZIP or export.standing(now) is not Standing.READY:
            problem = "Only a notebook as HTML or PDF whose link is good can be shared."
        if new.organization and not sharer.organization:
            problem = "You are in no organization with which it could be shared."
        if problem:
            raise Fault(DoorReason.SHARE_REFUSED, problem)
        document = await self._document(export)
        ((volume, choice),) = export.choice.items()
        share = Share(
            id=uuid.uuid4().hex, owner=export.owner, server=export.server, creator=actor.name,
            notebook=f"{volume}/{choice['notebook']}", form=form, name=export.name,
            people=audience.people, groups=audience.groups, organization=audience.organization,
            size_bytes=len(document), created_at=now, expires_at=now + timedelta(days=new.days),
        )  # fmt: skip
        await store.shares.add(share, document)
        return self._show(share, directory, is_mine=True)

    async def revoke(self, actor: Actor, path: models.SharePath) -> models.Share:
        """Take a share back."""
        store, now = await self._open_store(), self._clock.now()
        directory = (await self._newest.settings()).directory
        found = await store.shares.get(path.id)
        is_mine = found is not None and (found.creator == actor.name or actor.is_admin)
        share = existing(found if is_mine else None, "share", path.id)
        revoked = await store.shares.revoke(share.id, actor=actor.name, at=now)
        return self._show(revoked or share, directory, is_mine=True)

    async def read(self, actor: Actor, path: models.SharePath) -> models.Share:
        """
        Return a share to whoever may read it now.

        Raises:
            Fault: There is none, it has ended, or it is not for *actor*.
        """
        share, directory = await self._readable(actor, path.id)
        return self._show(share, directory, is_mine=share.creator == actor.name)

    async def open(self, actor: Actor, path: models.SharePath) -> tuple[Share, bytes]:
        """Return a share with its document; that somebody else than who shares it reads it is on record."""
        share, _ = await self._readable(actor, path.id)
        store = await self._open_store()
        document = existing(await store.shares.document(share.id), "share", share.id)
        if actor.name != share.creator:
            await store.audit.record(
                "read-share",
                object_of(share.owner, share.server),
                actor=actor.name,
                at=self._clock.now(),
                detail={"share": share.id, "notebook": share.notebook},
            )
        return share, document

    async def _readable(self, actor: Actor, identifier: str) -> tuple[Share, Directory]:
        store = await self._open_store()
        directory = (await self._newest.settings()).directory
        share = await store.shares.get(identifier)
        # Outsiders learn of none whether it is there.
        if share is None or not sharing.may_read(share, directory.person(actor.name)):
            raise Fault(
                DoorReason.NOT_PERMITTED,
                "This notebook is not shared with you, or not any more. Ask whoever sent you the address.",
            )
        standing = self._standing(share)
        if standing == "revoked":
            raise Fault(DoorReason.LINK_REVOKED, f"{share.creator} shares this no longer.")
        if standing == "expired":
            raise Fault(
                DoorReason.LINK_EXPIRED, f"This has expired. Ask {share.creator} to share it again."
            )
        return share, directory

    async def _document(self, export: Export) -> bytes:
        parts, size = list[bytes](), 0
        try:
            async with self._exporters.archive(export, {}) as chunks:
                async for chunk in chunks:
                    parts.append(chunk)
                    size += len(chunk)
                    if size > sharing.LARGEST:
                        message = (
                            f"A shared document has {sharing.LARGEST >> 20} MiB at most: clear large outputs "
                            "of the notebook, and export it again."
                        )
                        raise Fault(DoorReason.SHARE_REFUSED, message)
        except (ExportError, aiohttp.ClientError) as error:
            raise Fault(DoorReason.EXPORT_FAILED, f"The document cannot be had: {error}") from error
        return b"".join(parts)

    def _standing(self, share: Share) -> _Standing:
        if share.revoked_at is not None:
            return "revoked"
        return "open" if share.is_open(self._clock.now()) else "expired"

    def _show(self, share: Share, directory: Directory, *, is_mine: bool = False) -> models.Share:
        standing = self._standing(share)
        word, tone = _WORDS[standing]
        return models.Share(
            id=share.id, creator=share.creator, notebook=share.notebook, format=share.form,
            name=share.name, audience=_audience(share, directory) if is_mine else "",
            bytes=share.size_bytes, created_at=share.created_at, expires_at=share.expires_at,
            standing=standing, word=word, tone=tone, page=f"{self._prefix}shared/{share.id}",
        )  # fmt: skip


def _audience(share: Share, directory: Directory) -> str:
    groups = [
        directory.groups[key].display_name if key in directory.groups else key
        for key in share.groups
    ]
    organization = directory.organizations.get(share.organization)
    everybody = [f"everybody in {organization.display_name}"] if organization else []
    return ", ".join([*share.people, *groups, *everybody])
