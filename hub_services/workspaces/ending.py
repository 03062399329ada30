"""
Ending: destroys what was terminated, step by step, and has stop what was suspended.

Level-triggered and resumable: what is left of a termination stands in the store, so whoever takes over goes on at
the step that was not done. Before a volume is destroyed it is looked at once more whether another workspace of the
owner mounts it by now; objects are deleted by uid, and a step is done when the object is seen to be gone. Steps
that go on failing, or waiting, end as Terminate failed, with what is left and why. Source: F16, F28; D5; promise 6.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.policy.errors import EugoError
from eugospawner.policy.lifecycle import Ending, State
from eugospawner.policy.volumes import HOME, mounted_by, project_named_in
from hub_services.common.acts import together
from hub_services.workspaces import planning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.store import Session, Store, Workspace
    from hub_services.common.clock import Clock

_log: Final = logging.getLogger(__name__)

#: Who the audit says did it.
NAME: Final = "workspaces"
#: What is not destroyed by then has failed; a Pod has its grace period, and volumes wait for their Pods.
PATIENCE: Final = timedelta(minutes=5)
_ACT_SECONDS: Final = 60
_AT_ONCE: Final = 10
_OURS: Final = frozenset({Ending.SUSPENSION, Ending.TERMINATION})


class Hub(Protocol):
    """What is asked of the hub; raises `HubError`."""

    async def stop(  # noqa: D102
        self, owner: str, server: str, session: str, *, remove: bool = False
    ) -> None: ...


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def has_pod(self, session: str) -> bool:
        """Whether a Pod of the session is there."""
        ...

    async def end_exporters(self, owner: str) -> None:
        """Delete the Pods that read the volumes of *owner* for exports: a volume that is read does not go."""
        ...

    async def destroy_volume(self, owner: str, key: str) -> bool:
        """Delete the claim of an extra volume; return whether it is gone."""
        ...

    async def destroy_homes(self, owner: str) -> bool:
        """Delete the home of *owner*; return whether it is gone."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """What a sweep did: numbers of workspaces and sessions."""

    acted: bool
    terminating: int = 0
    terminated: int = 0
    waiting: int = 0
    given_up: int = 0
    stopped: int = 0
    failed: int = 0


class Terminator:
    """
    Destroys what was terminated in one namespace.

    Args:
        open_store: Returns the open store; asked anew after it failed.
        is_held: Whether this process is the one that acts.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        hub: Hub,
        open_store: Callable[[], Awaitable[Store]],
        clock: Clock,
        is_held: Callable[[], bool],
    ) -> None:
        self._cluster = cluster
        self._hub = hub
        self._open_store = open_store
        self._clock = clock
        self._is_held = is_held

    async def sweep_once(self) -> Ended:
        """
        Go on with everything that is to end, if this process is the one that acts.

        Raises:
            EugoError: The store could not be asked; then nothing was done.
        """
        if not self._is_held():
            return Ended(acted=False)
        store = await self._open_store()
        stops = [each for each in await store.sessions.stopping() if each.stop_reason in _OURS]
        done = Counter(
            await together(_AT_ONCE, map(self._stop, stops), seconds=_ACT_SECONDS, log=_log)
        )
        turn = asyncio.Semaphore(_AT_ONCE)
        ending = await store.workspaces.in_state(State.TERMINATING)
        done.update(await asyncio.gather(*(self._end(store, turn, each) for each in ending)))
        return Ended(
            acted=True,
            terminating=len(ending),
            terminated=done["terminated"],
            waiting=done["waiting"],
            given_up=done["given up"],
            stopped=done["stopped"],
            failed=done["failed"],
        )

    async def _stop(self, session: Session) -> str:
        await self._hub.stop(session.owner, session.workspace, session.id)
        return "stopped"

    async def _end(self, store: Store, turn: asyncio.Semaphore, workspace: Workspace) -> str:
        problem = "It is still in use."
        try:
            async with turn, asyncio.timeout(_ACT_SECONDS):
                left = await self._go_on(store, workspace)
                if left is None:
                    return "terminated"
                problem = f"Waiting for: {left}."
        except (EugoError, TimeoutError) as error:
            problem = str(error) or "It took too long."
            _log.warning(
                "Terminating %s/%s: %s; the next sweep goes on",
                workspace.owner, workspace.server, problem,
            )  # fmt: skip
        began = workspace.since or self._clock.now()
        if self._clock.now() - began < PATIENCE:
            return "waiting"
        await store.workspaces.move(
            workspace.owner, workspace.server, State.TERMINATE_FAILED, actor=NAME,
            at=self._clock.now(), reason=Ending.TERMINATION, said=problem[:500],
        )  # fmt: skip
        return "given up"

    async def _go_on(self, store: Store, workspace: Workspace) -> str | None:
        """Do the steps that are left; return the one that is waited for, `None`: all are done."""
        owner, server = workspace.owner, workspace.server
        steps = list(workspace.remaining)
        if not steps:
            plan = planning.plan_of(workspace, await store.workspaces.of_owner(owner))
            steps = list(plan.destroyed)
            await store.workspaces.note_remaining(owner, server, steps)
        while steps:
            if not await self._step(store, workspace, steps[0]):
                return steps[0]
            del steps[0]
            # An empty list would look like one that was not made yet; the record goes next.
            if steps:
                await store.workspaces.note_remaining(owner, server, steps)
        await store.workspaces.remove(
            owner, server, actor=workspace.actor or NAME, at=self._clock.now(), terminated=True
        )
        _log.info("Terminated %s/%s", owner, server)
        return None

    async def _step(self, store: Store, workspace: Workspace, step: str) -> bool:
        owner, server = workspace.owner, workspace.server
        others = [each for each in await store.workspaces.of_owner(owner) if each.server != server]
        key = planning.volume_key(step)
        await self._take_back(store, workspace)
        if key is not None:
            if project_named_in(key) or any(key in mounted_by(each.options) for each in others):
                return True  # somebody mounts it by now, or may: it is kept
            await self._cluster.end_exporters(owner)
            gone = await self._cluster.destroy_volume(owner, key)
            if gone:
                await store.volumes.remove(owner, key)
                await store.measures.forget(owner, key)
            return gone
        match step:
            case planning.SESSION:
                session = workspace.session_id
                if session is None:
                    return True
                known = await store.sessions.get(session)
                if known is not None and known.ended_at is None:
                    await self._hub.stop(owner, server, session)
                    return False
                return not await self._cluster.has_pod(session)
            case planning.HOME:
                if others:
                    return True
                await self._cluster.end_exporters(owner)
                gone = await self._cluster.destroy_homes(owner)
                if gone:
                    await store.measures.forget(owner, HOME)
                return gone
            case _:
                await self._hub.stop(owner, server, "", remove=True)
                return True

    async def _take_back(self, store: Store, workspace: Workspace) -> None:
        """Take back what is exported and shared of *workspace*: all of it is destroyed, copies too."""
        owner, server, now = workspace.owner, workspace.server, self._clock.now()
        actor = workspace.actor or NAME
        for export in await store.exports.alive_of(owner, server, now):
            await store.exports.revoke(export.id, actor=actor, at=now)
        for share in await store.shares.open_of(owner, server, now):
            await store.shares.revoke(share.id, actor=actor, at=now)
