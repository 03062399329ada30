"""
Closing: ends what stands in a queue whose plan window has closed, and sees to what was to end and has not.

Windows are the reaper's own: at the close, sessions in plan-bound queues end with "Plan window expired", not a
second early, and GPUs are free for whoever the plan is for next. Their Pods are deleted by uid as soon as it is
written why, many at once; the hub is told afterwards, and finds them gone. The default queue is never touched (D9).

The rest is level-triggered, for whoever asked and was cut off: sessions that were asked to stop long ago are
stopped again, a Pod that says another queue than its session is told, and a suspension that does not come to its
end is called failed. Source: design §7; F16, F62; D9; promises 3 and 6.
"""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.policy.catalog import DEFAULT_QUEUE
from eugospawner.policy.errors import EugoError
from eugospawner.policy.lifecycle import Ending, State
from eugospawner.store.sessions import Asked
from hub_services.common.acts import attempt, together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping
    from datetime import datetime

    from eugospawner.store import Session, Store, Workspace
    from hub_services.common.clock import Clock
    from hub_services.reaper.cluster import Pods
    from hub_services.reaper.observed import Pod

_log: Final = logging.getLogger(__name__)

#: Who the audit says did it.
NAME: Final = "reaper"
#: The hub stops what somebody asked for within seconds; then it is asked again.
PATIENCE: Final = timedelta(seconds=60)
#: A suspension that takes longer than this has failed.
SUSPENSION: Final = timedelta(minutes=10)
#: Deletions under way at once; the API server takes many, and one after the other would take minutes.
_AT_ONCE: Final = 64
#: So long before a close it is looked which Pods there are: at the close itself the API server deletes.
AHEAD: Final = timedelta(seconds=5)
#: The hub does much for each.
_HUB_AT_ONCE: Final = 10
_ACT_SECONDS: Final = 30


_together: Final = partial(together, seconds=_ACT_SECONDS, log=_log)
_attempt: Final = partial(attempt, seconds=_ACT_SECONDS, log=_log)


class Hub(Protocol):
    """What is asked of the hub; raises `HubError`."""

    async def stop(  # noqa: D102
        self, owner: str, server: str, session: str, *, remove: bool = False
    ) -> None: ...


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def pods(self) -> Pods: ...  # noqa: D102

    async def delete_pod(self, pod: Pod) -> None: ...  # noqa: D102

    async def label_queue(self, pod: Pod, queue: str) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Closed:
    """What was done: numbers of sessions, and of acts that failed and are tried again."""

    closed: int = 0
    again: int = 0
    labelled: int = 0
    given_up: int = 0
    failed: int = 0


def to_close(sessions: Iterable[Session], now: datetime) -> tuple[Session, ...]:
    """Return the running sessions whose plan window has closed, in the order of *sessions*."""
    return tuple(
        session
        for session in sessions
        if session.ended_at is None
        and session.stop_at is None
        and session.bound_at is not None
        and session.queue != DEFAULT_QUEUE
        and session.ends_because == Ending.WINDOW
        and session.ends_at is not None
        and session.ends_at <= now
    )


def next_close(sessions: Iterable[Session], now: datetime) -> datetime | None:
    """Return when the next window closes that ends a session; `None`: none does."""
    closes = (
        session.ends_at
        for session in sessions
        if session.ended_at is None
        and session.ends_because == Ending.WINDOW
        and session.queue != DEFAULT_QUEUE
        and session.ends_at is not None
        and session.ends_at > now
    )
    return min(closes, default=None)


def to_repeat(sessions: Iterable[Session], now: datetime) -> tuple[Session, ...]:
    """Return the open sessions that were asked to stop long ago, whoever asked."""
    return tuple(
        session
        for session in sessions
        if session.ended_at is None
        and session.stop_at is not None
        and session.stop_at <= now - PATIENCE
    )


def to_label(sessions: Iterable[Session], pods: Iterable[Pod]) -> tuple[tuple[Pod, str], ...]:
    """Return the Pods that say another queue than their running session, with the right one."""
    queues = {session.id: session.queue for session in sessions if session.ended_at is None}
    return tuple(
        (pod, queues[pod.session])
        for pod in pods
        if pod.session in queues and not pod.is_going and pod.queue != queues[pod.session]
    )


def to_give_up(workspaces: Iterable[Workspace], now: datetime) -> tuple[Workspace, ...]:
    """Return the workspaces whose suspension does not come to its end (F16)."""
    return tuple(
        each
        for each in workspaces
        if each.state is State.SUSPENDING
        and each.since is not None
        and each.since <= now - SUSPENSION
    )


class Closer:
    """
    Ends what is to end in one namespace.

    Args:
        open_store: Returns the open store; asked anew after it failed.
        wakeup: Given how long to wait, has the next sweep begin then; `None`: nobody is told.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        hub: Hub,
        open_store: Callable[[], Awaitable[Store]],
        clock: Clock,
        wakeup: Callable[[timedelta], None] | None = None,
    ) -> None:
        self._cluster = cluster
        self._hub = hub
        self._open_store = open_store
        self._clock = clock
        self._wakeup = wakeup
        self._seen: tuple[datetime, Mapping[str, Pod]] | None = None

    async def sweep_once(self) -> Closed:
        """
        Look, decide and act once.

        Raises:
            EugoError: Store or cluster could not be asked; what was not done is tried again.
        """
        store = await self._open_store()
        sessions = await store.sessions.open_sessions()
        now = self._clock.now()
        self._wake_at(next_close(sessions, now))  # first, whatever fails afterwards
        due = to_close(sessions, now)
        repeated = to_repeat(sessions, now)
        pods = await self._pods_of(due, now)
        done = Counter[str]()
        closed = await _together(_AT_ONCE, (self._close(store, each, pods) for each in due))
        done.update(closed)
        told = [each for each, outcome in zip(due, closed, strict=True) if outcome == "closed"]
        done.update(await _together(_HUB_AT_ONCE, map(self._tell, (*told, *repeated))))
        if sessions:
            pods = await self._look(now)
            for pod, queue in to_label(await self._still_open(store, sessions), pods.values()):
                done[await _attempt(self._label(pod, queue))] += 1
        for each in to_give_up(await store.workspaces.in_state(State.SUSPENDING), now):
            done[await _attempt(self._give_up(store, each))] += 1
        return Closed(
            closed=done["closed"],
            again=len(repeated),
            labelled=done["labelled"],
            given_up=done["given up"],
            failed=done["failed"],
        )

    async def _pods_of(self, due: tuple[Session, ...], now: datetime) -> Mapping[str, Pod]:
        """Return the Pods of *due*, as they were seen a moment before, if all of them were."""
        if not due:
            return {}
        if self._seen is not None:
            at, pods = self._seen
            # A session has one Pod, which is deleted by its uid: one that has gone meanwhile is fine.
            if now - at <= 2 * AHEAD and all(each.id in pods for each in due):
                return pods
        try:
            return await self._look(now)
        except EugoError as error:
            # The hub is told, too, and has them deleted.
            _log.warning("%s; windows close nevertheless", error)
            return {}

    async def _look(self, now: datetime) -> Mapping[str, Pod]:
        """Return the Pods that there are, by session."""
        pods = {each.session: each for each in (await self._cluster.pods()).of_sessions}
        self._seen = now, pods
        return pods

    async def _close(self, store: Store, session: Session, pods: Mapping[str, Pod]) -> str:
        now = self._clock.now()
        asked = await store.sessions.ask_to_stop(
            session.id,
            reason=Ending.WINDOW,
            actor=NAME,
            at=now,
            overdue_at=now,
            queue=session.queue,
        )
        if asked is not Asked.ASKED:
            return "spared"
        pod = pods.get(session.id)
        if pod is not None:
            await self._cluster.delete_pod(pod)
        _log.info(
            "The window of %s/%s (session %s) has closed", session.owner, session.workspace,
            session.id, extra={"session": session.id, "reason": str(Ending.WINDOW)},
        )  # fmt: skip
        return "closed"

    async def _tell(self, session: Session) -> str:
        await self._hub.stop(session.owner, session.workspace, session.id)
        return "told"

    async def _label(self, pod: Pod, queue: str) -> str:
        await self._cluster.label_queue(pod, queue)
        return "labelled"

    async def _give_up(self, store: Store, workspace: Workspace) -> str:
        await store.workspaces.move(
            workspace.owner, workspace.server, State.SUSPEND_FAILED, actor=NAME,
            at=self._clock.now(), reason=workspace.because, said=workspace.said,
        )  # fmt: skip
        return "given up"

    async def _still_open(self, store: Store, sessions: tuple[Session, ...]) -> tuple[Session, ...]:
        """Return *sessions* as they are now, if any of them may have been moved meanwhile."""
        if all(session.queue == DEFAULT_QUEUE for session in sessions):
            return sessions
        return await store.sessions.open_sessions()

    def _wake_at(self, at: datetime | None) -> None:
        if at is None or self._wakeup is None:
            return
        left = at - self._clock.now()
        self._wakeup(left - AHEAD if left > AHEAD else left)
