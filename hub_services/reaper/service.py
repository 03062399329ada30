"""
The sweep: look at cluster, hub and store, ask the rules, act.

Level-triggered and idempotent: what is not done now is found again by the next sweep, and may be
cut at any `await`. Nothing is done unless all three could be asked; then each victim is looked at
once more, alone, and the same rule must give the same answer, because between list and act a
workspace may have been started. Every end is written before the Pod is deleted, so that a crash
between the two leaves a Pod whose reason is known, never a Pod that vanished for none.

The order of looking matters. Pods are listed first, then the hub is asked, then the store: the
hub knows a server before it has a Pod, and the store an open session before either. Source:
design §7.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.volumes import project_of
from hub_services.common.acts import attempt
from hub_services.reaper import rules

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from eugospawner.store import Session, Store
    from hub_services.common.clock import Clock
    from hub_services.common.hub import Server
    from hub_services.reaper.cluster import Pods
    from hub_services.reaper.observed import GpuClaim, Pod, Template, VolumeClaim

_log: Final = logging.getLogger(__name__)

#: One act, re-reading included; a cluster that is slower than this is left in peace.
_ACT_SECONDS: Final = 30


class Hub(Protocol):
    """What the sweep asks of the hub; both raise `HubError`."""

    async def servers(self) -> tuple[Server, ...]: ...  # noqa: D102

    async def servers_of(self, owner: str) -> tuple[Server, ...]: ...  # noqa: D102


class Cluster(Protocol):
    """What the sweep asks of Kubernetes; all raise `ClusterError`."""

    async def pods(self) -> Pods: ...  # noqa: D102

    async def pods_of(self, session: str) -> tuple[Pod, ...]: ...  # noqa: D102

    async def templates(self) -> tuple[Template, ...]: ...  # noqa: D102

    async def gpu_claims(self) -> tuple[GpuClaim, ...]: ...  # noqa: D102

    async def volume_claims(self) -> tuple[VolumeClaim, ...]: ...  # noqa: D102

    async def delete_pod(self, pod: Pod) -> None: ...  # noqa: D102

    async def delete_template(self, template: Template) -> None: ...  # noqa: D102


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What a sweep did: numbers of objects, and of acts that failed and are tried again."""

    reaped: int = 0
    closed: int = 0
    dropped: int = 0
    recorded: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _World:
    """Everything that the rules ask about; *sessions* are the open ones and those Pods name."""

    pods: Pods
    templates: tuple[Template, ...]
    gpu_claims: tuple[GpuClaim, ...]
    volume_claims: tuple[VolumeClaim, ...]
    servers: tuple[Server, ...]
    sessions: tuple[Session, ...]
    recorded: Mapping[str, frozenset[str]]


class Reaper:
    """
    The orphan sweep of one namespace.

    Args:
        open_store: Returns the open store; asked anew after it failed.
    """

    def __init__(
        self,
        *,
        cluster: Cluster,
        hub: Hub,
        open_store: Callable[[], Awaitable[Store]],
        clock: Clock,
    ) -> None:
        self._cluster = cluster
        self._hub = hub
        self._open_store = open_store
        self._clock = clock
        self._told: frozenset[str] = frozenset()

    async def sweep_once(self) -> Swept:
        """
        Look, decide and act once.

        Raises:
            EugoError: Cluster, hub or store could not be asked; then nothing was done.
        """
        store = await self._open_store()
        world = await self._look(store)
        now = self._clock.now()
        pods = world.pods.of_sessions
        self._tell(world)
        # Pods first: a session that ends with its Pod gets the reason of the Pod's end.
        done = Counter[str]()
        for reap in rules.to_reap(pods, world.servers, world.sessions, now):
            done[await self._try("reaped", self._reap(store, reap))] += 1
        for close in rules.to_close(world.sessions, pods, world.servers, now):
            done[await self._try("closed", self._close(store, close))] += 1
        dropped = rules.to_drop(world.templates, world.pods.templates, world.sessions, now)
        for template in dropped:
            done[await self._try("dropped", self._drop(store, template))] += 1
        for record in rules.to_record(world.volume_claims, world.recorded):
            done[await self._try("recorded", self._record(store, record))] += 1
        del done["spared"]
        return Swept(**done)

    async def _look(self, store: Store) -> _World:
        pods, templates, gpu_claims, volume_claims = await asyncio.gather(
            self._cluster.pods(),
            self._cluster.templates(),
            self._cluster.gpu_claims(),
            self._cluster.volume_claims(),
        )
        servers = await self._hub.servers()
        owners = sorted({claim.owner for claim in volume_claims if claim.owner})
        recorded = {owner: frozenset(await store.volumes.of_owner(owner)) for owner in owners}
        return _World(
            pods=pods,
            templates=templates,
            gpu_claims=gpu_claims,
            volume_claims=volume_claims,
            servers=servers,
            sessions=await _sessions(store, pods.of_sessions),
            recorded=recorded,
        )

    async def _try(self, done: str, act: Awaitable[bool]) -> str:
        """Return *done*, "spared" if the second look spared it, or "failed"; one fails alone."""

        async def outcome() -> str:
            return done if await act else "spared"

        return await attempt(outcome(), seconds=_ACT_SECONDS, log=_log)

    async def _reap(self, store: Store, reap: rules.Reap) -> bool:
        servers = await self._hub.servers_of(reap.session.owner)
        pods = await self._cluster.pods_of(reap.pod.session)
        session = await store.sessions.get(reap.pod.session)
        known = () if session is None else (session,)
        again = rules.to_reap(pods, servers, known, self._clock.now())
        if not any(each.pod.uid == reap.pod.uid for each in again):
            return False
        await store.sessions.end(reap.pod.session, reason=reap.reason, at=self._clock.now())
        await self._cluster.delete_pod(reap.pod)
        _log.warning(
            "Reaped the Pod %s of %s: %s; session %s ends as %s",
            reap.pod.name, _shown(reap.session), reap.because, reap.session.id, reap.reason,
        )  # fmt: skip
        return True

    async def _close(self, store: Store, close: rules.Close) -> bool:
        servers = await self._hub.servers_of(close.session.owner)
        pods = await self._cluster.pods_of(close.session.id)
        session = await store.sessions.get(close.session.id)
        known = () if session is None else (session,)
        if not rules.to_close(known, pods, servers, self._clock.now()):
            return False
        ended = await store.sessions.end(
            close.session.id, reason=close.reason, at=self._clock.now()
        )
        if ended:
            _log.warning(
                "Ended session %s of %s as %s: it has no Pod",
                close.session.id, _shown(close.session), close.reason,
            )  # fmt: skip
        return ended

    async def _drop(self, store: Store, template: Template) -> bool:
        pods = await self._cluster.pods()
        sessions = await store.sessions.open_sessions()
        if not rules.to_drop((template,), pods.templates, sessions, self._clock.now()):
            return False
        await self._cluster.delete_template(template)
        _log.info("Deleted the GPU claim template %s: nothing refers to it", template.name)
        return True

    async def _record(self, store: Store, record: rules.Record) -> bool:
        # In which project somebody made theirs is forgotten, so no project pays for it.
        project = project_of(record.owner)
        payers = [
            Subject(SubjectKind.USER, record.owner)
            if project is None
            else Subject(SubjectKind.PROJECT, project)
        ]
        await store.volumes.add(record.owner, record.volume, payers=payers, at=self._clock.now())
        _log.warning(
            "Recorded the volume %s of %s again: %s existed and the store did not know it",
            record.volume.key, record.owner, record.volume.claim_name,
        )  # fmt: skip
        return True

    def _tell(self, world: _World) -> None:
        """Log each doubt once, and again if it went away and came back."""
        found = rules.doubts(
            pods=world.pods.of_sessions,
            sessions=world.sessions,
            volume_claims=world.volume_claims,
            gpu_claims=world.gpu_claims,
            pod_uids=world.pods.uids,
            now=self._clock.now(),
        )
        for doubt in found:
            if doubt.uid not in self._told:
                _log.warning("%s", doubt.sentence)
        self._told = frozenset(doubt.uid for doubt in found)


async def _sessions(store: Store, pods: Iterable[Pod]) -> tuple[Session, ...]:
    """Return the open sessions, then the ended ones that *pods* still name."""
    still_open = await store.sessions.open_sessions()
    named = {pod.session for pod in pods}.difference(session.id for session in still_open)
    ended = [await store.sessions.get(session) for session in sorted(named)]
    return (*still_open, *(session for session in ended if session is not None))


def _shown(session: Session) -> str:
    return f"{session.owner}/{session.workspace}" if session.workspace else session.owner
