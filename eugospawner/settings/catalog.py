"""
The catalog's sections: GPU models, flavors, images, profiles, queues, and bounds of a workspace.

Models say what may be written, `problems` what does not fit together, `values` makes the frozen
values that rules know. Source: design §§4 and 6; F48, F55.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

from pydantic import Field, StringConstraints

from eugospawner.manifests import kueue
from eugospawner.policy.accounts import Prerequisite
from eugospawner.policy.catalog import (
    DEFAULT_QUEUE,
    MIG_SLICES,
    WHOLE_PERCENT,
    AtOnce,
    Catalog,
    Engine,
    Flavor,
    FlavorGpu,
    GpuModel,
    Image,
    Kind,
    Limits,
    MigSize,
    Profile,
    Queue,
    Storage,
    Strategy,
    Web,
)
from eugospawner.settings.fields import (
    Bytes,
    Cpu,
    DnsName,
    Duration,
    Framework,
    GpuPercent,
    Home,
    Identifier,
    Key,
    MigProfile,
    ModelKey,
    Quoted,
    Reference,
    Strict,
    Variable,
    WebCommand,
    WebPath,
    Words,
    Zone,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from eugospawner.policy.limits import Quota
    from eugospawner.policy.storage import StorageQuota
    from eugospawner.settings.yamlfile import Problem


class MigSizeEntry(Strict):
    """A size to which a GPU can be cut."""

    profile: MigProfile
    slices: Annotated[int, Field(ge=1, le=MIG_SLICES)]


class GpuModelEntry(Strict):
    """A device product."""

    display_name: Words
    strategy: Annotated[Strategy, Field(strict=False)]
    device_class: DnsName
    driver: DnsName
    products: Annotated[list[Words], Field(min_length=1)]
    product_attribute: Identifier = "productName"
    memory: Bytes
    sm_capacity: Identifier | None = None
    sm_scale: Annotated[int, Field(ge=1)] = 100
    memory_capacity: Identifier | None = None
    distinct_attribute: Identifier | None = None
    device_type: Words | None = None
    mig_sizes: dict[Annotated[int, Field(ge=1, le=WHOLE_PERCENT)], MigSizeEntry] = {}


class FlavorGpuEntry(Strict):
    """The GPUs of a flavor."""

    model: ModelKey
    count: Annotated[int, Field(ge=1)] = 1


class FlavorEntry(Strict):
    """A resource shape."""

    display_name: Words
    when_to_use: Words
    cpu: Cpu
    memory: Bytes
    gpu: FlavorGpuEntry | None = None


class WebEntry(Strict):
    """The web program of a custom image."""

    command: WebCommand
    path: WebPath = "/"


class ImageEntry(Strict):
    """An allowlisted image."""

    reference: Reference
    display_name: Words
    description: Words
    kinds: Annotated[list[Annotated[Kind, Field(strict=False)]], Field(min_length=1)]
    framework: Framework | None = None
    web: WebEntry | None = None


class ProfileEntry(Strict):
    """What a user picks."""

    display_name: Words
    when_to_use: Words
    flavors: Annotated[list[Key], Field(min_length=1)]
    images: Annotated[list[Key], Field(min_length=1)]
    kinds: Annotated[list[Annotated[Kind, Field(strict=False)]], Field(min_length=1)] = [
        Kind.JUPYTERLAB
    ]
    idle_stop: Duration | None = None
    max_session: Duration | None = None
    extension: Duration | None = None
    idle_shadow: bool = False
    environment: dict[Variable, Quoted] = {}
    startup_script: Annotated[str, StringConstraints(max_length=16_384)] = ""


class AtOnceEntry(Strict):
    """What may be held at the same time."""

    gpus: GpuPercent | None = None
    cpu: Cpu | None = None
    memory: Bytes | None = None


class QueueEntry(Strict):
    """Where a workspace stands when GPUs are scarce."""

    display_name: Words
    description: Words
    priority: int
    priority_class: DnsName
    preemptible: bool = False
    deserved_gpus: GpuPercent | None = None
    at_once: AtOnceEntry = AtOnceEntry()
    local_queue: DnsName | None = None


class LimitsEntry(Strict):
    """Bounds of one workspace."""

    min_cpu: Cpu
    max_cpu: Cpu
    min_memory: Bytes
    max_memory: Bytes
    max_gpu_count: Annotated[int, Field(ge=0, le=32)]
    max_volumes: Annotated[int, Field(ge=0, le=32)]


class StorageEntry(Strict):
    """Home and extra volumes."""

    home_path: Home
    home_size: Bytes
    volume_size: Bytes
    shared: bool = False


class DefaultsEntry(Strict):
    """What holds where nothing else is said."""

    profile: Key
    zone: Zone = "UTC"
    max_session: Duration
    idle_stop: Duration = timedelta(minutes=60)
    idle_shadow: bool = False
    delete_stopped_after: Duration | None = None
    engine: Annotated[Engine, Field(strict=False)] = Engine.SCHEDULER
    required: list[Annotated[Prerequisite, Field(strict=False)]] = []
    limits: LimitsEntry
    storage: StorageEntry


class Sections(Strict):
    """The sections of the file that are the catalog's."""

    gpu_models: dict[ModelKey, GpuModelEntry]
    flavors: Annotated[dict[Key, FlavorEntry], Field(min_length=1)]
    images: Annotated[dict[Key, ImageEntry], Field(min_length=1)]
    profiles: Annotated[dict[Key, ProfileEntry], Field(min_length=1)]
    queues: Annotated[dict[Key, QueueEntry], Field(min_length=1)]
    defaults: DefaultsEntry


def problems(file: Sections) -> Iterator[Problem]:
    """Find references to what does not exist, and combinations that cannot work."""
    yield from _bad_models(file)
    for key, flavor in file.flavors.items():
        if flavor.gpu is not None and flavor.gpu.model not in file.gpu_models:
            yield ("flavors", key, "gpu", "model"), unknown(flavor.gpu.model, file.gpu_models)
    for key, profile in file.profiles.items():
        for index, flavor_key in enumerate(profile.flavors):
            if flavor_key not in file.flavors:
                yield ("profiles", key, "flavors", index), unknown(flavor_key, file.flavors)
        for index, image in enumerate(profile.images):
            if image not in file.images:
                yield ("profiles", key, "images", index), unknown(image, file.images)
        for index, kind in enumerate(profile.kinds):
            images = [file.images[image] for image in profile.images if image in file.images]
            if images and not any(kind in image.kinds for image in images):
                yield ("profiles", key, "kinds", index), f"no image of the profile runs {kind}"
    references: dict[str, str] = {}
    for key, each in file.images.items():
        first = references.setdefault(each.reference, key)
        if first != key:
            yield ("images", key, "reference"), f"is already the reference of {first!r}"
        if (Kind.CUSTOM in each.kinds) != (each.web is not None):
            yield (
                ("images", key, "web"),
                "custom needs the command of the image's web program"
                if each.web is None
                else "only an image of the kind custom has a web program",
            )
    if file.defaults.profile not in file.profiles:
        yield ("defaults", "profile"), unknown(file.defaults.profile, file.profiles)
    if DEFAULT_QUEUE not in file.queues:
        yield ("queues",), f"the queue {DEFAULT_QUEUE!r} always exists: add it"
    yield from _bad_queues(file)
    yield from _bad_bounds(file)


def _bad_queues(file: Sections) -> Iterator[Problem]:
    """Find what Kueue is not asked for, and what it would take for more than was meant."""
    for key, queue in file.queues.items():
        where = ("queues", key, "local_queue")
        if queue.local_queue is not None and file.defaults.engine is not Engine.KUEUE:
            yield where, "is Kueue's: set defaults.engine to kueue, or leave it out"
        elif queue.local_queue == kueue.EVERYBODYS:
            yield (
                where,
                "would take every Pod of the namespace, the hub's too: give it another name",
            )


def _bad_models(file: Sections) -> Iterator[Problem]:
    for key, model in file.gpu_models.items():
        shared = model.strategy is Strategy.CONSUMABLE_CAPACITY
        if shared and model.sm_capacity is None:
            yield (
                ("gpu_models", key, "sm_capacity"),
                "consumable-capacity needs the name of the driver's SM capacity",
            )
        if shared and model.distinct_attribute is None:
            yield (
                ("gpu_models", key, "distinct_attribute"),
                "consumable-capacity needs an attribute that differs between devices",
            )
        cut = model.strategy is Strategy.MIG
        if cut != bool(model.mig_sizes):
            yield (
                ("gpu_models", key, "mig_sizes"),
                "mig needs the sizes to which a GPU can be cut, by their SM percent"
                if cut
                else f"only mig has sizes, and the strategy is {model.strategy}",
            )
        yield from _bad_sizes(key, model)


def _bad_sizes(key: str, model: GpuModelEntry) -> Iterator[Problem]:
    """Find sizes that do not agree with themselves, or do not stand from small to large."""
    before = 0
    for percent, each in model.mig_sizes.items():
        here = ("gpu_models", key, "mig_sizes", percent)
        size = MigSize(profile=each.profile, slices=each.slices)
        if not each.profile.startswith(f"{each.slices}g."):
            yield (*here, "slices"), f"the profile {each.profile} has {each.profile[0]} of them"
        elif percent != size.sm_percent:
            share = f"{each.slices} of {MIG_SLICES} slices are {size.sm_percent} % SM"
            yield here, f"{share}: write {size.sm_percent}"
        if percent <= before:
            yield here, f"stands after {before}: write sizes from small to large"
        before = percent


def _bad_bounds(file: Sections) -> Iterator[Problem]:
    limits = file.defaults.limits
    if limits.min_cpu > limits.max_cpu:
        yield ("defaults", "limits", "min_cpu"), "is larger than max_cpu"
    if limits.min_memory > limits.max_memory:
        yield ("defaults", "limits", "min_memory"), "is larger than max_memory"
    for key, flavor in file.flavors.items():
        if not limits.min_cpu <= flavor.cpu <= limits.max_cpu:
            yield ("flavors", key, "cpu"), "lies outside defaults.limits"
        if not limits.min_memory <= flavor.memory <= limits.max_memory:
            yield ("flavors", key, "memory"), "lies outside defaults.limits"
        if flavor.gpu is not None and flavor.gpu.count > limits.max_gpu_count:
            yield ("flavors", key, "gpu", "count"), "lies outside defaults.limits"


def unknown(key: str, known: Iterable[str]) -> str:
    """Return what to say of a *key* that is none of *known*."""
    return f"there is no {key!r}; known are: {', '.join(known)}"


def values(
    file: Sections, *, quotas: tuple[Quota, ...], storage_quotas: tuple[StorageQuota, ...]
) -> Catalog:
    """Return the catalog that *file* declares."""
    limits, storage = file.defaults.limits, file.defaults.storage
    return Catalog(
        gpu_models={
            key: _model(key, each, file.defaults.engine) for key, each in file.gpu_models.items()
        },
        flavors={key: _flavor(key, each) for key, each in file.flavors.items()},
        images={key: _image(key, each) for key, each in file.images.items()},
        profiles={key: _profile(key, each) for key, each in file.profiles.items()},
        queues={key: _queue(key, each, file.defaults.engine) for key, each in file.queues.items()},
        default_profile=file.defaults.profile,
        limits=Limits(
            min_cpu_millicores=limits.min_cpu,
            max_cpu_millicores=limits.max_cpu,
            min_memory_bytes=limits.min_memory,
            max_memory_bytes=limits.max_memory,
            max_gpu_count=limits.max_gpu_count,
            max_volumes=limits.max_volumes,
        ),
        storage=Storage(
            home_path=storage.home_path,
            home_bytes=storage.home_size,
            volume_bytes=storage.volume_size,
            is_shared=storage.shared,
        ),
        unavailable_kinds={},
        quotas=quotas,
        storage_quotas=storage_quotas,
        max_session=file.defaults.max_session,
        idle_stop=file.defaults.idle_stop,
        idle_shadow=file.defaults.idle_shadow,
        delete_stopped_after=file.defaults.delete_stopped_after,
        zone=file.defaults.zone,
        engine=file.defaults.engine,
    )


def at_once(entry: AtOnceEntry) -> AtOnce:
    """Return what *entry* allows at the same time."""
    return AtOnce(gpu_percent=entry.gpus, cpu_millicores=entry.cpu, memory_bytes=entry.memory)


def _queue(key: str, each: QueueEntry, engine: Engine) -> Queue:
    return Queue(
        key=key,
        display_name=each.display_name,
        description=each.description,
        priority=each.priority,
        priority_class=each.priority_class,
        preemptible=each.preemptible,
        deserved_percent=each.deserved_gpus,
        at_once=at_once(each.at_once),
        local_queue=each.local_queue or kueue.local_queue_of(key) if engine is Engine.KUEUE else "",
    )


def _model(key: str, each: GpuModelEntry, engine: Engine) -> GpuModel:
    return GpuModel(
        key=key,
        display_name=each.display_name,
        strategy=each.strategy,
        device_class=each.device_class,
        driver=each.driver,
        products=tuple(each.products),
        product_attribute=each.product_attribute,
        memory_bytes=each.memory,
        sm_capacity=each.sm_capacity,
        sm_scale=each.sm_scale,
        memory_capacity=each.memory_capacity,
        distinct_attribute=each.distinct_attribute,
        device_type=each.device_type,
        selects_shareable=engine is not Engine.KUEUE,
        mig_sizes=tuple(
            MigSize(profile=size.profile, slices=size.slices) for size in each.mig_sizes.values()
        ),
    )


def _flavor(key: str, each: FlavorEntry) -> Flavor:
    gpu = FlavorGpu(model=each.gpu.model, count=each.gpu.count) if each.gpu else None
    return Flavor(
        key=key,
        display_name=each.display_name,
        when_to_use=each.when_to_use,
        cpu_millicores=each.cpu,
        memory_bytes=each.memory,
        gpu=gpu,
    )


def _image(key: str, each: ImageEntry) -> Image:
    web = Web(command=tuple(each.web.command), path=each.web.path) if each.web else None
    return Image(
        key=key,
        reference=each.reference,
        display_name=each.display_name,
        description=each.description,
        kinds=frozenset(each.kinds),
        framework=each.framework or "",
        web=web,
        unavailable="",
    )


def _profile(key: str, each: ProfileEntry) -> Profile:
    return Profile(
        key=key,
        display_name=each.display_name,
        when_to_use=each.when_to_use,
        flavors=tuple(each.flavors),
        images=tuple(each.images),
        kinds=tuple(each.kinds),
        idle_stop=each.idle_stop,
        max_session=each.max_session,
        extension=each.extension or timedelta(),
        idle_shadow=each.idle_shadow,
        environment=dict(each.environment),
        startup_script=each.startup_script,
    )
