"""
Admission: the one decision about a start.

`decide` answers whether a request may become a workspace. Form, REST path, services, command
line and diagnosis call it with the same values, so they can never disagree; nothing reaches
Kubernetes that it did not admit in this very start (promise 1). The rules run in the order of
design §5: the first refusal is the message, all refusals together are what the form shows.

An answer is a value. `Admitted` carries the grant, everything resolved, from which the manifests
are made; `Queued` is the same grant while its devices are taken; `Denied` carries for each
refusal the machine reason, a sentence, who can change it, and the change of the request that
would remove it. Applying all changes gives the nearest request that is admitted.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias, assert_never

from eugospawner.policy import units
from eugospawner.policy import volumes as volume_rules
from eugospawner.policy.capacity import Fit
from eugospawner.policy.catalog import (
    DEFAULT_QUEUE,
    WHOLE_PERCENT,
    Kind,
    Strategy,
    sizes_words,
)
from eugospawner.policy.reasons import RULES, Reason, Who

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Accounts, Actor, Project
    from eugospawner.policy.capacity import ClusterView
    from eugospawner.policy.catalog import (
        Catalog,
        Flavor,
        GpuModel,
        Image,
        Limits,
        MigSize,
        Profile,
        Queue,
    )
    from eugospawner.policy.quota import Usage
    from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
    from eugospawner.policy.volumes import Volumes

#: SM percent of a whole GPU, as the form knows it.
WHOLE_GPU = WHOLE_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """
    One reason why a request is refused.

    Attributes:
        word: The word of the request that is at fault; the form puts the sentence beside it.
        sentence: What is wrong and what to do, for the person who asked.
        change: Words and values that would remove the refusal; empty: no change helps.
    """

    reason: Reason
    word: str
    sentence: str
    change: Mapping[str, object] = field(default_factory=dict[str, object])

    @property
    def status(self) -> int:
        """HTTP status of the answer."""
        return RULES[self.reason].status

    @property
    def who(self) -> Who:
        """Who can change it."""
        return RULES[self.reason].who


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """Admitted GPUs: *count* devices of *model* with *sm_percent* of each."""

    model: GpuModel
    count: int
    sm_percent: int

    @property
    def percent(self) -> int:
        """What is charged per unit of time, in GPU percent: the effective GPUs of design §6."""
        return units.gpu_percent(self.count, self.model.charged_percent(self.sm_percent))


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """
    An admitted extra volume.

    Attributes:
        claim_name: Its PersistentVolumeClaim; `None`: the volume is new and gets one.
    """

    key: str
    mount_path: str
    claim_name: str | None
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """What a workspace gets, everything resolved. CPU in millicores, memory in bytes."""

    owner: str
    workspace: str
    project: Project
    profile: Profile
    flavor: Flavor
    kind: Kind
    image: Image
    queue: Queue
    gpus: Gpus | None
    cpu_millicores: int
    memory_bytes: int
    mounts: tuple[Mount, ...]
    root_shell: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Admitted:
    """
    The request may start.

    Attributes:
        ends_at: Deadline of the session, aware UTC; `None`: nothing ends it but idleness.
        ends_because: What the deadline comes from: `max-session`; `None` with no deadline.
        charge_percent: What is charged per unit of time, in GPU percent.
        fit: Capacity as last seen; advisory.
    """

    grant: Grant
    ends_at: datetime | None
    ends_because: str | None
    charge_percent: int
    fit: Fit


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """The request is admitted, but its devices are taken now: the scheduler makes it wait."""

    admitted: Admitted
    sentence: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """The request may not start; *refusals* is never empty and stands in admission order."""

    refusals: tuple[Refusal, ...]

    @property
    def first(self) -> Refusal:
        """The refusal that is the message."""
        return self.refusals[0]

    def amend(self, request: WorkspaceRequest) -> WorkspaceRequest | None:
        """Return *request* with every change applied, or `None` if some refusal has none."""
        if not all(refusal.change for refusal in self.refusals):
            return None
        # Refusals that come first decide: a model that is absent outweighs its count.
        changes: dict[str, object] = {}
        for refusal in reversed(self.refusals):
            changes |= refusal.change
        return replace(request, **changes)  # type: ignore[arg-type]


Decision: TypeAlias = Admitted | Queued | Denied


def decide(
    request: WorkspaceRequest,
    actor: Actor,
    catalog: Catalog,
    accounts: Accounts,
    usage: Usage,
    volumes: Volumes,
    cluster: ClusterView,
    now: datetime,
) -> Decision:
    """
    Decide about a start.

    Args:
        actor: Who asks; permissions are judged for them, entitlements for the owner.
        accounts: The owner's projects.
        usage: What counts against the owner's limits; no limit exists without a plan yet.
        volumes: The owner's extra volumes.
        cluster: Advisory view of devices.
        now: Aware UTC; deadlines are counted from it.

    Source: design §5.
    """
    del actor, usage  # no permission and no limit exists yet; the signature is final
    project = accounts.find(request.project)
    queue = catalog.queues.get(request.queue or DEFAULT_QUEUE)
    profile = catalog.profiles.get(request.profile or catalog.default_profile)
    if profile is None:
        # Whatever else was asked cannot be judged without a profile.
        return Denied(
            refusals=(
                *_access(request, project, queue),
                Refusal(
                    reason=Reason.PROFILE_UNKNOWN,
                    word="profile",
                    sentence=f"There is no profile {request.profile!r}. "
                    f"Choose one of: {', '.join(catalog.profiles)}.",
                    change={"profile": catalog.default_profile},
                ),
            )
        )
    case = _Case(
        request=request,
        catalog=catalog,
        project=project or accounts.personal,
        profile=profile,
        flavor=catalog.flavors[_flavor_key(request, profile)],
        volumes=volumes,
        cluster=cluster,
    )
    refusals = (
        *_access(request, project, queue),
        *(refusal for rule in _RULES for refusal in rule(case)),
    )
    if refusals:
        return Denied(refusals=refusals)
    return _admit(case, queue or catalog.queues[DEFAULT_QUEUE], now)


def nearest(
    request: WorkspaceRequest, again: Callable[[WorkspaceRequest], Decision]
) -> WorkspaceRequest | None:
    """
    Return the nearest request that is admitted, *request* itself if it already is.

    One change may uncover another refusal (another model that is handed out whole only), so the
    changed request is decided about again.

    Args:
        again: `decide` with everything but the request filled in.

    Returns:
        `None` if no change of the request helps.
    """
    for _ in range(_MOST_AMENDMENTS):
        decision = again(request)
        if not isinstance(decision, Denied):
            return request
        amended = decision.amend(request)
        if amended is None or amended == request:
            return None
        request = amended
    return None


#: Each round removes what the round before showed: profile, model, SM percent, size and count at
#: most, one after the other, and the last round admits. The rest is margin.
_MOST_AMENDMENTS = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """A request with its profile and flavor resolved, as the rules see it."""

    request: WorkspaceRequest
    catalog: Catalog
    project: Project
    profile: Profile
    flavor: Flavor
    volumes: Volumes
    cluster: ClusterView

    @property
    def limits(self) -> Limits:
        return self.catalog.limits

    @property
    def gpu_count(self) -> int:
        if self.request.gpu_count is not None:
            return self.request.gpu_count
        return self.flavor.gpu.count if self.flavor.gpu else 0

    @property
    def model_key(self) -> str | None:
        if self.request.gpu_model is not None:
            return self.request.gpu_model
        return self.flavor.gpu.model if self.flavor.gpu else None

    @property
    def model(self) -> GpuModel | None:
        """The model, if GPUs are wanted and the catalog has it."""
        wanted = self.gpu_count > 0 and self.model_key is not None
        return self.catalog.gpu_models.get(self.model_key or "") if wanted else None

    @property
    def sm_percent(self) -> int:
        if self.request.sm_percent is not None:
            return self.request.sm_percent
        return WHOLE_GPU if self.model is None else self.model.most_percent

    @property
    def kind(self) -> Kind:
        asked = self.request.kind
        return asked if asked is not None and asked in self.profile.kinds else self.profile.kinds[0]

    @property
    def cpu_millicores(self) -> int:
        asked = self.request.cpu_millicores
        return self.flavor.cpu_millicores if asked is None else asked

    @property
    def memory_bytes(self) -> int:
        asked = self.request.memory_bytes
        return self.flavor.memory_bytes if asked is None else asked


def _flavor_key(request: WorkspaceRequest, profile: Profile) -> str:
    return request.flavor if request.flavor in profile.flavors else profile.flavors[0]


def _access(
    request: WorkspaceRequest, project: Project | None, queue: Queue | None
) -> Iterator[Refusal]:
    if project is None:
        yield Refusal(
            reason=Reason.PROJECT_UNKNOWN,
            word="project",
            sentence=f"You are not a member of a project {request.project!r}. "
            "Start in your personal project, or ask a project manager to add you.",
            change={"project": None},
        )
    if queue is None:
        yield Refusal(
            reason=Reason.QUEUE_UNKNOWN,
            word="queue",
            sentence=f"The project has no queue {request.queue!r}. "
            "The default queue is always available.",
            change={"queue": None},
        )


def _offered(case: _Case) -> Iterator[Refusal]:
    request, profile = case.request, case.profile
    if request.flavor is not None and request.flavor not in profile.flavors:
        yield Refusal(
            reason=Reason.FLAVOR_NOT_IN_PROFILE,
            word="flavor",
            sentence=f"The profile {profile.key} does not offer the flavor {request.flavor!r}. "
            f"It offers: {', '.join(profile.flavors)}.",
            change={"flavor": None},
        )
    if request.kind is not None and request.kind not in profile.kinds:
        yield Refusal(
            reason=Reason.KIND_NOT_IN_PROFILE,
            word="kind",
            sentence=f"The profile {profile.key} does not offer {request.kind}. "
            f"It offers: {', '.join(profile.kinds)}.",
            change={"kind": None},
        )
    if case.kind in case.catalog.unavailable_kinds:
        yield Refusal(
            reason=Reason.KIND_UNAVAILABLE,
            word="kind",
            sentence=case.catalog.unavailable_kinds[case.kind],
            change=_elsewhere(case),
        )


def _image(case: _Case) -> Iterator[Refusal]:
    reference = case.request.image
    runners = case.catalog.runners(case.profile, case.kind)
    usable = [image for image in runners if not image.unavailable]
    if reference is None:
        if runners and not usable:
            yield _image_unavailable(runners[0], _elsewhere(case))
        return
    image = case.catalog.image_of(case.profile, reference)
    if image is None:
        yield Refusal(
            reason=Reason.IMAGE_NOT_ALLOWED,
            word="image",
            sentence=f"image not in allowlist: {_shown(reference)}. Choose an image that the profile "
            f"{case.profile.key} offers, or ask an admin to add this one.",
            change={"image": None},
        )
    elif case.kind not in image.kinds:
        yield Refusal(
            reason=Reason.IMAGE_WITHOUT_KIND,
            word="kind",
            sentence=f"The image {reference} cannot run {case.kind}. "
            f"It runs: {', '.join(sorted(image.kinds))}.",
            change={"image": None},
        )
    elif image.unavailable:
        yield _image_unavailable(image, {"image": None} if usable else _elsewhere(case))


def _image_unavailable(image: Image, change: dict[str, object]) -> Refusal:
    return Refusal(
        reason=Reason.IMAGE_UNAVAILABLE, word="image", sentence=image.unavailable, change=change
    )


def _elsewhere(case: _Case) -> dict[str, object]:
    """Return another editor of the profile, or else another profile; empty: nothing works."""
    catalog = case.catalog
    for kind in case.profile.kinds:
        if not catalog.obstacle(case.profile, kind):
            return {"kind": kind, "image": None}
    works = [
        each for each in catalog.profiles.values() if not catalog.obstacle(each, each.kinds[0])
    ]
    if not works:
        return {}
    # The first with the same flavor, else the first of all.
    profile = min(works, key=lambda each: case.flavor.key not in each.flavors)
    return {
        "profile": profile.key,
        "flavor": case.flavor.key if case.flavor.key in profile.flavors else None,
        "kind": None,
        "image": None,
    }


def _root(case: _Case) -> Iterator[Refusal]:
    if case.request.root_shell and not case.project.may_run_as_root:
        yield Refusal(
            reason=Reason.ROOT_NOT_ALLOWED,
            word="root_shell",
            sentence="A root shell is not enabled here. "
            "Ask an admin to enable root containers on the project and the owning group.",
            change={"root_shell": False},
        )


def _gpu_model(case: _Case) -> Iterator[Refusal]:
    known = ", ".join(case.catalog.gpu_models)
    asked = case.request.gpu_model
    if asked is not None and asked not in case.catalog.gpu_models:
        yield Refusal(
            reason=Reason.GPU_MODEL_UNKNOWN,
            word="gpu_model",
            sentence=f"There is no GPU model {asked!r}. Choose one of: {known}.",
            change={"gpu_model": None, "gpu_count": None},
        )
    elif asked is not None and case.request.gpu_count is None and case.flavor.gpu is None:
        # Else the model would be passed over in silence, and the workspace have no GPU.
        yield Refusal(
            reason=Reason.GPU_COUNT_MISSING,
            word="gpu_count",
            sentence=f"Say how many {asked} you want: the flavor {case.flavor.key} has no GPU of "
            "its own. Write 1, or choose no GPU model.",
            change={"gpu_count": 1},
        )
    elif case.gpu_count > 0 and case.model_key is None:
        yield Refusal(
            reason=Reason.GPU_MODEL_MISSING,
            word="gpu_model",
            sentence=f"Say which GPU model you want: {known}.",
            change={"gpu_count": None},
        )


def _gpu_amounts(case: _Case) -> Iterator[Refusal]:
    most = case.limits.max_gpu_count
    if not 0 <= case.gpu_count <= most:
        yield Refusal(
            reason=Reason.GPU_COUNT_OUT_OF_BOUNDS,
            word="gpu_count",
            sentence=f"{case.gpu_count} GPUs were requested; a workspace may have 0 to {most}.",
            change={"gpu_count": min(max(case.gpu_count, 0), most)},
        )
    yield from _sm_percent(case)


def _sm_percent(case: _Case) -> Iterator[Refusal]:
    model, percent = case.model, case.sm_percent
    change: dict[str, object] = {
        "sm_percent": min(max(percent, 1), WHOLE_GPU)
        if model is None
        else model.nearest_percent(percent)
    }
    if not 1 <= percent <= WHOLE_GPU:
        yield Refusal(
            reason=Reason.SM_PERCENT_OUT_OF_BOUNDS,
            word="sm_percent",
            sentence=f"An SM percentage of {percent} was requested; "
            "it is a whole number from 1 to 100, and 100 is a full GPU.",
            change=change,
        )
    elif model is None or model.offers(percent):
        return
    elif model.strategy is Strategy.MIG:
        yield Refusal(
            reason=Reason.SM_PERCENT_NOT_A_SIZE,
            word="sm_percent",
            sentence=f"{model.display_name} is cut to fixed sizes, and {percent} % SM is none of "
            f"them. Choose one of: {sizes_words(model.mig_sizes)}.",
            change=change,
        )
    else:
        yield Refusal(
            reason=Reason.SM_PERCENT_NOT_DIVISIBLE,
            word="sm_percent",
            sentence=f"{model.display_name} is handed out whole only. "
            "Use 100 % SM, or a model that can be shared.",
            change=change,
        )


def _compute(case: _Case) -> Iterator[Refusal]:
    limits = case.limits
    if not limits.min_cpu_millicores <= case.cpu_millicores <= limits.max_cpu_millicores:
        least, most = limits.min_cpu_millicores, limits.max_cpu_millicores
        yield Refusal(
            reason=Reason.CPU_OUT_OF_BOUNDS,
            word="cpu",
            sentence=f"{units.format_cpu(case.cpu_millicores)} CPU was requested; "
            f"a workspace may have {units.format_cpu(least)} to {units.format_cpu(most)}.",
            change={"cpu_millicores": min(max(case.cpu_millicores, least), most)},
        )
    if not limits.min_memory_bytes <= case.memory_bytes <= limits.max_memory_bytes:
        least, most = limits.min_memory_bytes, limits.max_memory_bytes
        yield Refusal(
            reason=Reason.MEMORY_OUT_OF_BOUNDS,
            word="memory",
            sentence=f"{units.format_memory(case.memory_bytes)} memory was requested; "
            f"a workspace may have {units.format_memory(least)} to {units.format_memory(most)}.",
            change={"memory_bytes": min(max(case.memory_bytes, least), most)},
        )


def _storage(case: _Case) -> Iterator[Refusal]:
    asked = case.request.volumes
    most = case.limits.max_volumes
    home = case.catalog.storage.home_path
    if len(asked) > most:
        yield Refusal(
            reason=Reason.TOO_MANY_VOLUMES,
            word="volumes",
            sentence=f"{len(asked)} volumes were requested; a workspace may mount {most}.",
            change={"volumes": _acceptable(asked[:most], home)},
        )
        return  # the list is not worth reading
    # The nearest request drops the volume: guessing another path would surprise.
    change = {"volumes": _acceptable(asked, home)}
    for index, volume in enumerate(asked):
        before = asked[:index]
        if not volume_rules.is_key(volume.claim):
            yield Refusal(
                reason=Reason.VOLUME_NAME,
                word="volumes",
                sentence=f"{volume.claim!r} cannot name a volume: use up to 40 lower-case "
                "letters, digits and hyphens, beginning and ending with a letter or digit.",
                change=change,
            )
        if any(volume.claim == other.claim for other in before):
            yield Refusal(
                reason=Reason.VOLUME_DUPLICATE,
                word="volumes",
                sentence=f"The volume {volume.claim!r} is mounted twice. Mount it once.",
                change=change,
            )
        problem = volume_rules.problem_of_path(volume.mount_path, home)
        if problem is not None:
            yield Refusal(
                reason=Reason.MOUNT_PATH_UNSAFE,
                word="volumes",
                sentence=f"The mount path {volume.mount_path!r} {problem}.",
                change=change,
            )
        elif any(volume_rules.overlap(volume.mount_path, other.mount_path) for other in before):
            yield Refusal(
                reason=Reason.MOUNT_PATH_DUPLICATE,
                word="volumes",
                sentence=f"The mount path {volume.mount_path!r} is used twice, or lies in "
                "another one. Give each volume a path of its own.",
                change=change,
            )


def _shown(text: str) -> str:
    """Return foreign *text* as it is, unless a sentence could be forged with it."""
    return text if text.isprintable() else repr(text)


def _acceptable(asked: tuple[VolumeRequest, ...], home: str) -> tuple[VolumeRequest, ...]:
    kept: list[VolumeRequest] = []
    for volume in asked:
        fine = volume_rules.is_key(volume.claim) and not volume_rules.problem_of_path(
            volume.mount_path, home
        )
        clash = any(
            volume.claim == other.claim or volume_rules.overlap(volume.mount_path, other.mount_path)
            for other in kept
        )
        if fine and not clash:
            kept.append(volume)
    return tuple(kept)


def _presence(case: _Case) -> Iterator[Refusal]:
    """Refuse what the cluster can never give; what it cannot give now merely waits."""
    model = case.model
    if model is None:
        return
    if not _is_present(case.cluster, model):
        yield Refusal(
            reason=Reason.GPU_MODEL_ABSENT,
            word="gpu_model",
            sentence=f"The cluster has no {model.display_name} at present. "
            "Choose another model, or ask an admin when it comes back.",
            change=_without_gpus(case),
        )
        return
    if model.strategy is Strategy.MIG:
        size = model.size_of(case.sm_percent)
        if size is None:
            return  # told already, and how many there are of it means nothing
        if not case.cluster.has_size(model.key, size.sm_percent):
            yield _size_absent(case.cluster, model, size)
            return
    most = case.cluster.most_on_a_node(model.key, case.sm_percent)
    share = f" at {case.sm_percent} % SM" if model.strategy is Strategy.MIG else ""
    if most is not None and most < case.gpu_count <= case.limits.max_gpu_count:
        yield Refusal(
            reason=Reason.GPU_COUNT_ABSENT,
            word="gpu_count",
            sentence=f"{case.gpu_count} × {model.display_name}{share} were requested; "
            f"no node has more than {most}.",
            change={"gpu_count": most},
        )


def _size_absent(cluster: ClusterView, model: GpuModel, size: MigSize) -> Refusal:
    """Refuse a size to which nobody has cut a GPU; the next larger one, or the largest, would do."""
    present = [each for each in model.mig_sizes if cluster.has_size(model.key, each.sm_percent)]
    larger = [each for each in present if each.sm_percent > size.sm_percent]
    return Refusal(
        reason=Reason.GPU_SIZE_ABSENT,
        word="sm_percent",
        sentence=f"No {model.display_name} of the cluster can be cut to {size.sm_percent} % SM "
        f"({size.profile}) at present. Choose one of: {sizes_words(present)}; "
        "or ask an admin to offer this size.",
        change={"sm_percent": (larger or present[-1:])[0].sm_percent},
    )


def _is_present(cluster: ClusterView, model: GpuModel) -> bool:
    """Whether the cluster has this model in any way that a request could ask for."""
    if model.strategy is not Strategy.MIG:
        return cluster.has(model.key)
    return any(cluster.has_size(model.key, size.sm_percent) for size in model.mig_sizes)


def _without_gpus(case: _Case) -> dict[str, object]:
    """Return one GPU of a model that the cluster has at the share that was asked, or none."""
    asked = case.request.sm_percent
    for key, model in case.catalog.gpu_models.items():
        percent = model.most_percent if asked is None else min(max(asked, 1), WHOLE_GPU)
        if model.offers(percent) and case.cluster.most_on_a_node(key, percent) != 0:
            return {"gpu_model": key, "gpu_count": 1}
    return {"gpu_model": None, "gpu_count": 0}


#: Design §5, from the profile on; what stands before it is `_access`.
_RULES: tuple[Callable[[_Case], Iterator[Refusal]], ...] = (
    _offered,
    _image,
    _root,
    _gpu_model,
    _gpu_amounts,
    _compute,
    _storage,
    _presence,
)


def _admit(case: _Case, queue: Queue, now: datetime) -> Admitted | Queued:
    gpus = (
        Gpus(model=case.model, count=case.gpu_count, sm_percent=case.sm_percent)
        if case.model is not None
        else None
    )
    max_session = case.profile.max_session
    fit = case.cluster.fit(gpus.model.key, gpus.count, gpus.sm_percent) if gpus else Fit.NOW
    admitted = Admitted(
        grant=Grant(
            owner=case.request.owner,
            workspace=case.request.workspace,
            project=case.project,
            profile=case.profile,
            flavor=case.flavor,
            kind=case.kind,
            image=_granted_image(case),
            queue=queue,
            gpus=gpus,
            cpu_millicores=case.cpu_millicores,
            memory_bytes=case.memory_bytes,
            mounts=tuple(_mount(case, volume) for volume in case.request.volumes),
            root_shell=case.request.root_shell,
        ),
        ends_at=None if max_session is None else now + max_session,
        ends_because=None if max_session is None else "max-session",
        charge_percent=gpus.percent if gpus else 0,
        fit=fit,
    )
    if gpus is not None and fit is Fit.WAITS:
        return Queued(
            admitted=admitted,
            sentence=f"Every {_wanted(gpus)} is taken. "
            "The workspace waits and starts by itself as soon as one is released.",
        )
    return admitted


def _wanted(gpus: Gpus) -> str:
    """Return what must be free, in words."""
    model, percent = gpus.model, gpus.sm_percent
    match model.strategy:
        case Strategy.CONSUMABLE_CAPACITY:
            return f"{model.display_name} with {percent} % SM free"
        case Strategy.EXCLUSIVE | Strategy.MPS:
            return model.display_name
        case Strategy.MIG:
            return f"{model.display_name} that can be cut to {percent} % SM"
        case _:
            assert_never(model.strategy)


def _granted_image(case: _Case) -> Image:
    if case.request.image is not None:
        image = case.catalog.image_of(case.profile, case.request.image)
        if image is not None:
            return image
    runners = case.catalog.runners(case.profile, case.kind)
    return next(image for image in runners if not image.unavailable)


def _mount(case: _Case, asked: VolumeRequest) -> Mount:
    known = case.volumes.by_key.get(asked.claim)
    return Mount(
        key=asked.claim,
        mount_path=asked.mount_path,
        claim_name=known.claim_name if known else None,
        size_bytes=known.size_bytes if known else case.catalog.storage.volume_bytes,
    )
