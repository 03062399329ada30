"""
The catalog: what an operator offers, as frozen values.

`settings.py` reads `catalog.yaml` into these values and has checked every reference between
them, so rules may look keys up without asking whether they exist. Words are those of the
glossary: a *profile* is what a user picks, a *flavor* a resource shape, a *GPU model* a device
product with the *strategy* by which it is claimed. Source: design §§4 and 6; F48.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Final, assert_never

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from eugospawner.policy.limits import Quota
    from eugospawner.policy.storage import StorageQuota

#: SM percent of a whole GPU.
WHOLE_PERCENT: Final = 100
#: Compute slices of a GPU with MIG (NVIDIA's MIG user guide; the A30, which has four, is no such
#: GPU). Charges are in sevenths: design §6.
MIG_SLICES: Final = 7


class Kind(StrEnum):
    """What runs in a workspace (F4)."""

    JUPYTERLAB = "jupyterlab"
    VSCODE = "vscode"
    CUSTOM = "custom"

    @property
    def display_name(self) -> str:
        """What people read."""
        return _KIND_NAMES[self]


_KIND_NAMES: Final[Mapping[Kind, str]] = {
    Kind.JUPYTERLAB: "JupyterLab",
    Kind.VSCODE: "VS Code",
    Kind.CUSTOM: "Custom image",
}


class Strategy(StrEnum):
    """How GPUs of a model are claimed (design §6)."""

    CONSUMABLE_CAPACITY = "consumable-capacity"
    EXCLUSIVE = "exclusive"
    MPS = "mps"
    MIG = "mig"


@dataclass(frozen=True, slots=True, kw_only=True)
class MigSize:
    """A partition to which a GPU with MIG can be cut: *profile* has *slices* of the seven."""

    profile: str
    slices: int

    @property
    def sm_percent(self) -> int:
        """
        The SM percent by which people ask for this size; also what it is charged.

        Sevenths rounded up, here and nowhere else, so that form, label, session and allocation
        show one figure (F52) and never one that is too small.
        """
        return -(-self.slices * WHOLE_PERCENT // MIG_SLICES)


@dataclass(frozen=True, slots=True, kw_only=True)
class GpuModel:
    """
    A device product, and how the cluster's driver speaks of it.

    Attributes:
        key: As people write it: `H100`.
        device_class: DeviceClass that claims name.
        driver: DRA driver; qualifies attribute names in CEL.
        products: Exact values of *product_attribute* that are this model; never empty.
        sm_capacity: The driver's capacity that stands for SM percent (consumable-capacity only).
        sm_scale: How much of *sm_capacity* one whole GPU has.
        memory_capacity: The driver's capacity for device memory; `None`: not requested.
        memory_bytes: Memory of one GPU; a share gets its part of it.
        distinct_attribute: Attribute that differs between two devices, so that two shares of one
            workspace never come from one GPU. For `mig` that of the GPU a partition is cut from;
            `None`: partitions of one workspace may be of one GPU.
        device_type: Value of the driver's ``type`` attribute to ask for; `None`: do not ask.
        mig_sizes: The sizes on offer, from small to large (`mig`, which has one at least).
        selects_shareable: Whether a claim for a share says that the device has to be one which
            several may have. Kueue 0.19 shows a selector nothing of that and would find none; a
            whole device that the scheduler gave instead is charged as one.
    """

    key: str
    display_name: str
    strategy: Strategy
    device_class: str
    driver: str
    products: tuple[str, ...]
    product_attribute: str
    memory_bytes: int
    sm_capacity: str | None
    sm_scale: int
    memory_capacity: str | None
    distinct_attribute: str | None
    device_type: str | None
    mig_sizes: tuple[MigSize, ...]
    selects_shareable: bool = True

    @property
    def most_percent(self) -> int:
        """The largest SM percent on offer; what a request gets that names none."""
        if self.strategy is Strategy.MIG:
            return max(size.sm_percent for size in self.mig_sizes)
        return WHOLE_PERCENT

    def size_of(self, sm_percent: int) -> MigSize | None:
        """Return the MIG size of exactly *sm_percent*, if it is on offer."""
        return next((size for size in self.mig_sizes if size.sm_percent == sm_percent), None)

    def offers(self, sm_percent: int) -> bool:
        """Whether a GPU of this model can be had at *sm_percent*."""
        match self.strategy:
            case Strategy.CONSUMABLE_CAPACITY | Strategy.MPS:
                return 1 <= sm_percent <= WHOLE_PERCENT
            case Strategy.EXCLUSIVE:
                return sm_percent == WHOLE_PERCENT
            case Strategy.MIG:
                return self.size_of(sm_percent) is not None
            case _:
                assert_never(self.strategy)

    def nearest_percent(self, sm_percent: int) -> int:
        """Return the least SM percent on offer that is no less than *sm_percent*, else the most."""
        offered = (percent for percent in range(1, WHOLE_PERCENT + 1) if self.offers(percent))
        return next((each for each in offered if each >= sm_percent), self.most_percent)

    def charged_percent(self, sm_percent: int) -> int:
        """
        Return what one device at *sm_percent* is charged, in GPU percent.

        By the claim, not by the wish: MPS merely limits the speed on a GPU that nobody else can
        have meanwhile (design §6).
        """
        match self.strategy:
            case Strategy.CONSUMABLE_CAPACITY | Strategy.MIG:
                return sm_percent
            case Strategy.EXCLUSIVE | Strategy.MPS:
                return WHOLE_PERCENT
            case _:
                assert_never(self.strategy)


def sharing_words(model: GpuModel) -> str:
    """Return how GPUs of *model* are shared, in the words of the form."""
    match model.strategy:
        case Strategy.CONSUMABLE_CAPACITY:
            return "Can be shared, from 1 % SM"
        case Strategy.EXCLUSIVE:
            return "Whole GPUs only"
        case Strategy.MPS:
            return "Whole GPUs; SM % only limits speed, the charge is for whole GPUs"
        case Strategy.MIG:
            return f"Cut to fixed sizes: {sizes_words(model.mig_sizes)}"
        case _:
            assert_never(model.strategy)


def sizes_words(sizes: Iterable[MigSize]) -> str:
    """Return *sizes* for a sentence: ``15 % (1g.5gb), 29 % (2g.10gb)``."""
    return ", ".join(f"{size.sm_percent} % ({size.profile})" for size in sizes)


@dataclass(frozen=True, slots=True, kw_only=True)
class FlavorGpu:
    """The GPUs of a flavor: *count* of one model, shared or not as the request says."""

    model: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """A resource shape. CPU in millicores, memory in bytes."""

    key: str
    display_name: str
    when_to_use: str
    cpu_millicores: int
    memory_bytes: int
    gpu: FlavorGpu | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Web:
    """
    The web program of a custom image.

    Attributes:
        command: What to run; ``{port}`` in a word is where it has to listen, on loopback.
        path: Where people land, below the workspace's own address: ``/``, ``/app``.
    """

    command: tuple[str, ...]
    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """
    An allowlisted image; *reference* is compared to the letter, digests included.

    Attributes:
        framework: What it brings along, as people choose by: ``PyTorch``; empty: nothing (F10).
        web: Its web program, if it runs as `Kind.CUSTOM`.
        unavailable: Why this deployment does not have it; empty: it has.
    """

    key: str
    reference: str
    display_name: str
    description: str
    kinds: frozenset[Kind]
    framework: str
    web: Web | None
    unavailable: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """
    What a user picks.

    Attributes:
        flavors: Keys of flavors on offer; the first is the default.
        images: Keys of images on offer; the first is the default.
        kinds: Editors on offer; the first is the default.
        idle_stop: Idle time after which the culler stops; `None`: that of the catalog (D1).
        max_session: Longest session; `None`: that of the catalog.
        extension: By how much a session may be made longer than that, in all, however often.
        idle_shadow: Whether idle workspaces are only listed and never stopped (L5).
        environment: Extra variables of the workspace's process.
        startup_script: Shell text run before the workspace is Running (F49); empty: none.
    """

    key: str
    display_name: str
    when_to_use: str
    flavors: tuple[str, ...]
    images: tuple[str, ...]
    kinds: tuple[Kind, ...]
    idle_stop: timedelta | None
    max_session: timedelta | None
    environment: Mapping[str, str]
    startup_script: str
    extension: timedelta = timedelta()
    idle_shadow: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class AtOnce:
    """
    What may be held at the same time: GPU percent, millicores, bytes; `None`: no such limit.

    A single workspace cannot have more either.
    """

    gpu_percent: int | None = None
    cpu_millicores: int | None = None
    memory_bytes: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """
    Where a workspace stands when GPUs are scarce (F55).

    Attributes:
        priority: Higher starts first.
        priority_class: PriorityClass of the Pods; ours, with ``preemptionPolicy: Never``.
        preemptible: Whether a higher queue may stop its workspaces.
        deserved_percent: GPU percent up to which its workspaces are stopped last; `None`: none.
        at_once: What all its workspaces together may hold.
        local_queue: Kueue's LocalQueue in which its workspaces wait; empty: the scheduler alone decides.
    """

    key: str
    display_name: str
    description: str
    priority: int
    priority_class: str
    preemptible: bool
    deserved_percent: int | None = None
    at_once: AtOnce = AtOnce()
    local_queue: str = ""


class Engine(StrEnum):
    """Who decides which workspace starts next when GPUs are scarce (design §6)."""

    #: Kubernetes' default scheduler, by the PriorityClass of the queue.
    SCHEDULER = "scheduler"
    #: Kueue, by LocalQueue and ClusterQueue, before the scheduler sees the Pod.
    KUEUE = "kueue"


#: The queue that always exists and works without a plan (F59).
DEFAULT_QUEUE = "default"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Bounds of one workspace: CPU in millicores, memory in bytes, inclusive."""

    min_cpu_millicores: int
    max_cpu_millicores: int
    min_memory_bytes: int
    max_memory_bytes: int
    max_gpu_count: int
    max_volumes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Storage:
    """
    The home volume, and what a new extra volume gets.

    Attributes:
        home_path: Where the personal home is mounted (F82: `/home/user`).
        home_bytes: Size of a new home.
        volume_bytes: Size of a new extra volume.
        is_shared: Whether new ones are such that several Nodes can attach them at a time.
    """

    home_path: str
    home_bytes: int
    volume_bytes: int
    is_shared: bool = False

    @property
    def access_modes(self) -> tuple[str, ...]:
        """How a new volume may be attached, in Kubernetes' words."""
        return ("ReadWriteMany",) if self.is_shared else ("ReadWriteOnce",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalog:
    """
    Everything on offer; mappings keep the file's order, which is the order on pages.

    Attributes:
        unavailable_kinds: Why this deployment does not have an editor, by kind.
        quotas: Amounts per day and month, in the file's order.
        storage_quotas: Sizes of extra volumes, likewise.
        max_session: Longest session of a profile that names none: every session has an end.
        idle_stop: Idle time of a profile that names none (D1).
        idle_shadow: Whether idle workspaces of all profiles are only listed and never stopped.
        delete_stopped_after: When the entry of a stopped workspace goes; `None`: never. Data stays.
        zone: IANA zone in which days and months of accounting begin.
        engine: Who decides which workspace starts next.
    """

    gpu_models: Mapping[str, GpuModel]
    flavors: Mapping[str, Flavor]
    images: Mapping[str, Image]
    profiles: Mapping[str, Profile]
    queues: Mapping[str, Queue]
    default_profile: str
    limits: Limits
    storage: Storage
    unavailable_kinds: Mapping[Kind, str]
    quotas: tuple[Quota, ...]
    storage_quotas: tuple[StorageQuota, ...]
    max_session: timedelta
    zone: str
    idle_stop: timedelta = timedelta(minutes=60)
    idle_shadow: bool = False
    delete_stopped_after: timedelta | None = None
    engine: Engine = Engine.SCHEDULER

    def runners(self, profile: Profile, kind: Kind) -> tuple[Image, ...]:
        """Return the images of *profile* that run *kind*, the profile's first choice first."""
        images = (self.images[key] for key in profile.images)
        return tuple(image for image in images if kind in image.kinds)

    def obstacle(self, profile: Profile, kind: Kind) -> str:
        """Return why *kind* cannot be had in *profile* in this deployment; empty: it can."""
        if kind in self.unavailable_kinds:
            return self.unavailable_kinds[kind]
        runners = self.runners(profile, kind)
        if not runners or any(not image.unavailable for image in runners):
            return ""
        return runners[0].unavailable

    def image_of(self, profile: Profile, reference: str) -> Image | None:
        """Return the image of *profile* with exactly this *reference*, if it is on offer."""
        images = (self.images[key] for key in profile.images)
        return next((image for image in images if image.reference == reference), None)
