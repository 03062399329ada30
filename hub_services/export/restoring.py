"""
Restoring: has a ZIP that somebody sends unpacked into a new folder of one of their volumes.

What arrives goes on to a Pod as it comes, without a copy here; the Pod keeps it where whoever dies leaves nothing, and unpacks it once
all of it is there. Who sends waits for the answer. Source: L8; facts on security, §4; promise 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, Protocol

from eugospawner.policy import units
from eugospawner.policy.roles import Action
from eugospawner.store.workspaces import object_of
from hub_services.common.problems import DoorReason, Fault
from hub_services.export import choosing, models
from hub_services.export.exporters import Errand, ExportError, errand_to
from hub_services.export.office import DEFAULT

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping

    from eugospawner.policy.accounts import Actor
    from eugospawner.store import Store, Workspace
    from hub_services.common.clock import Clock
    from hub_services.export.office import Office

_log: Final = logging.getLogger(__name__)

#: Restores of one person at a time.
MOST: Final = 2
#: Parts that wait for the Pod; whoever sends waits then.
_AHEAD: Final = 4


class Exporters(Protocol):
    """What unpacks."""

    async def restore(  # noqa: D102
        self, errand: Errand, folder: str, chunks: AsyncIterable[bytes]
    ) -> Mapping[str, Any]: ...

    async def end(self, errand: Errand) -> None: ...  # noqa: D102


class Restorer:
    """
    The desk.

    Args:
        office: Says whose workspaces somebody may access.
    """

    def __init__(
        self,
        *,
        office: Office,
        open_store: Callable[[], Awaitable[Store]],
        exporters: Exporters,
        clock: Clock,
    ) -> None:
        self._office = office
        self._open_store = open_store
        self._exporters = exporters
        self._clock = clock
        self._at_work: Counter[str] = Counter()

    async def begin(self, actor: Actor, new: models.NewRestore) -> Delivery:
        """
        Return where the archive goes.

        Raises:
            Barred: There is no such workspace, *actor* may not access it, or it has no files.
            Fault: The folder lies in no volume, or they have too many at a time.
        """
        workspace, mounts = await self._office.with_files(
            actor, Action.ACCESS, new, "there is no volume to restore to"
        )
        folder = new.folder or f"restored-{self._clock.now():%Y-%m-%d-%H%M%S}"
        ((volume, choice),) = choosing.choice_of(folder, notebooks=False, mounts=mounts).items()
        if self._at_work[actor.name] >= MOST:
            message = f"You restore {MOST} archives already. Wait until one is done."
            raise Fault(DoorReason.TOO_MANY, message)
        errand = errand_to(workspace.owner, volume, is_restore=True)
        path = next(path for path, name in mounts.items() if name == volume)
        shown = f"{path}/{choice['folder']}"

        async def unpack(chunks: AsyncIterable[bytes]) -> models.Restored:
            # On record before the first byte is written, whoever breaks it off and however late.
            await self._record(actor, workspace, "restore", {"folder": shown})
            try:
                done = await self._unpack(errand, choice["folder"], chunks)
                counts = {"files": done["files"], "bytes": done["bytes"]}
                await self._record(actor, workspace, "restored", {"folder": shown} | counts)
                return _restored(workspace, shown, done)
            finally:
                await self._exporters.end(errand)

        def ended() -> None:
            self._at_work[actor.name] -= 1

        self._at_work[actor.name] += 1
        return Delivery(unpack, ended)

    async def _unpack(
        self, errand: Errand, folder: str, chunks: AsyncIterable[bytes]
    ) -> Mapping[str, Any]:
        try:
            return await self._exporters.restore(errand, folder, chunks)
        except ExportError as error:
            raise Fault(DoorReason.NOT_RESTORED, str(error)) from error

    async def _record(
        self,
        actor: Actor,
        workspace: Workspace,
        action: str,
        detail: Mapping[str, Any],
    ) -> None:
        store = await self._open_store()
        await store.audit.record(
            action,
            object_of(workspace.owner, workspace.server),
            actor=actor.name,
            at=self._clock.now(),
            detail=detail,
        )


class Delivery:
    """An archive on its way; one end takes what comes, the other is the Pod."""

    def __init__(
        self,
        unpack: Callable[[AsyncIterable[bytes]], Awaitable[models.Restored]],
        ended: Callable[[], None],
    ) -> None:
        self._parts = asyncio.Queue[bytes | None](_AHEAD)
        self._task = asyncio.ensure_future(unpack(self._chunks()))
        self._ended = ended
        self._task.add_done_callback(self._end)

    async def put(self, chunk: bytes) -> None:
        """Send a part on; when the Pod has refused, the rest is let go: the answer says so."""
        await self._while_at_work(self._parts.put(chunk))

    async def done(self) -> models.Restored:
        """
        Return what was restored, now that all parts were put.

        Raises:
            Fault: Nothing was.
        """
        await self._while_at_work(self._parts.put(None))
        return await self._task

    def cancel(self) -> None:
        """Let it go: who sends has gone."""
        self._task.cancel()

    def _end(self, task: asyncio.Future[models.Restored]) -> None:
        self._ended()
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.info("A restore ended: %s", error)  # whoever waits for it is told

    async def _while_at_work(self, put: Awaitable[None]) -> None:
        waiting = asyncio.ensure_future(put)
        await asyncio.wait({waiting, self._task}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            waiting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await waiting

    async def _chunks(self) -> AsyncIterator[bytes]:
        while (chunk := await self._parts.get()) is not None:
            yield chunk


def _restored(workspace: Workspace, folder: str, done: Mapping[str, Any]) -> models.Restored:
    return models.Restored(
        owner=workspace.owner,
        server=workspace.server or DEFAULT,
        workspace=workspace.name,
        folder=folder,
        files=done["files"],
        bytes=done["bytes"],
        size=units.size_words(done["bytes"]),
        left=[models.LeftOut(**each) for each in done["left"]],
        left_out=done["left_out"],
        differing=done["differing"],
    )
