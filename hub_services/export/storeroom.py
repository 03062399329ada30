"""
Storeroom: the desk of volumes: what there is, how full it is, what could go, and how it becomes larger.

Everybody sees their own; whoever may see somebody's usage sees sizes, and nobody but the owner sees the names of
folders. Whoever sets quotas makes volumes larger, as far as plan and quotas leave room. Source: F82 to F84, F86.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from eugospawner import lines
from eugospawner.policy import units
from eugospawner.policy.errors import BadQuantity, ClusterError
from eugospawner.policy.lifecycle import State
from eugospawner.policy.limits import subjects_at_stake
from eugospawner.policy.permissions import Platform, may, who_may
from eugospawner.policy.quota import SubjectKind
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import Action
from eugospawner.policy.standing import room_of
from eugospawner.policy.storage import limits_about, limits_of
from eugospawner.policy.volumes import HOME, key_of, name_of
from eugospawner.store.resizes import Resize
from hub_services.common.problems import DoorReason, Fault, FieldProblem, existing, permit
from hub_services.export import choosing, models
from hub_services.export.office import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence

    from eugospawner.policy.accounts import Actor
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


class Storeroom:
    """
    The desk.

    Args:
        slug: Makes a user's name fit for a label.
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
        wake: Callable[[], None],
    ) -> None:
        self._newest = newest
        self._open_store = open_store
        self._cluster = cluster
        self._resizer = resizer
        self._clock = clock
        self._slug = slug
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
        claims = await self._claims_of(store, owner)
        return models.Volumes(
            volumes=await self._shown(actor, owner, claims, settings, store),
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
        person = settings.directory.person(owner)
        permit(
            f"give the volumes of {owner} another size",
            allowed=may(actor, Action.CHANGE_QUOTA, person, settings.directory.people),
            ask=who_may(Action.CHANGE_QUOTA, person),
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

    async def _everybodys(self, actor: Actor, settings: Settings, store: Store) -> models.Volumes:
        people = settings.directory.people
        seen: dict[str, bool] = {}

        def is_seen(owner: str) -> bool:
            if owner not in seen:
                target = settings.directory.person(owner)
                seen[owner] = may(actor, Action.SEE_USAGE, target, people)
            return seen[owner]

        claims = [each for each in await self._cluster.claims() if is_seen(each.owner)]
        workspaces: dict[str, list[Workspace]] = {}
        for workspace in await store.workspaces.every():
            workspaces.setdefault(workspace.owner, []).append(workspace)
        measures, resizes = await store.measures.every(), await self._resizes(store)
        return models.Volumes(
            volumes=[
                _Showing(
                    actor,
                    settings,
                    workspaces.get(each.owner, ()),
                    measures.get(each.owner, {}),
                    resizes,
                ).volume(each)
                for each in sorted(claims, key=_order)
            ],
            room=[],
        )

    async def _closely(
        self, actor: Actor, claim: Claim, settings: Settings, store: Store
    ) -> models.Volume:
        (shown,) = await self._shown(actor, claim.owner, (claim,), settings, store, closely=True)
        return shown

    async def _shown(
        self,
        actor: Actor,
        owner: str,
        claims: Iterable[Claim],
        settings: Settings,
        store: Store,
        *,
        closely: bool = False,
    ) -> list[models.Volume]:
        """Return volumes of *owner* as *actor* sees them."""
        showing = _Showing(
            actor,
            settings,
            await store.workspaces.of_owner(owner),
            await store.measures.of_owner(owner),
            await self._resizes(store),
        )
        return [showing.volume(each, closely=closely) for each in claims]

    async def _claims_of(self, store: Store, owner: str) -> Sequence[Claim]:
        keys = await store.volumes.of_owner(owner)
        return sorted(await self._cluster.claims_of(owner, keys), key=_order)

    async def _claim(
        self, actor: Actor, path: models.VolumePath, settings: Settings, store: Store
    ) -> Claim:
        owner, key = (actor.name if path.owner == ME else path.owner), key_of(path.volume)
        self._permit_seeing(actor, owner, settings)
        claims = await self._claims_of(store, owner)
        found = next((each for each in claims if each.key == key), None)
        return existing(found, f"volume of {owner}", path.volume)

    def _permit_seeing(self, actor: Actor, owner: str, settings: Settings) -> None:
        target, people = settings.directory.person(owner), settings.directory.people
        permit(
            f"see the volumes of {owner}",
            allowed=may(actor, Action.SEE_USAGE, target, people),
            # Not who leads their organization: that would tell a stranger that they have one.
            ask=who_may(Action.SEE_USAGE, Platform()),
        )

    async def _resizes(self, store: Store) -> Mapping[tuple[str, str], Resize]:
        return {(each.owner, each.volume): each for each in await store.resizes.wished()}

    async def _limits(
        self, store: Store, owner: str, key: str, settings: Settings
    ) -> tuple[StorageLimit, ...]:
        """Return what leaves room for a volume that exists."""
        payers = await store.volumes.payers_of(owner, key)
        quotas, now = settings.catalog.storage_quotas, self._clock.now()
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


class _Showing:
    """How volumes of one owner are shown to somebody."""

    def __init__(
        self,
        actor: Actor,
        settings: Settings,
        workspaces: Sequence[Workspace],
        measures: Mapping[str, Measure],
        resizes: Mapping[tuple[str, str], Resize],
    ) -> None:
        self._actor = actor
        self._settings = settings
        self._workspaces = workspaces
        self._measures = measures
        self._resizes = resizes

    def volume(self, claim: Claim, *, closely: bool = False) -> models.Volume:
        """Return the volume of *claim*."""
        key = claim.key
        measure = self._measures.get(key)
        is_known = measure is not None and measure.measured_at is not None
        fill = lines.fill_of(measure)
        resize = self._resizes.get((claim.owner, key))
        is_own = self._actor.name == claim.owner
        directory = self._settings.directory
        has = claim.capacity_bytes or claim.size_bytes
        wanted = max(claim.size_bytes, resize.size_bytes if resize else 0)
        summary = measure.summary if measure is not None and closely and is_own else {}
        return models.Volume(
            owner=claim.owner, volume=name_of(key),
            title="Home" if key == HOME else key,
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
            mounted_by=list(self._mounts(key)),
            is_own=is_own,
            may_resize=may(
                self._actor, Action.CHANGE_QUOTA, directory.person(claim.owner), directory.people
            ),
            folders=[_folder(each) for each in summary.get("folders", ())],
            culprits=[models.Culprit(size=units.size_words(each["bytes"]), **each) for each in summary.get("culprits", ())],
            unreadable=summary.get("unreadable", 0),
        )  # fmt: skip

    def _mounts(self, key: str) -> Iterator[models.Mounted]:
        home = self._settings.catalog.storage.home_path
        for each in self._workspaces:
            paths = choosing.mounts_of(each.options, home)
            path = next((path for path, name in paths.items() if name == name_of(key)), None)
            if path is not None and (key != HOME or each.session_id is not None):
                yield models.Mounted(
                    server=each.server or DEFAULT,
                    workspace=each.name,
                    path=path,
                    running=each.state in {State.STARTING, State.RUNNING, State.STOPPING},
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
