"""
Office: the desk behind pages and API: who takes what of which workspace.

Whether somebody may is asked of the one function that every door asks, when an export is wished for and again when it
is fetched: a role that is gone meanwhile is gone for the link, too. Source: F85, F105; L8; promise 8.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Any, Final

from eugospawner.lives import Lives
from eugospawner.policy import units
from eugospawner.policy.errors import Barred
from eugospawner.policy.lifecycle import LOOKS, State
from eugospawner.policy.permissions import may
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import Action
from eugospawner.store.exports import Export, Standing
from eugospawner.store.workspaces import object_of
from hub_services.common.problems import DoorReason, Fault, existing
from hub_services.export import choosing, links, models

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

    from eugospawner.policy.accounts import Actor
    from eugospawner.store import Store, Workspace
    from hub_services.common.clock import Clock
    from hub_services.common.newest import Newest
    from hub_services.export.exporters import Exporters

#: The default server in addresses.
DEFAULT: Final = "_"
#: Exports that somebody has at a time: each may need a Pod.
MOST: Final = 10
#: Nothing was written yet, or it is being destroyed.
_WITHOUT_FILES: Final = frozenset({State.CREATED, State.TERMINATING, State.TERMINATED})
_WORDS: Final[Mapping[Standing, tuple[str, str]]] = {
    Standing.PREPARING: ("Being prepared", "accent"),
    Standing.READY: ("Ready", "good"),
    Standing.FAILED: ("Failed", "danger"),
    Standing.REVOKED: ("Revoked", "neutral"),
    Standing.EXPIRED: ("Expired", "neutral"),
}
_LONGEST_NAME: Final = 100
_NOT_IN_A_FILE_NAME: Final = re.compile(r"[^A-Za-z0-9._-]+")


class Office:
    """
    The desk.

    Args:
        open_store: Returns the open store.
        slug: Makes a user's name fit for a label.
        prefix: Of the service's addresses, below the hub's.
        wake: Has what was put on record be prepared now.

    Attributes:
        lives: Says who may do what to which workspace.
    """

    def __init__(
        self,
        *,
        newest: Newest,
        open_store: Callable[[], Awaitable[Store]],
        exporters: Exporters,
        clock: Clock,
        slug: Callable[[str], str],
        prefix: str,
        wake: Callable[[], None],
    ) -> None:
        self._newest = newest
        self._open_store = open_store
        self._exporters = exporters
        self._clock = clock
        self._slug = slug
        self._prefix = prefix
        self._wake = wake
        self.lives = Lives(store=open_store, settings=newest.settings, now=clock.now, slug=slug)

    async def workspaces(self, actor: Actor) -> Sequence[Workspace]:
        """Return the workspaces of *actor* of which they may take something."""
        store, settings = await self._open_store(), await self._newest.settings()
        people = settings.directory.people
        return [
            each
            for each in await store.workspaces.of_owner(actor.name)
            if may(actor, Action.DOWNLOAD, self.lives.target_of(settings, each), people)
        ]

    async def listed(self, actor: Actor) -> models.Exports:
        """Return what *actor* took, newest first."""
        store = await self._open_store()
        found = await store.exports.of_creator(actor.name)
        names = await self._names({each.owner for each in found})
        return models.Exports(exports=[self._shown(each, names, {}) for each in found])

    async def create(self, actor: Actor, new: models.NewExport) -> models.Export:
        """
        Record what *actor* wants; it is prepared from now on.

        Raises:
            Barred: There is no such workspace, or they may not download of it.
            Fault: The folder lies in no volume, or they have too many at a time.
        """
        workspace, mounts = await self.with_files(
            actor, Action.DOWNLOAD, new, "there is nothing to take away"
        )
        store, now = await self._open_store(), self._clock.now()
        if new.format == choosing.ZIP:
            what = "files" if new.everything else "notebooks"
            choice = choosing.choice_of(new.folder, notebooks=not new.everything, mounts=mounts)
        else:
            what = new.folder.rpartition("/")[2].removesuffix(".ipynb")
            choice = choosing.document_of(new.folder, form=new.format, mounts=mounts)
        place = "-".join(filter(None, (workspace.owner, workspace.name, what)))
        export = Export(
            id=uuid.uuid4().hex,
            owner=workspace.owner,
            server=workspace.server,
            creator=actor.name,
            choice=choice,
            name=f"{_NOT_IN_A_FILE_NAME.sub('-', place)[:_LONGEST_NAME]}-{now:%Y%m%dT%H%M%SZ}.{new.format}",
            secret=links.new_secret(),
            created_at=now,
        )
        if not await store.exports.add(export, most=MOST):
            raise Fault(
                DoorReason.TOO_MANY,
                f"You have {MOST} exports that can still be fetched. "
                "Revoke one, or wait until one expires.",
            )
        self._wake()
        return await self._show(export)

    async def with_files(
        self, actor: Actor, action: Action, of: models.NewExport | models.NewRestore, lacking: str
    ) -> tuple[Workspace, Mapping[str, str]]:
        """
        Return the workspace that is meant, for *action*, and what it mounts where (`choosing.mounts_of`).

        Args:
            lacking: What is said of one that has no files; ends a sentence.

        Raises:
            Barred: There is none, *actor* may not, or it has no files.
        """
        owner, server = of.owner or actor.name, "" if of.server == DEFAULT else of.server
        workspace = (await self.lives.find_for(actor, action, owner, server)).workspace
        if workspace.state in _WITHOUT_FILES:
            word = LOOKS[workspace.state].word
            raise Barred(Reason.WRONG_STATE, f"{workspace.name} is {word}: {lacking}.")
        settings = await self._newest.settings()
        mounts = choosing.mounts_of(workspace.options, settings.catalog.storage.home_path)
        accounts = settings.directory.accounts_of(owner, self._slug(owner))
        return workspace, choosing.without_lost(mounts, accounts)

    async def one(self, actor: Actor, path: models.ExportPath) -> models.Export:
        """Return an export to who took it, with how far it is."""
        return await self._show(await self._mine(actor, path.id), closely=True)

    async def revoke(self, actor: Actor, path: models.ExportPath) -> models.Export:
        """Take an export back: its link is good for nothing from now on, and nothing more is sent."""
        found = await self._mine(actor, path.id)
        store = await self._open_store()
        revoked = await store.exports.revoke(found.id, actor=actor.name, at=self._clock.now())
        self._wake()
        return await self._show(revoked or found)

    async def fetch(self, actor: Actor, identifier: str, signature: str) -> Export:
        """
        Return an export that *actor* may begin to fetch now; that they do is on record.

        Raises:
            Fault: The link is not good, or not theirs.
            Barred: They may not download of the workspace any more.
        """
        store = await self._open_store()
        found = await store.exports.get(identifier)
        export = links.check(found, signature, by=actor.name, now=self._clock.now())
        await self.lives.find_for(actor, Action.DOWNLOAD, export.owner, export.server)
        settings = await self._newest.settings()
        accounts = settings.directory.accounts_of(export.owner, self._slug(export.owner))
        if (left := choosing.project_left(export.choice, accounts)) is not None:
            message = f"{export.owner} is not in the project {left} any more: its volumes are its members'."
            raise Fault(DoorReason.NOT_PERMITTED, message)
        await store.audit.record(
            "download",
            object_of(export.owner, export.server),
            actor=actor.name,
            at=self._clock.now(),
            detail={"export": export.id, "files": export.files, "bytes": export.size_bytes},
        )
        return export

    async def fetched(self, export: Export) -> None:
        """Record that an export was fetched to its end."""
        store = await self._open_store()
        await store.exports.downloaded(export.id, at=self._clock.now())

    async def _mine(self, actor: Actor, identifier: str) -> Export:
        store = await self._open_store()
        found = await store.exports.get(identifier)
        is_mine = found is not None and (found.creator == actor.name or actor.is_admin)
        return existing(found if is_mine else None, "export", identifier)

    async def _show(self, export: Export, *, closely: bool = False) -> models.Export:
        """Return *export* as people see it; *closely*: with how far its Pod is."""
        progress: Mapping[str, Any] = {}
        if closely and export.standing(self._clock.now()) not in {
            Standing.FAILED,
            Standing.REVOKED,
        }:
            progress = await self._exporters.progress(export) or {}
        return self._shown(export, await self._names({export.owner}), progress)

    async def _names(self, owners: Iterable[str]) -> Mapping[tuple[str, str], str]:
        """Return what the workspaces of *owners* are called, by owner and server."""
        store = await self._open_store()
        return {
            (each.owner, each.server): each.name
            for owner in owners
            for each in await store.workspaces.of_owner(owner)
        }

    def _shown(
        self, export: Export, names: Mapping[tuple[str, str], str], progress: Mapping[str, Any]
    ) -> models.Export:
        standing = export.standing(self._clock.now())
        sending = next(iter(progress.get("archives") or ()), None)
        word, tone = _WORDS[standing]
        return models.Export(
            id=export.id, owner=export.owner, server=export.server or DEFAULT,
            workspace=names.get((export.owner, export.server), export.server or "default"),
            standing=standing, word=word, tone=tone, what=_what(export), name=export.name,
            format=choosing.form_of(export.choice),
            created_at=export.created_at, expires_at=export.expires_at,
            link=self.link_of(export) if standing is Standing.READY else None,
            files=export.files, bytes=export.size_bytes, size=units.size_words(export.size_bytes),
            counted=progress.get("surveyed"), skipped=_skipped(export.summary),
            listed=[models.File(**each) for each in export.summary.get("listed", ())],
            problem=export.problem, downloads=export.downloads,
            downloaded_at=export.downloaded_at,
            sending=None if sending is None else models.Sent(**sending),
        )  # fmt: skip

    def link_of(self, export: Export) -> str:
        """Return where *export*, which is ready, is fetched."""
        return f"{self._prefix}download/{export.id}/{links.sign(export)}/{export.name}"


def _what(export: Export) -> str:
    """Return what was chosen, as people read it."""
    asked = next(iter(export.choice.values()))
    if "format" in asked:
        return f"{next(iter(export.choice))}/{asked['notebook']} as {asked['format'].upper()}"
    things = "Notebooks" if asked["notebooks"] else "All files"
    if len(export.choice) == 1 and asked["folder"]:
        return f"{things} in {next(iter(export.choice))}/{asked['folder']}"
    return f"{things} in {', '.join(export.choice)}"


def _skipped(summary: Mapping[str, Any]) -> list[models.Skipped]:
    return [
        models.Skipped(
            reason=reason,
            sentence=summary["reasons"][reason],
            count=count,
            paths=[each["path"] for each in summary["examples"] if each["reason"] == reason][:20],
        )
        for reason, count in summary.get("skipped", {}).items()
    ]
