"""
The sweep: see what runs, bind what was missed, settle until now, renew deadlines, roll up.

Level-triggered and idempotent: a sweep that is cut at any `await` leaves a ledger that balances, and
the next one does the rest. Pods are listed before the store is asked, because the store knows a
session before it has a Pod. Only the process that holds the lease sweeps. Source: design §7.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner import records
from hub_services.quota import rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.quota import Demand
    from eugospawner.settings import Settings
    from eugospawner.store import Session, Store
    from hub_services.common.clock import Clock
    from hub_services.quota.observed import Pod

_log: Final = logging.getLogger(__name__)

#: Refused requests are of use for trying a plan on the last weeks, and for nothing else.
REMEMBERED: Final = timedelta(days=90)
#: As many writes at once as one transaction takes.
_AT_ONCE: Final = 64


class Cluster(Protocol):
    """What the sweep asks of Kubernetes; raises `ClusterError`."""

    async def pods(self, catalog: Catalog) -> tuple[Pod, ...]: ...  # noqa: D102


class Lease(Protocol):
    """Whether this process is the one that acts."""

    @property
    def is_held(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """
    What a sweep did and saw.

    Attributes:
        acted: Whether this process held the lease; else the rest is nothing.
        entries: Of the ledger, rolled up.
        renewed: Sessions that end at another moment than was thought, for the settings changed.
        running: Bound sessions whose Pods were seen.
        gpu_percent: GPU percent that they hold.
        doubts: Places where cluster and store do not agree.
    """

    acted: bool
    bound: int = 0
    settled: int = 0
    renewed: int = 0
    entries: int = 0
    forgotten: int = 0
    running: int = 0
    gpu_percent: int = 0
    doubts: int = 0


class Accountant:
    """
    The accounting of one namespace.

    Args:
        open_store: Returns the open store; asked anew after it failed.
        settings: Returns the newest settings; raises `StoreError`.
        slug: Makes a user's name fit for a label.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        open_store: Callable[[], Awaitable[Store]],
        settings: Callable[[], Awaitable[Settings]],
        lease: Lease,
        clock: Clock,
        slug: Callable[[str], str],
    ) -> None:
        self._cluster = cluster
        self._open_store = open_store
        self._settings = settings
        self._lease = lease
        self._clock = clock
        self._slug = slug
        self._told: frozenset[str] = frozenset()
        self._renewed_by: rules.Basis | None = None

    async def sweep_once(self) -> Swept:
        """
        Look and act once, if the lease is held.

        Raises:
            EugoError: Cluster or store could not be asked, or a write failed; the next sweep goes
                on from there.
        """
        if not self._lease.is_held:
            return Swept(acted=False)
        store, settings = await self._open_store(), await self._settings()
        seen_at = self._clock.now()
        pods = await self._cluster.pods(settings.catalog)
        sessions = await _sessions(store, pods)
        binds = rules.to_bind(sessions, pods, seen_at)
        for bind in binds:
            await self._bind(store, settings, bind)
        settles = rules.to_settle(sessions, pods, seen_at)
        settled = await self._settle(store, settles)
        renewed = await self._renew(store, settings, settles, seen_at)
        return Swept(
            acted=True,
            bound=len(binds),
            settled=settled,
            renewed=renewed,
            entries=await self._roll_up(store),
            forgotten=await store.refusals.forget(seen_at - REMEMBERED),
            running=len(settles),
            gpu_percent=sum(each.session.granted_percent or 0 for each in settles),
            doubts=self._tell(sessions, pods, seen_at),
        )

    async def _bind(self, store: Store, settings: Settings, bind: rules.Bind) -> None:
        session = bind.session
        demand = records.demand_of(
            session,
            settings,
            self._slug,
            percent=bind.percent,
            now=max(bind.at, session.admitted_at),
        )
        await store.sessions.bind(
            session.id, granted_percent=bind.percent, at=bind.at, demand=demand
        )
        _log.warning(
            "Bound the session %s of %s since %s: it runs, and nobody had said so",
            session.id, session.owner, bind.at.isoformat(),
        )  # fmt: skip

    async def _settle(self, store: Store, settles: tuple[rules.Settle, ...]) -> int:
        settled = 0
        for first in range(0, len(settles), _AT_ONCE):
            answers = await asyncio.gather(
                *(
                    store.sessions.settle(each.session.id, until=each.until)
                    for each in settles[first : first + _AT_ONCE]
                )
            )
            settled += sum(answers)
        return settled

    async def _renew(
        self,
        store: Store,
        settings: Settings,
        settles: tuple[rules.Settle, ...],
        now: datetime,
    ) -> int:
        """Have what runs end when the rules of today say, if that may be another moment."""
        basis = rules.basis_of(settings, now)
        asked = rules.to_renew(settles, now, anew=basis != self._renewed_by)
        demands = {
            session.id: demand
            for session in asked
            if (demand := self._demand_of(session, settings, now)) is not None
        }
        found = await store.sessions.renew(demands, at=now)
        for session, deadline in found.items():
            _log.info(
                "The session %s ends at %s (%s): the settings or what is left say so now",
                session, deadline.ends_at.isoformat(), deadline.because,
            )  # fmt: skip
        self._renewed_by = basis
        return len(found)

    def _demand_of(self, session: Session, settings: Settings, now: datetime) -> Demand | None:
        return records.demand_of(
            session,
            settings,
            self._slug,
            percent=session.granted_percent or 0,
            now=now,
            began=session.bound_at,
        )

    async def _roll_up(self, store: Store) -> int:
        taken = 0
        while self._lease.is_held and (entries := await store.consumption.roll_up()):
            taken += entries
        return taken

    def _tell(self, sessions: tuple[Session, ...], pods: tuple[Pod, ...], now: datetime) -> int:
        """Log each doubt once, and again if it went away and came back; return how many."""
        found = rules.doubts(sessions, pods, now)
        for doubt in found:
            if doubt.sentence not in self._told:
                _log.warning("%s", doubt.sentence)
        self._told = frozenset(doubt.sentence for doubt in found)
        return len(found)


async def _sessions(store: Store, pods: tuple[Pod, ...]) -> tuple[Session, ...]:
    """Return the open sessions, then the ended ones that *pods* still name."""
    still_open = await store.sessions.open_sessions()
    named = {pod.session for pod in pods}.difference(session.id for session in still_open)
    ended = [await store.sessions.get(session) for session in sorted(named)]
    return (*still_open, *(session for session in ended if session is not None))
