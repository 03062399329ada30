"""
Desk: what all spawners of a hub process share.

JupyterHub makes one spawner object per server; catalog, store, reflectors and the memory of
claim templates exist once per process, configuration and event loop. The desk opens them when
they are first needed and hands them out; it knows no user and decides nothing.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from eugospawner import cluster, records, showing
from eugospawner.cluster import ClaimTemplates, send_as_it_stands, settle_route
from eugospawner.judge import Circumstances
from eugospawner.lives import Lives
from eugospawner.manifests import attachments, kueue, labels
from eugospawner.manifests.placement import Placement
from eugospawner.once import Once
from eugospawner.policy import limits
from eugospawner.policy.catalog import Engine
from eugospawner.policy.decisions import Gpus
from eugospawner.policy.errors import ClusterError, ConfigError, StoreError
from eugospawner.policy.lifecycle import Ending
from eugospawner.policy.permissions import Workspace as Target
from eugospawner.policy.permissions import has
from eugospawner.policy.quota import NOTHING_USED
from eugospawner.policy.roles import Action
from eugospawner.policy.volumes import Volumes, project_named_in
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from eugospawner.store import Brief, open_store
from eugospawner.store.audit import REQUEST
from eugospawner.watches import Watches

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from kubespawner import KubeSpawner

    from eugospawner.manifests.kueue import Ticket
    from eugospawner.policy.accounts import Actor, Person
    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.quota import Demand
    from eugospawner.policy.volumes import Attachment, Volume
    from eugospawner.settings import Settings
    from eugospawner.showing import Shown, Stored
    from eugospawner.store import NewSession, Session, Store, Workspace

#: A Kubernetes object as JSON gives it.
Json = Any

#: Starts that are on their way to their Pod at the same time. In a crowd, the first then have it
#: while the last are still being prepared; all at once, each would wait for all.
_AT_ONCE: Final = 16

#: Who stops what Kueue evicts, in the audit.
_KUEUE: Final = "kueue"

_ONE_WISH_EACH: Final = timedelta(days=1)

#: What a decision takes for granted that leaves the rest to the store.
_NOTHING_READ: Final = Brief(changes=(), usage=NOTHING_USED, volumes={})

_DESKS: Final[dict[tuple[object, ...], Desk]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """
    Workspaces as somebody sees them.

    Attributes:
        zone: IANA zone in which times are shown.
        now: As of when.
    """

    shown: tuple[Shown, ...]
    zone: str
    now: datetime

    @property
    def full(self) -> tuple[Stored, ...]:
        """Volumes that are nearly full, or full, each once (F86)."""
        found = {each.volume: each for one in self.shown for each in one.storage}
        return tuple(each for each in found.values() if each.fill.tone in {"warn", "danger"})


def desk_of(spawner: KubeSpawner) -> Desk:
    """Return the desk for the configuration of *spawner* on the running loop."""
    key = (
        asyncio.get_running_loop(),
        spawner.catalog_file,
        spawner.store_url,
        spawner.namespace,
    )
    if key not in _DESKS:
        _DESKS[key] = Desk(spawner)
    return _DESKS[key]


class Desk:
    """
    Catalog, store, watches and templates of a hub process.

    Args:
        spawner: Any spawner of the process; its configuration is everybody's.

    Raises:
        ConfigError: A setting is missing or wrong, or the catalog is.
    """

    def __init__(self, spawner: KubeSpawner) -> None:
        for setting in ("catalog_file", "store_url", "now"):
            if not getattr(spawner, setting):
                message = f"EugoSpawner.{setting} is not set: set c.EugoSpawner.{setting}"
                raise ConfigError(message)
        self._source = Source(
            Path(spawner.catalog_file),
            kinds=spawner.unavailable_kinds,
            images=spawner.unavailable_images,
        )
        self.watches = Watches(
            spawner,
            spawner.namespace,
            spawner.component_label,
            Placement(
                tolerations=spawner._sorted_dict_values(spawner.tolerations),  # noqa: SLF001
                node_selector=dict(spawner.node_selector),
            ),
        )
        self.templates = ClaimTemplates()
        #: Held from the decision to the creation of the Pod; first come, first served.
        self.turn = asyncio.Semaphore(_AT_ONCE)
        self._api, self._namespace = spawner.api, spawner.namespace
        settle_route(spawner.api.api_client)
        send_as_it_stands(spawner.api.api_client)
        self._log = spawner.log
        self._now = spawner.now
        store_url: str = spawner.store_url
        self._store: Once[Store] = Once(lambda: open_store(store_url))
        self.watches.pods.when_evicted = self._evicted
        self._notes: set[asyncio.Task[None]] = set()

    async def store(self) -> Store:
        """
        Return the store, opened once.

        Raises:
            StoreError: It cannot be opened; the next call tries again.
        """
        return await self._store.get()

    @property
    def catalog(self) -> Catalog:
        """What is on offer, as last read."""
        return self._source.settings.catalog

    async def watching(self) -> None:
        """
        Return once what a start waits for is followed.

        Raises:
            ApiException: Pods or their events cannot be read; the next call tries again.
        """
        await self.watches.started(self.watches.pods, self.watches.events)
        if self.catalog.engine is Engine.KUEUE:
            await self.watches.queues_started(self._log.warning)

    def _evicted(self, pod: Json) -> None:
        """Have it recorded why Kueue stops *pod*, while that can still be read."""
        task = asyncio.get_running_loop().create_task(self._record_eviction(pod))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _record_eviction(self, pod: Json) -> None:
        session = (pod["metadata"].get("labels") or {}).get(labels.SESSION)
        eviction = kueue.eviction_of(pod)
        if not session or eviction is None:
            return
        displacing = kueue.queue_of(
            eviction.for_whom, self.watches.pods.pods.values(), labels.QUEUE, self.catalog.queues
        )
        said = kueue.sentence_of(eviction, displacing)
        try:
            store = await self.store()
            await store.sessions.ask_to_stop(
                session, reason=eviction.ending, actor=_KUEUE, at=self._now(), said=said
            )
        except StoreError as error:
            self._log.warning("Why Kueue ends %s was not recorded (%s): %s", session, said, error)

    async def circumstances(
        self,
        *,
        owner: str,
        owner_slug: str,
        now: datetime,
        volumes: bool,
        usage: bool,
        workspaces: bool = False,
        name: str | None = None,
    ) -> Circumstances:
        """
        Return what a request of *owner* is judged by at *now*.

        What admins changed since the last time is read with it, so it holds from the next start on.

        Args:
            volumes: Whether the owner's extra volumes matter.
            usage: Whether what is used matters; else nothing is taken to be, which is for whoever
                asks the store to reserve next: there it is fitted anew. With neither, nothing is
                read, and the store is to be told the revision of these settings.
            workspaces: Whether the owner's workspaces are wanted.
            name: Of a workspace, if it matters who has it.

        Raises:
            StoreError: The store does not answer, or what was changed there makes no sense.
        """
        brief = _NOTHING_READ
        while True:
            revision = self._source.revision
            catalog, directory = self._source.settings.catalog, self._source.settings.directory
            accounts = directory.accounts_of(owner, owner_slug)
            # Whether the workspace exists is asked only where it makes a difference.
            matters = not all(map(partial(has, accounts.person), (Action.CREATE, Action.DEPLOY)))
            if not (volumes or usage or matters):
                break
            brief = await (await self.store()).brief(
                revision=revision,
                subjects=limits.subjects_at_stake(accounts),
                since=now if usage else None,
                spans=limits.spans_of(catalog.quotas),
                volumes_of=owner if volumes else None,
                workspaces_of=owner if workspaces or matters or usage else None,
                name=name if usage else None,
                projects=[project.key for project in accounts.projects],
            )
            if not self._source.take(brief.changes):
                break
        if brief.holders or brief.workspaces:
            accounts = replace(
                accounts,
                names=brief.holders,
                servers=frozenset(each.server for each in brief.workspaces),
                states={each.server: each.state for each in brief.workspaces},
            )
        return Circumstances(
            revision=revision,
            catalog=catalog,
            accounts=accounts,
            usage=brief.usage,
            volumes=Volumes(
                by_key=brief.volumes,
                held=brief.held,
                attached=await self._attached(owner, brief.volumes),
            ),
            workspaces=brief.workspaces,
            cluster=await self.watches.view(catalog.gpu_models, self._log.warning),
            now=now,
        )

    async def _attached(self, owner: str, volumes: Mapping[str, Volume]) -> tuple[Attachment, ...]:
        """Return what *owner* may mount and is in use where no second Node can have it, as far as that is known."""
        try:
            await self.watches.started(self.watches.pods)
            pods = self.watches.pods
            keys = {each.claim_name: reference for reference, each in volumes.items()}
            shared = {claim: each for claim, each in keys.items() if project_named_in(each)}
            seen = [
                *attachments.of_pods(pods.of_owner(owner), owner, keys),
                # Of others' only what is not theirs alone; and as long as projects have no volumes, nobody's.
                *attachments.of_others(pods.resources.values() if shared else (), owner, shared),
            ]
            bound = {
                claim: await cluster.is_on_one_node(self._api, self._namespace, claim)
                for claim in sorted({claim for claim, _ in seen})
            }
            found = [each for claim, each in seen if bound[claim]]
        except Exception as error:  # noqa: BLE001 - only advisory: the scheduler has the word
            self._log.warning("Where the volumes of %s are attached is not known: %s", owner, error)
            return ()
        return tuple(found)

    async def settings(self) -> Settings:
        """
        Return the newest settings.

        Raises:
            StoreError: The store does not answer, or what was changed there makes no sense.
        """
        store = await self.store()
        self._source.take(await store.changes.since(self._source.newest))
        return self._source.settings

    @property
    def lives(self) -> Lives:
        """What is done to workspaces that are there."""
        return Lives(store=self.store, settings=self.settings, now=self._now, slug=slug_of)

    async def show(self, owner: str, actor: Actor, others: Iterable[Workspace]) -> Overview:
        """
        Return the workspaces of *owner* as *actor* sees them.

        Args:
            others: What the hub has of *owner*; those without a record are shown as they stand here.

        Raises:
            StoreError: The records cannot be read.
        """
        store, settings = await self.store(), await self.settings()
        recorded = await store.workspaces.of_owner(owner)
        known = {each.server for each in recorded}
        unrecorded = [each for each in others if each.server not in known]
        ids = [each.session_id for each in recorded if each.session_id is not None]
        sessions = {each.id: each for each in await store.sessions.of(ids)}
        measures = await store.measures.of_owner(owner)
        lives, now = self.lives, self._now()
        return Overview(
            shown=tuple(
                showing.show(
                    each,
                    sessions.get(each.session_id or ""),
                    lives.target_of(settings, each),
                    actor=actor,
                    people=settings.directory.people,
                    catalog=settings.catalog,
                    now=now,
                    measures=measures,
                )
                for each in (*recorded, *unrecorded)
            ),
            zone=settings.catalog.zone,
            now=now,
        )

    async def label_queue(self, session: Session) -> None:
        """Have the Pod of *session* say in which queue it is; if that fails, the reaper does it."""
        try:
            await cluster.label_pod(
                self._api, self._namespace, session.pod_name, {labels.QUEUE: session.queue}
            )
        except ClusterError as error:
            self._log.warning("The Pod %s keeps its queue: %s", session.pod_name, error)

    async def workspace(self, owner: str, server: str) -> tuple[Target, Mapping[str, Person]]:
        """
        Return the workspace *server* of *owner* as the object of an action, and who is known.

        What cannot be read is as it was last known, and a workspace without a record is personal.
        """
        known = None
        try:
            store = await self.store()
            self._source.take(await store.changes.since(self._source.newest))
            known = next(
                (each for each in await store.workspaces.of_owner(owner) if each.server == server),
                None,
            )
        except StoreError as error:
            self._log.warning("Permissions are as last known: %s", error)
        directory = self._source.settings.directory
        accounts = directory.accounts_of(owner, slug_of(owner))
        project = accounts.find(known.project) if known is not None else None
        found = Target(owner=accounts.person, project=project or accounts.personal)
        return found, directory.people

    async def record(self, action: str, what: str, *, actor: str) -> None:
        """Write a line of the audit; if that fails, the log has it."""
        try:
            store = await self.store()
            await store.audit.record(action, what, actor=actor, at=self._now())
        except StoreError as error:
            self._log.warning("%s: %s %s was not recorded: %s", actor, action, what, error)

    async def say_why(
        self, session_id: str, *, owner: str, actor: str, reason: Ending | None = None
    ) -> None:
        """
        Record why a session is about to be stopped; if that fails it is stopped all the same.

        Args:
            reason: `None`: *actor* wants it, who is the owner or an admin.
        """
        if reason is None:
            reason = Ending.USER if actor == owner else Ending.ADMIN
        try:
            store = await self.store()
            await store.sessions.ask_to_stop(session_id, reason=reason, actor=actor, at=self._now())
        except StoreError as error:
            self._log.warning("Why %s of %s stops was not recorded: %s", session_id, owner, error)

    async def note_activity(self, seen: Mapping[str, datetime]) -> None:
        """Record when work was seen in which sessions; no moment is later than now."""
        now = self._now()
        try:
            store = await self.store()
            await asyncio.gather(
                *(store.sessions.note_activity(each, min(at, now)) for each, at in seen.items())
            )
        except StoreError as error:
            self._log.warning("Activity was not recorded: %s", error)

    async def wish(self, what: str, *, actor: str) -> None:
        """Record that *actor* asks for access to *what*, unless they did within a day."""
        try:
            store = await self.store()
            lines = await store.audit.lines(about=what)
            if any(
                each.action == REQUEST
                and each.actor == actor
                and self._now() - each.at < _ONE_WISH_EACH
                for each in lines
            ):
                return
            await store.audit.record(REQUEST, what, actor=actor, at=self._now())
        except StoreError as error:
            self._log.warning("%s: the request for %s was not recorded: %s", actor, what, error)
            raise

    def demand_of(
        self, session: NewSession, slug: Callable[[str], str], *, percent: int, now: datetime
    ) -> Demand | None:
        """Return what *session* would take from *now* on by today's rules; `records.demand_of`."""
        return records.demand_of(session, self._source.settings, slug, percent=percent, now=now)

    def ticket_of(self, pod: Json | None) -> Ticket | None:
        """Return the place of *pod* in its queue while Kueue holds it back; `None`: it does not."""
        if pod is None or not kueue.is_gated(pod):
            return None
        key = (pod["metadata"].get("labels") or {}).get(labels.QUEUE, "")
        queue = self.catalog.queues.get(key)
        return kueue.Ticket(
            queue=queue.display_name if queue else key,
            said=kueue.missing_of(self.watches.workloads.of_pod(pod)),
        )

    def gpus_of(self, pod: Json | None) -> Gpus | None:
        """Return the GPUs that *pod* was made for, by its labels; `None`: none, or unknown."""
        found = (pod or {}).get("metadata", {}).get("labels") or {}
        model = self.catalog.gpu_models.get(found.get(labels.GPU_MODEL, ""))
        if model is None:
            return None
        return Gpus(
            model=model,
            count=int(found.get(labels.GPU_COUNT, 0)),
            sm_percent=int(found.get(labels.SM_PERCENT, 0)),
        )
