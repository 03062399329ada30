"""
The sweep: prepares what was asked for, and removes what nobody needs.

Level-triggered: what is to be prepared stands in the store, so a service that dies over it leaves it to the next. A
Pod goes when it has ended, or when its export was revoked, has failed or is unknown; one whose link's hour is over may
still be sending what began in time, and ends by itself. Source: design §7; F85; L8; promise 6.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

from eugospawner.policy.errors import ClusterError, EugoError
from eugospawner.store.exports import Standing
from hub_services.export import links
from hub_services.export.exporters import ExportError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping
    from datetime import datetime

    from eugospawner.store import Store
    from eugospawner.store.exports import Export
    from hub_services.common.clock import Clock
    from hub_services.export.cluster import Exporter
    from hub_services.export.measuring import Measurer
    from hub_services.export.resizing import Resizer

_log: Final = logging.getLogger(__name__)

#: What is not prepared by then has failed, whoever tried.
PATIENCE: Final = timedelta(minutes=20)
#: What Kubernetes answers so long, and may answer otherwise later, is said to whoever waits.
SOON: Final = timedelta(minutes=2)
#: How often it is looked for volumes that have to be measured again.
DUE: Final = timedelta(minutes=1)


class Exporters(Protocol):
    """What prepares."""

    async def survey(self, export: Export) -> Mapping[str, Any]: ...  # noqa: D102


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def exporters(self, export: str = "") -> tuple[Exporter, ...]: ...  # noqa: D102

    async def delete(self, exporter: Exporter) -> None: ...  # noqa: D102


class Lease(Protocol):
    """Whether this process is the one that acts."""

    @property
    def is_held(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """
    What a sweep saw and did.

    Attributes:
        acted: Whether this process held the lease; else the rest is nothing.
        preparing: Exports that are being prepared.
        pods: Pods that read volumes.
        removed: Of them, those that were deleted.
        given_up: Exports that were not prepared in time.
        measuring: Volumes that are being measured.
        resized: Volumes whose new size Kubernetes was told.
    """

    acted: bool
    preparing: int = 0
    pods: int = 0
    removed: int = 0
    given_up: int = 0
    measuring: int = 0
    resized: int = 0


class Preparer:
    """
    Prepares exports in one namespace.

    Args:
        open_store: Returns the open store; asked anew after it failed.
        errands: Returns what other Pods of this process are for.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Awaitable[Store]],
        exporters: Exporters,
        cluster: Cluster,
        lease: Lease,
        clock: Clock,
        errands: Callable[[], Collection[str]] = frozenset,
    ) -> None:
        self._open_store = open_store
        self._exporters = exporters
        self._cluster = cluster
        self._lease = lease
        self._clock = clock
        self._errands = errands
        self._at_work: dict[str, asyncio.Task[None]] = {}

    async def sweep_once(self) -> Swept:
        """
        Look and act once, if the lease is held.

        Raises:
            EugoError: Store or cluster could not be asked; what was not done is tried again.
        """
        if not self._lease.is_held:
            return Swept(acted=False)
        store, now = await self._open_store(), self._clock.now()
        alive = {each.id: each for each in await store.exports.alive(now)}
        preparing = [each for each in alive.values() if each.state is Standing.PREPARING]
        given_up = 0
        for each in preparing:
            if now - each.created_at > PATIENCE:
                said = "It could not be prepared in time. Create a new export, or ask an admin."
                given_up += await store.exports.failed(each.id, said)
            elif each.id not in self._at_work:
                task = asyncio.create_task(self._prepare(each), name=f"export {each.id}")
                self._at_work[each.id] = task
                task.add_done_callback(lambda _, export=each.id: self._at_work.pop(export, None))  # type: ignore[misc]
        await store.shares.clear(now)
        pods = await self._cluster.exporters()
        removed = 0
        for pod in pods:
            if pod.is_going or await self._is_unwanted(store, pod, alive, now):
                await self._cluster.delete(pod)
                removed += 1
        return Swept(
            acted=True, preparing=len(preparing), pods=len(pods), removed=removed, given_up=given_up
        )

    async def close(self) -> None:
        """Leave what is at work to whoever comes next."""
        tasks = list(self._at_work.values())
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _is_unwanted(
        self, store: Store, pod: Exporter, alive: Mapping[str, Export], now: datetime
    ) -> bool:
        if pod.is_restore:
            # Known to whoever waits for it alone: it ends soon after them, unless it never came up.
            return not pod.is_ready and now - pod.created_at > PATIENCE
        if pod.export in alive or pod.export in self._errands():
            return False
        found = await store.exports.get(pod.export)
        return found is None or found.revoked_at is not None or found.state is not Standing.READY

    async def _prepare(self, export: Export) -> None:
        """Count, and make the link; what is wrong with the wish ends it, what passes does not."""
        try:
            store = await self._open_store()
            try:
                found = await self._exporters.survey(export)
            except (ExportError, ClusterError) as error:
                if isinstance(error, ClusterError) and error.is_passing:
                    age = self._clock.now() - export.created_at
                    if not error.status or age < SOON:
                        raise
                _log.info("The export %s failed: %s", export.id, error)
                await store.exports.failed(export.id, str(error))
                return
            summary = {key: found[key] for key in ("skipped", "reasons", "examples", "listed")}
            is_wanted = await store.exports.ready(
                export.id,
                files=found["files"],
                size_bytes=found["bytes"],
                summary=summary,
                expires_at=self._clock.now() + links.VALID,
            )
            if is_wanted:
                _log.info(
                    "The export %s of %s/%s is ready: %d files",
                    export.id, export.owner, export.server, found["files"],
                )  # fmt: skip
        except EugoError as error:
            _log.warning("%s; the next sweep prepares the export %s again", error, export.id)
        except Exception:  # noqa: BLE001 - nobody awaits this task but the next sweep
            _log.exception("The export %s broke off", export.id)


class Rounds:
    """All that a sweep does: prepares, measures, and tells of sizes."""

    def __init__(self, preparer: Preparer, measurer: Measurer, resizer: Resizer) -> None:
        self._preparer = preparer
        self._measurer = measurer
        self._resizer = resizer

    async def sweep_once(self) -> Swept:
        """
        Look and act once, if the lease is held.

        Raises:
            EugoError: Store or cluster could not be asked; what was not done is tried again.
        """
        swept = await self._preparer.sweep_once()
        if not swept.acted:
            return swept
        measuring = await self._measurer.sweep_once(interval=DUE)
        return replace(swept, measuring=measuring, resized=await self._resizer.sweep_once())
