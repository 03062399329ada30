"""
Storeroom: the desk of volumes: what there is, how full it is, what could go, and how it becomes larger.

Everybody sees their own, and those of their projects; whoever may see the usage sees sizes, and nobody else the names of
folders. Managers make volumes for projects; whoever sets quotas makes volumes larger. Both as far as plan and quotas
leave room. Source: F44; F82 to F84, F86.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import quote

from eugospawner import lines
from eugospawner.manifests import storage
from eugospawner.policy import units
from eugospawner.policy.decisions import Mount
from eugospawner.policy.errors import BadQuantity, ClusterError
from eugospawner.policy.lifecycle import State
from eugospawner.policy.limits import payers_for, subjects_at_stake
from eugospawner.policy.permissions import Platform, may, who_may
from eugospawner.policy.permissions import Workspace as Target
from eugospawner.policy.quota import SubjectKind
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import Action
from eugospawner.policy.standing import room_of
from eugospawner.policy.storage import exceeded, limits_about, limits_for, limits_of
from eugospawner.policy.volumes import (
    HOME,
    HOME_NAME,
    holder_of,
    key_of,
    name_of,
    place_of,
    project_of,
    reference_to,
)
from eugospawner.store.resizes import Resize
from hub_services.common.problems import DoorReason, Fault, FieldProblem, existing, permit
from hub_services.export import choosing, models
from hub_services.export.office import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from eugospawner.policy.accounts import Accounts, Actor, Person, Project
    from eugospawner.policy.storage import StorageLimit
    from eugospawner.settings import Settings
    from eugospawner.store import Store, Workspace
    from eugospawner.store.measures import Measure
    from hub_services.common.clock import Clock
    from hub_services.common.newest import Newest
    from hub_services.export.cluster import Claim
    from hub_services.export.resizing import Resizer

#: Kubernetes counts in 64 bits; no disk of anybody's has more than this.
LARGEST: Final = 1 << 60
#: Who asks, in addresses.
ME: Final = "~"


class Cluster(Protocol):
    """What is asked of Kubernetes; all raise `ClusterError`."""

    async def claims(self) -> tuple[Claim, ...]: ...  # noqa: D102

    async def claims_of(self, owner: str, keys: Iterable[str]) -> tuple[Claim, ...]: ...  # noqa: D102

    async def make(self, claim: Mapping[str, object]) -> None: ...  # noqa: D102


class Storeroom:
    """
    The desk.

    Args:
        slug: Makes a user's name fit for a label.
        storage_class: Of projects' new volumes; empty: the cluster's default.
        wake: Has what was put on record be done now.
    """

    def __init__(
        self,
        *,
        newest: Newest,
        open_store: Callable[[], Awaitable[Store]],
        cluster: Cluster,
        resizer: Resizer,
        clock: Clock,
        slug: Callable[[str], str],
        storage_class: str,
        wake: Callable[[], None],
    ) -> None:
        self._newest = newest
        self._open_store = open_store
        self._cluster = cluster
        self._resizer = resizer
        self._clock = clock
        self._slug = slug
        self._storage_class = storage_class
        self._wake = wake

    async def listed(self, actor: Actor, query: models.VolumesQuery) -> models.Volumes:
        """
        Return the volumes of somebody, or all that *actor* may see.

        Raises:
            Fault: *actor* may not see that person's.
        """
        settings, store = await self._newest.settings(), await self._open_store()
        if query.everybody:
            return await self._everybodys(actor, settings, store)
        owner = query.owner or actor.name
        self._permit_seeing(actor, owner, settings)
        projects = self._accounts_of(owner, settings).projects
        holders = [holder_of(each.key) for each in projects if each.group is not None]
        claims = [
            each
            for holder in (owner, *holders)
            if holder == owner or self._sees(actor, holder, settings)
            for each in await self._claims_of(store, holder)
        ]
        return models.Volumes(
            volumes=await self._shown(actor, claims, settings, store),
            room=await self._room(store, owner, settings),
        )

    async def one(self, actor: Actor, path: models.VolumePath) -> models.Volume:
        """
        Return one volume, to its owner with what its folders take.

        Raises:
            Fault: There is none, or *actor* may not see it.
        """
        settings, store = await self._newest.settings(), await self._open_store()
        claim = await self._claim(actor, path, settings, store)
        return await self._closely(actor, claim, settings, store)

    async def create(self, actor: Actor, new: models.NewVolume) -> models.Volume:
        """
        Make a volume for a project, which its members mount as ``key@project``.

        Raises:
            Fault: There is no such project, *actor* may not, it has one of this name, or no limit leaves room.
        """
        settings, store = await self._newest.settings(), await self._open_store()
        project = settings.directory.projects.get(new.project)
        holder, people = holder_of(new.project), settings.directory.people
        if project is None or not self._sees(actor, holder, settings):
            project = None
        project = existing(project, "project", new.project)
        usual = settings.catalog.storage.volume_bytes
        size = _size(new.size) if new.size.strip() else usual
        # Who manages a project hands out what a person may make; another size is a quota of its own.
        action = Action.BIND_PLAN if size <= usual else Action.CHANGE_QUOTA
        permit(
            f"make a volume of {units.size_words(size)} for the project {new.project}",
            allowed=may(actor, action, project, people),
            ask=who_may(action, project),
        )
        mount = Mount(
            key=reference_to(holder, new.key), mount_path="", claim_name=None, size_bytes=size
        )
        claims = await self._cluster.claims_of(holder, (new.key,))
        if claims:
            message = f"There is a volume {mount.key} already: choose another name."
            raise Fault(DoorReason.ALREADY_THERE, message)
        now, quotas = self._clock.now(), settings.catalog.storage_quotas
        limits = limits_for(project, quotas, now)
        volume = replace(storage.to_volume(mount, owner=""), key=new.key)
        # The record first: a claim that nobody made before dying over it is made by the next try, or the first mount.
        if not await store.volumes.add(
            holder, volume, payers=payers_for(project), limits=limits, at=now
        ):
            held = await store.volumes.held([each.subject for each in limits])
            full = exceeded(limits, held, size) or limits
            raise _no_room(full[0], size)
        await self._cluster.make(
            storage.make_volume_claim(
                mount, owner="", owner_slug="",
                storage_class=self._storage_class or None,
                access_modes=settings.catalog.storage.access_modes,
            )
        )  # fmt: skip
        await store.audit.record(
            "make-volume", f"volume.{holder}/{new.key}", actor=actor.name, at=now,
            detail={"bytes": size},
        )  # fmt: skip
        return await self.one(actor, models.VolumePath(owner=ME, volume=mount.key))

    async def measure(self, actor: Actor, path: models.VolumePath) -> models.Volume:
        """
        Have a volume measured now.

        Raises:
            Fault: There is none, or *actor* may not see it.
        """
        settings, store = await self._newest.settings(), await self._open_store()
        claim = await self._claim(actor, path, settings, store)
        await store.measures.want(claim.owner, claim.key, at=self._clock.now())
        self._wake()
        return await self._closely(actor, claim, settings, store)

    async def resize(
        self, actor: Actor, path: models.VolumePath, new: models.NewSize
    ) -> models.Volume:
        """
        Make a volume larger.

        Raises:
            Fault: There is none, *actor* may not, it would be smaller, no limit leaves room, or Kubernetes refuses.
        """
        settings, store = await self._newest.settings(), await self._open_store()
        claim = await self._claim(actor, path, settings, store)
        owner, key = claim.owner, claim.key
        target = _target(owner, settings)
        permit(
            f"give the volumes of {owner} another size",
            allowed=may(actor, Action.CHANGE_QUOTA, target, settings.directory.people),
            ask=who_may(Action.CHANGE_QUOTA, target),
        )
        size = _size(new.size)
        has = max(claim.size_bytes, claim.capacity_bytes)
        if size == has:
            return await self._closely(actor, claim, settings, store)
        if size < has:
            message = (
                f"The volume has {units.size_words(has)}, and no volume becomes smaller. "
                "Make a smaller one, and move the files."
            )
            raise Fault(DoorReason.VOLUME_SHRINKS, message)
        resize = Resize(
            owner=owner, volume=key, size_bytes=size, former_bytes=has, actor=actor.name,
            at=self._clock.now(),
        )  # fmt: skip
        limits = () if key == HOME else await self._limits(store, owner, key, settings)
        full = await store.resizes.wish(resize, limits=limits)
        if full is None:
            message = f"The volume {name_of(key)} has changed meanwhile. Look again."
            raise Fault(DoorReason.SETTINGS_CHANGED, message)
        if full:
            raise _no_room(full[0], size - has)
        try:
            await self._resizer.tell(resize)
        except ClusterError:
            self._wake()  # it stands in the store, and the next sweep tells it
        return await self.one(actor, path)

    async def sees_others(self, actor: Actor) -> bool:
        """Whether *actor* may see volumes of others, too."""
        people = (await self._newest.settings()).directory.people
        return any(
            may(actor, Action.SEE_USAGE, each, people)
            for each in people.values()
            if each.name != actor.name
        )

    async def makes_for(self, actor: Actor) -> tuple[Project, ...]:
        """Return the projects for which *actor* may make volumes."""
        directory = (await self._newest.settings()).directory
        return tuple(
            each
            for each in directory.projects.values()
            if may(actor, Action.BIND_PLAN, each, directory.people)
        )

    async def _everybodys(self, actor: Actor, settings: Settings, store: Store) -> models.Volumes:
        seen: dict[str, bool] = {}

        def is_seen(owner: str) -> bool:
            if owner not in seen:
                seen[owner] = self._sees(actor, owner, settings)
            return seen[owner]

        claims = [each for each in await self._cluster.claims() if is_seen(each.owner)]
        showing = _Showing(
            actor,
            settings,
            self._slug,
            _by_holder(await store.workspaces.every()),
            await store.measures.every(),
            await self._resizes(store),
        )
        return models.Volumes(
            volumes=[showing.volume(each) for each in sorted(claims, key=_order)], room=[]
        )

    async def _closely(
        self, actor: Actor, claim: Claim, settings: Settings, store: Store
    ) -> models.Volume:
        (shown,) = await self._shown(actor, (claim,), settings, store, closely=True)
        return shown

    async def _shown(
        self,
        actor: Actor,
        claims: Sequence[Claim],
        settings: Settings,
        store: Store,
        *,
        closely: bool = False,
    ) -> list[models.Volume]:
        """Return volumes as *actor* sees them."""
        holders = dict.fromkeys(each.owner for each in claims)
        is_somebodys = all(project_of(each) is None for each in holders)
        workspaces = [
            each
            for owner in (holders if is_somebodys else (None,))
            for each in await store.workspaces.every(owner)
        ]
        showing = _Showing(
            actor,
            settings,
            self._slug,
            _by_holder(workspaces),
            {each: await store.measures.of_owner(each) for each in holders},
            await self._resizes(store),
        )
        return [showing.volume(each, closely=closely) for each in claims]

    async def _claims_of(self, store: Store, owner: str) -> Sequence[Claim]:
        keys = await store.volumes.of_owner(owner)
        return sorted(await self._cluster.claims_of(owner, keys), key=_order)

    async def _claim(
        self, actor: Actor, path: models.VolumePath, settings: Settings, store: Store
    ) -> Claim:
        owner = actor.name if path.owner == ME else path.owner
        owner, key = place_of(key_of(path.volume), owner)
        self._permit_seeing(actor, owner, settings)
        claims = await self._claims_of(store, owner)
        found = next((each for each in claims if each.key == key), None)
        return existing(found, f"volume of {owner}", path.volume)

    def _permit_seeing(self, actor: Actor, owner: str, settings: Settings) -> None:
        permit(
            f"see the volumes of {owner}",
            allowed=self._sees(actor, owner, settings),
            # Not who leads their organization: that would tell a stranger that they have one.
            ask=who_may(Action.SEE_USAGE, Platform()),
        )

    def _sees(self, actor: Actor, holder: str, settings: Settings) -> bool:
        """Whether *actor* may see the volumes of *holder*."""
        target, people = _target(holder, settings), settings.directory.people
        return may(actor, Action.SEE_USAGE, target, people)

    def _accounts_of(self, name: str, settings: Settings) -> Accounts:
        return settings.directory.accounts_of(name, self._slug(name))

    async def _resizes(self, store: Store) -> Mapping[tuple[str, str], Resize]:
        return {(each.owner, each.volume): each for each in await store.resizes.wished()}

    async def _limits(
        self, store: Store, owner: str, key: str, settings: Settings
    ) -> tuple[StorageLimit, ...]:
        """Return what leaves room for a volume that exists."""
        payers = await store.volumes.payers_of(owner, key)
        quotas, now = settings.catalog.storage_quotas, self._clock.now()
        if project_of(owner) is not None:
            return tuple(limit for each in payers for limit in limits_about(each, quotas, now))
        projects = [each.key for each in payers if each.kind is SubjectKind.PROJECT]
        accounts = settings.directory.accounts_of(owner, self._slug(owner))
        project = accounts.find(projects[0]) if projects else accounts.personal
        if project is not None:
            return limits_of(owner, project, quotas, now)
        return tuple(limit for each in payers for limit in limits_about(each, quotas, now))

    async def _room(self, store: Store, owner: str, settings: Settings) -> list[models.Room]:
        accounts = settings.directory.accounts_of(owner, self._slug(owner))
        held = await store.volumes.held(subjects_at_stake(accounts))
        standings = room_of(accounts, settings.catalog, held, self._clock.now())
        return [
            models.Room(limit=each.limit, used=each.used, share=each.share, tone=each.tone)
            for each in map(lines.storage_line_of, standings)
        ]


def _target(holder: str, settings: Settings) -> Person | Project | Platform:
    """Return whose volumes those of *holder* are; of a project that is no more, the platform's."""
    project = project_of(holder)
    if project is None:
        return settings.directory.person(holder)
    return settings.directory.projects.get(project) or Platform()


def _by_holder(workspaces: Iterable[Workspace]) -> Mapping[str, Sequence[Workspace]]:
    """Return the workspaces that may mount the volumes of each holder."""
    found: dict[str, list[Workspace]] = {}
    for each in workspaces:
        found.setdefault(each.owner, []).append(each)
        found.setdefault(holder_of(each.project), []).append(each)
    return found


class _Showing:
    """How volumes are shown to somebody."""

    def __init__(
        self,
        actor: Actor,
        settings: Settings,
        slug: Callable[[str], str],
        workspaces: Mapping[str, Sequence[Workspace]],
        measures: Mapping[str, Mapping[str, Measure]],
        resizes: Mapping[tuple[str, str], Resize],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._slug = slug
        self._workspaces = workspaces
        self._measures = measures
        self._resizes = resizes

    def volume(self, claim: Claim, *, closely: bool = False) -> models.Volume:
        """Return the volume of *claim*."""
        key, project = claim.key, project_of(claim.owner)
        reference = reference_to(claim.owner, key)
        measure = self._measures.get(claim.owner, {}).get(key)
        is_known = measure is not None and measure.measured_at is not None
        fill = lines.fill_of(measure)
        resize = self._resizes.get((claim.owner, key))
        directory = self._settings.directory
        accounts = directory.accounts_of(self._actor.name, self._slug(self._actor.name))
        is_own = self._actor.name == claim.owner or (
            project is not None and accounts.find(project) is not None
        )
        name = name_of(reference)
        place = f"{quote(claim.owner, safe='') if project is None else ME}/{name}"
        has = claim.capacity_bytes or claim.size_bytes
        wanted = max(claim.size_bytes, resize.size_bytes if resize else 0)
        summary = measure.summary if measure is not None and closely and is_own else {}
        return models.Volume(
            owner=claim.owner, volume=name, place=place, project=project,
            title="Home" if key == HOME else reference,
            bytes=has, size=units.size_words(has),
            wanted=None if wanted <= has else units.size_words(wanted),
            awaits_restart=claim.awaits_restart, is_going=claim.is_going,
            storage_class=claim.storage_class, modes=list(claim.modes),
            used_bytes=measure.used_bytes if measure and is_known else None,
            used=fill.used, percent=fill.percent, word=fill.word, tone=fill.tone,
            free_bytes=measure.free_bytes if measure and is_known else None,
            files=measure.files if measure else 0,
            measured_at=measure.measured_at if measure else None,
            measuring=measure is not None and measure.wanted_at is not None,
            problem=measure.problem if measure else "",
            mounted_by=list(self._mounts(claim.owner, name)),
            is_own=is_own,
            may_resize=may(
                self._actor,
                Action.CHANGE_QUOTA,
                _target(claim.owner, self._settings),
                directory.people,
            ),
            folders=[_folder(each) for each in summary.get("folders", ())],
            culprits=[models.Culprit(size=units.size_words(each["bytes"]), **each) for each in summary.get("culprits", ())],
            unreadable=summary.get("unreadable", 0),
        )  # fmt: skip

    def _mounts(self, holder: str, volume: str) -> Iterator[models.Mounted]:
        home = self._settings.catalog.storage.home_path
        for each in self._workspaces.get(holder, ()):
            paths = choosing.mounts_of(each.options, home)
            path = next((path for path, name in paths.items() if name == volume), None)
            if path is None or not self._is_shown(each, holder):
                continue
            if volume != HOME_NAME or each.session_id is not None:
                yield models.Mounted(
                    server=each.server or DEFAULT,
                    workspace=each.name,
                    path=path,
                    running=each.state in {State.STARTING, State.RUNNING, State.STOPPING},
                )

    def _is_shown(self, workspace: Workspace, holder: str) -> bool:
        """Of those that mount a project's volume, one that who asks may see."""
        if workspace.owner in {holder, self._actor.name}:
            return True
        directory = self._settings.directory
        project = directory.projects.get(workspace.project)
        owner = directory.person(workspace.owner)
        return project is not None and may(
            self._actor,
            Action.SEE_USAGE,
            Target(owner=owner, project=project),
            directory.people,
        )


def _folder(each: Mapping[str, object]) -> models.FolderSize:
    size = int(str(each["bytes"]))
    return models.FolderSize(path=str(each["path"]), bytes=size, size=units.size_words(size))


def _order(claim: Claim) -> tuple[str, str]:
    """The home, whose key is empty, comes before the others of its owner."""
    return claim.owner, claim.key


def _size(text: str) -> int:
    try:
        size = units.parse_memory(text)
    except BadQuantity as error:
        raise _malformed(str(error)) from error
    if not 0 < size <= LARGEST:
        problem = f"{text!r} is no size of a volume: write for example 20Gi"
        raise _malformed(problem)
    return size


def _malformed(problem: str) -> Fault:
    return Fault(
        DoorReason.MALFORMED, f"{problem}.", (FieldProblem(field="body.size", detail=problem),)
    )


def _no_room(limit: StorageLimit, growth: int) -> Fault:
    whose = f"of the {limit.subject.kind} {limit.subject.key}"
    by = f"quota {limit.quota}" if limit.quota else "the plan"
    message = (
        f"There is no room for {units.size_words(growth)} more: the volumes {whose} may have "
        f"{units.size_words(limit.size_bytes)} together ({by}). Raise that first, or delete a volume."
    )
    reason = Reason.STORAGE_EXHAUSTED if limit.quota else Reason.VOLUMES_MORE_THAN_PLAN
    return Fault(reason, message)
