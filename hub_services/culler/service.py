"""
The sweep: find what may have to end, ask the rules, write why, have the hub stop it.

One read of the store finds the few sessions that may be due among the many that run, so that a sweep costs what
it stops and not what there is. Each stop is written before the hub is asked, under the conditions by which it
was found; whoever kept the session running a moment before, or started it anew, has won. A hub that does not
answer is asked again by the next sweep, for what is written stays. Source: design §7; promises 3, 6 and 8.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.policy import deadlines
from eugospawner.policy.errors import EugoError
from eugospawner.policy.lifecycle import State
from eugospawner.store.sessions import Asked
from hub_services.common.acts import together
from hub_services.culler import rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from datetime import datetime

    from eugospawner.policy.catalog import Catalog
    from eugospawner.settings import Settings
    from eugospawner.store import Session, Store
    from hub_services.common.clock import Clock

_log: Final = logging.getLogger(__name__)

#: Who the audit says did it.
NAME: Final = "culler"
#: How many stops are under way at once: the hub's proxy is told of each.
_AT_ONCE: Final = 10
#: How many are put on record together: a transaction costs more than what is written in it. The last of
#: them is said to be stopping some seconds before its turn comes.
_TOGETHER: Final = 100
#: One stop; a hub that is slower is asked again.
_STOP_SECONDS: Final = 30


_together: Final = partial(together, seconds=_STOP_SECONDS, log=_log)


class Hub(Protocol):
    """What the sweep asks of the hub; raises `HubError`."""

    async def stop(  # noqa: D102
        self, owner: str, server: str, session: str, *, remove: bool = False
    ) -> None: ...


class Utilisation(Protocol):
    """How much GPUs were used lately; raises `EugoError`."""

    async def percent_of(self, pods: Sequence[str]) -> Mapping[str, float]: ...  # noqa: D102


class Lease(Protocol):
    """Whether this process is the one that acts."""

    @property
    def is_held(self) -> bool: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """
    What a sweep did.

    Attributes:
        acted: Whether this process held the lease; else the rest is nothing.
        due: Sessions that were looked at.
        stopped: Sessions that the hub was asked to stop, of those *again* that it had been asked before.
        spared: Sessions that somebody kept a moment before.
        listed: Sessions that would have been stopped, where idleness is only listed.
        deleted: Entries of long-stopped workspaces that went.
        failed: Acts that the next sweep tries again.
    """

    acted: bool
    due: int = 0
    stopped: int = 0
    again: int = 0
    spared: int = 0
    listed: int = 0
    deleted: int = 0
    failed: int = 0


class Culler:
    """
    The culler of one store.

    Args:
        open_store: Returns the open store; asked anew after it failed.
        settings: Returns the newest settings; raises `StoreError`.
        utilisation: How much GPUs are used; `None`: nobody knows.
        at_work_percent: From this use of a GPU on it is at work.
    """

    def __init__(
        self,
        *,
        open_store: Callable[[], Awaitable[Store]],
        settings: Callable[[], Awaitable[Settings]],
        hub: Hub,
        lease: Lease,
        clock: Clock,
        utilisation: Utilisation | None = None,
        at_work_percent: float = 5,
    ) -> None:
        self._open_store = open_store
        self._settings = settings
        self._hub = hub
        self._lease = lease
        self._clock = clock
        self._utilisation = utilisation
        self._at_work_percent = at_work_percent
        self._told: set[tuple[str, datetime]] = set()

    async def sweep_once(self) -> Swept:
        """
        Look and act once, if the lease is held.

        Raises:
            EugoError: The store could not be asked; then nothing was done.
        """
        if not self._lease.is_held:
            return Swept(acted=False)
        store, settings = await self._open_store(), await self._settings()
        catalog, now = settings.catalog, self._clock.now()
        sessions = await store.sessions.due(
            at=now, idle_before=now - deadlines.shortest_idle_limit(catalog)
        )
        sessions = await self._with_gpus_seen(store, sessions, catalog, now)
        mine = [each for each in await store.sessions.stopping() if each.stop_by == NAME]
        done = Counter(await _together(_AT_ONCE, (self._again(each) for each in mine)))
        stops = rules.to_stop(sessions, catalog, now)
        for first in range(0, len(stops), _TOGETHER):
            done.update(await self._stop(store, stops[first : first + _TOGETHER]))
        deleted = await self._delete(store, catalog, now)
        return Swept(
            acted=True,
            due=len(sessions),
            stopped=done["stopped"] + done["again"],
            again=done["again"],
            spared=done["spared"],
            listed=await self._list(store, rules.to_list(sessions, catalog, now), now),
            deleted=deleted,
            failed=done["failed"],
        )

    async def _with_gpus_seen(
        self, store: Store, sessions: tuple[Session, ...], catalog: Catalog, now: datetime
    ) -> tuple[Session, ...]:
        """Return *sessions* without those whose GPUs are at work, which is noted (L5)."""
        asked = rules.to_look_at(sessions, catalog, now)
        if self._utilisation is None or not asked:
            return sessions
        try:
            used = await self._utilisation.percent_of([each.pod_name for each in asked])
        except EugoError as error:
            # Whoever cannot say that nothing is at work has nothing stopped for it.
            _log.warning("%s; idle workspaces with GPUs are left alone meanwhile", error)
            spared = {each.id for each in asked if each.ends_at is None or each.ends_at > now}
            return tuple(each for each in sessions if each.id not in spared)
        at_work = [
            each
            for each in asked
            if rules.gpu_is_at_work(used.get(each.pod_name, 0), self._at_work_percent)
        ]
        for each in at_work:
            await store.sessions.note_activity(each.id, now)
        busy = {each.id for each in at_work if each.ends_at is None or each.ends_at > now}
        return tuple(each for each in sessions if each.id not in busy)

    async def _stop(self, store: Store, stops: tuple[rules.Stop, ...]) -> list[str]:
        """Put on record why each ends, all in one transaction, and have the hub stop those that do."""
        asked = await _together(_TOGETHER, (self._ask(store, each) for each in stops))
        told = [each for each, outcome in zip(stops, asked, strict=True) if outcome == "asked"]
        outcomes = await _together(_AT_ONCE, (self._tell(each.session) for each in told))
        return [*(outcome for outcome in asked if outcome != "asked"), *outcomes]

    async def _ask(self, store: Store, stop: rules.Stop) -> str:
        session = stop.session
        asked = await store.sessions.ask_to_stop(
            session.id,
            reason=stop.reason,
            actor=NAME,
            at=self._clock.now(),
            said=stop.said,
            idle_before=stop.idle_before,
            overdue_at=stop.overdue_at,
        )
        if asked is not Asked.ASKED:
            return "spared"
        _log.info(
            "Stopping %s/%s (session %s): %s",
            session.owner, session.workspace, session.id, stop.reason,
            extra={"session": session.id, "reason": str(stop.reason)},
        )  # fmt: skip
        return "asked"

    async def _tell(self, session: Session) -> str:
        await self._hub.stop(session.owner, session.workspace, session.id)
        return "stopped"

    async def _again(self, session: Session) -> str:
        await self._hub.stop(session.owner, session.workspace, session.id)
        return "again"

    async def _list(self, store: Store, stops: tuple[rules.Stop, ...], now: datetime) -> int:
        """Put on record what would have been stopped, once for each time of idleness."""
        for stop in rules.news(stops, self._told):
            session = stop.session
            await store.audit.record(
                "would-stop",
                f"workspace.{session.owner}/{session.workspace}",
                actor=NAME,
                at=now,
                reason=stop.reason,
                detail={
                    "session": session.id,
                    "profile": session.profile,
                    "idle_since": session.idle_since.isoformat(),
                    "said": stop.said,
                },
            )
        self._told = {(each.session.id, each.session.idle_since) for each in stops}
        return len(stops)

    async def _delete(self, store: Store, catalog: Catalog, now: datetime) -> int:
        """Take entries of long-stopped workspaces off the list, if that is configured."""
        if catalog.delete_stopped_after is None:
            return 0
        deleted = 0
        for each in rules.to_delete(await store.workspaces.in_state(State.STOPPED), catalog, now):
            try:
                await self._hub.stop(each.owner, each.server, "", remove=True)
                deleted += await store.workspaces.remove(
                    each.owner, each.server, actor=NAME, at=now
                )
            except EugoError as error:
                _log.warning("%s; the next sweep tries again", error)
        return deleted
