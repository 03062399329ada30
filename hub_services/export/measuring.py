"""
Measuring: looks at volumes, one Pod each, and remembers what they hold.

What is to be measured stands in the store: somebody asked, or it is due because somebody may have written since the
last look. Whoever dies over it leaves it to the next. The Pod goes as soon as it has answered. Source: F84; F86.
"""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, Protocol

import aiohttp

from eugospawner.policy.errors import ClusterError, EugoError
from eugospawner.policy.lifecycle import State
from eugospawner.policy.volumes import holder_of, name_of
from eugospawner.store.measures import Measure
from hub_services.export.exporters import Errand, ExportError, errand_to

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
    from datetime import datetime

    from eugospawner.store import Store
    from hub_services.common.clock import Clock
    from hub_services.export.cluster import Claim

_log: Final = logging.getLogger(__name__)

#: Pods at a time: they read disks that people work on.
AT_ONCE: Final = 4
#: See `Measurer`.
SETTLED: Final = timedelta(hours=1)
#: How many become due at a time.
_MOST_DUE: Final = 100


class Exporters(Protocol):
    """What measures."""

    async def usage(self, errand: Errand) -> Mapping[str, Any]: ...  # noqa: D102

    async def end(self, errand: Errand) -> None: ...  # noqa: D102


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def claims_of(self, owner: str, keys: Iterable[str]) -> tuple[Claim, ...]: ...  # noqa: D102


class Measurer:
    """
    Measures volumes in one namespace.

    Args:
        open_store: Returns the open store; asked anew after it failed.
        settled: How long a workspace has been as it is before what was never measured is: who has just begun has
            little on it, and a class that starts at nine needs its Nodes.
        every: How old a measure may be of what somebody may have written to since; `None`: nothing is measured unasked.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Awaitable[Store]],
        exporters: Exporters,
        cluster: Cluster,
        clock: Clock,
        every: timedelta | None,
        settled: timedelta = SETTLED,
    ) -> None:
        self._open_store = open_store
        self._exporters = exporters
        self._cluster = cluster
        self._clock = clock
        self._every = every
        self._settled = settled
        self._due_at: datetime | None = None
        self._at_work: dict[tuple[str, str], tuple[str, asyncio.Task[None]]] = {}

    @property
    def errands(self) -> frozenset[str]:
        """What Pods of this process are for now."""
        return frozenset(identifier for identifier, _ in self._at_work.values())

    async def sweep_once(self, *, interval: timedelta) -> int:
        """
        Begin what is to be measured; return how many volumes are.

        Args:
            interval: How often it is looked for what has become due.

        Raises:
            StoreError: The store could not be asked.
        """
        store, now = await self._open_store(), self._clock.now()
        if self._every is not None and (self._due_at is None or now >= self._due_at):
            self._due_at = now + interval
            await store.measures.want_due(
                before=now - self._every, settled=now - self._settled, at=now, limit=_MOST_DUE
            )
        begin = await store.workspaces.in_state(State.STARTING)
        starting = {each.owner for each in begin} | {holder_of(each.project) for each in begin}
        self._make_way(starting)
        for each in await store.measures.wanted(limit=_MOST_DUE):
            place = (each.owner, each.volume)
            if len(self._at_work) >= AT_ONCE:
                break
            if place in self._at_work or each.owner in starting:
                continue
            errand = errand_to(each.owner, name_of(each.volume))
            task = asyncio.create_task(
                self._measure(errand, each.volume), name=f"measure {errand.id}"
            )
            self._at_work[place] = errand.id, task
            task.add_done_callback(lambda _, place=place: self._at_work.pop(place, None))  # type: ignore[misc]
        return len(self._at_work)

    async def close(self) -> None:
        """Leave what is at work to whoever comes next."""
        tasks = [task for _, task in self._at_work.values()]
        for each in tasks:
            each.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _make_way(self, starting: Collection[str]) -> None:
        """Let go of the volumes of whoever starts a workspace: its Pod may be on another Node, and most volumes are on one."""
        for (owner, _), (_, task) in self._at_work.items():
            if owner in starting:
                task.cancel()

    async def _measure(self, errand: Errand, volume: str) -> None:
        owner = errand.owner
        try:
            store = await self._open_store()
            try:
                await store.measures.measured(await self._look(errand, volume))
            except (ExportError, ClusterError, aiohttp.ClientError) as error:
                if isinstance(error, ClusterError) and error.is_passing:
                    raise
                _log.info("The volume %r of %s was not measured: %s", volume, owner, error)
                await store.measures.failed(owner, volume, str(error), at=self._clock.now())
        except EugoError as error:
            _log.warning("%s; the next sweep measures %r of %s again", error, volume, owner)
        except Exception:  # noqa: BLE001 - nobody awaits this task but the next sweep
            _log.exception("Measuring %r of %s broke off", volume, owner)

    async def _look(self, errand: Errand, volume: str) -> Measure:
        claims = await self._cluster.claims_of(errand.owner, (volume,))
        claim = next((each for each in claims if each.key == volume), None)
        if claim is None or claim.is_going:
            message = "There is no such volume, or it is being destroyed."
            raise ExportError(message)
        try:
            found = await self._exporters.usage(errand)
        finally:
            await self._exporters.end(errand)
        return Measure(
            owner=errand.owner,
            volume=volume,
            measured_at=self._clock.now(),
            capacity_bytes=claim.capacity_bytes or claim.size_bytes,
            used_bytes=found["bytes"],
            free_bytes=found["free"],
            files=found["files"],
            summary={
                name: found[name] for name in ("folders", "culprits", "unreadable", "capacity")
            },
        )
