"""
Requests and clusters by chance, for properties and for the second opinion on admission.

Most words are absent or fine, some are near a bound, few are hostile: so about a third of the
requests are admitted, and refusals come alone as well as together. The names are those of
`tests.factories.catalog`. One `random.Random` decides everything, so a seed tells the whole story.

A *world* is all that a decision is given beside the request. Its entitlements are mostly wide and
sometimes narrow; its times lie near midnights, ends of months and changes of the clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import TypeVar
from zoneinfo import ZoneInfo

from eugospawner.policy.accounts import Accounts, Actor, Group, Organization, Project
from eugospawner.policy.admission import decide
from eugospawner.policy.capacity import UNKNOWN_CLUSTER, ClusterView
from eugospawner.policy.catalog import AtOnce, Catalog, Kind
from eugospawner.policy.decisions import Decision
from eugospawner.policy.limits import EACH, Override, Quota
from eugospawner.policy.plans import Plan
from eugospawner.policy.quota import (
    Amounts,
    Cell,
    Resource,
    Span,
    Subject,
    SubjectKind,
    Usage,
    Used,
)
from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
from eugospawner.policy.storage import StorageQuota
from eugospawner.policy.volumes import Volumes
from eugospawner.policy.windows import OneOffWindow, WeeklyWindow, WeekTime, Window
from tests.factories.accounts import (
    IMAGES as IMAGE_KEYS,
)
from tests.factories.accounts import (
    MODELS as MODEL_KEYS,
)
from tests.factories.accounts import (
    PROFILES,
    a_group,
    a_person,
    a_plan,
    a_project,
    an_actor,
    an_organization,
    some_accounts,
)
from tests.factories.catalog import GIB, a_catalog, a_catalog_without, a_queue
from tests.factories.cluster import Gpu, a_cluster
from tests.factories.volumes import some_volumes

_T = TypeVar("_T")

IMAGES = [image.reference for image in a_catalog().images.values()]
MODELS = [None, "H100", "H100", "L4", "A100", "A100-MIG", "A100-MIG", "T4"]
KEYS = ["data", "more", "old", "a-1", "No", "", "../x", "x" * 41]
PATHS = [
    "/mnt/a",
    "/mnt/ab",
    "/mnt/a/b",
    "/etcetera",
    "/etc/x",
    "/home",
    "relative",
    "/a/../b",
    "/a/",
]


def chance(seed: int) -> Random:
    """Return the chance of this *seed*."""
    return Random(seed)  # noqa: S311 - nothing is secret


def _chosen(random: Random, often: Sequence[_T], seldom: Sequence[_T]) -> _T:
    return random.choice(seldom if random.random() < 0.08 else often)


def a_random_request(random: Random) -> WorkspaceRequest:
    """A request of Alice with any words of the right type."""
    profile = _chosen(random, [None, "notebook", "code", "gpu"], ["nope", "", "Notebook"])
    kinds = [None, Kind.VSCODE, Kind.JUPYTERLAB] if profile == "code" else [None, Kind.JUPYTERLAB]
    images = [None, *IMAGES] if profile == "code" else [None, None, IMAGES[0]]
    flavors = [None, "gpu-h100", "gpu-a100"] if profile == "gpu" else [None, "cpu-2", "cpu-8"]
    return WorkspaceRequest(
        owner="alice",
        project=_chosen(random, [None, None, "lab", "vision"], ["theirs", ""]),
        profile=profile,
        flavor=_chosen(random, flavors, ["gpu-h100", "nope"]),
        kind=_chosen(random, kinds, list(Kind)),
        image=_chosen(random, images, [IMAGES[0] + "@evil", "", "\0"]),
        queue=_chosen(random, [None, "default", "batch"], ["high", "night"]),
        gpu_count=_chosen(random, [None, 0, 1, 1, 2, 3], [4, 5, -1, 10**6]),
        gpu_model=_chosen(random, MODELS, ["H200", "h100", ""]),
        sm_percent=_chosen(random, [None, 100, 100, 25, 50, 1, 15, 43], [0, 101, -5, 10**6]),
        cpu_millicores=_chosen(random, [None, None, 100, 16_000], [99, 16_001, 0]),
        memory_bytes=_chosen(random, [None, None, GIB // 2, 128 * GIB], [1, 129 * GIB, 0]),
        volumes=tuple(
            VolumeRequest(
                claim=_chosen(random, KEYS[:4], KEYS), mount_path=_chosen(random, PATHS[:4], PATHS)
            )
            for _ in range(_chosen(random, [0, 0, 0, 1, 2], [3, 4, 12]))
        ),
        root_shell=random.random() < 0.1,
    )


def a_sensible_request(random: Random) -> WorkspaceRequest:
    """A request of Alice that is fine by itself: what becomes of it is the world's business."""
    profile = random.choice(["notebook", "code", "code", "gpu"])
    gpus = [(None, None, None), ("H100", 1, None), ("H100", 2, 25), ("L4", 1, 50), ("A100", 1, 100)]
    gpus += [("A100-MIG", 1, 29), ("A100-MIG", 2, 15), ("T4", 1, 50), ("T4", 3, None)]
    gpu_model, gpu_count, sm_percent = random.choice(gpus)
    return WorkspaceRequest(
        owner="alice",
        project=random.choice([None, None, "lab", "vision"]),
        profile=profile,
        kind=random.choice([None, Kind.VSCODE, Kind.JUPYTERLAB]) if profile == "code" else None,
        queue=random.choice([None, "batch", "batch"]),
        gpu_count=gpu_count,
        gpu_model=gpu_model,
        sm_percent=sm_percent,
        cpu_millicores=random.choice([None, None, 100, 1234]),
        memory_bytes=random.choice([None, None, GIB // 2, GIB + 1]),
        volumes=tuple(VolumeRequest(claim=key, mount_path=f"/mnt/{key}") for key in ("old", "data"))
        if random.random() < 0.2
        else (),
        root_shell=random.random() < 0.1,
    )


def a_random_cluster(random: Random) -> ClusterView:
    """Up to three nodes with up to four devices of each model, more or less taken; or unknown."""
    if random.random() < 0.2:
        return UNKNOWN_CLUSTER
    return a_cluster(
        **{
            model: {
                f"n{node}": [make(random) for _ in range(random.randint(0, most))]
                for node in range(random.randint(1, 3))
            }
            for model, make, most in (
                ("H100", _a_device, 4),
                ("L4", _a_device, 4),
                ("A100", _a_device, 4),
                ("A100-MIG", _a_gpu_with_sizes, 2),
                ("T4", _a_device, 4),
            )
            if random.random() < 0.85
        }
    )


def _a_device(random: Random) -> Gpu:
    return random.choice([0, 1, 24, 25, 50, 100])


def _a_gpu_with_sizes(random: Random) -> Gpu:
    """A GPU that is cut to some of the sizes, and to one that the catalog has not."""
    sizes = [percent for percent in (15, 29, 43, 58, 100) if random.random() < 0.6] or [15]
    most = {percent: random.randint(1, 3) for percent in sizes}
    return {percent: (each, random.randint(0, each)) for percent, each in most.items()}


# Worlds

#: Zones of accounting, and times in UTC at which something happens there within a day.
TIMES: Mapping[str, Sequence[str]] = {
    "Europe/Berlin": [
        "2026-11-24 12:00",
        "2026-10-24 21:59",  # the day before 25 hours
        "2026-10-25 00:30",  # the hour that comes twice
        "2026-10-25 22:58",
        "2027-03-27 22:59",  # the day before 23 hours
        "2027-03-28 00:59",
        "2026-11-30 22:30",  # the month's end
        "2026-12-31 15:01",
    ],
    "America/New_York": ["2026-11-01 03:30", "2026-11-01 05:59", "2027-03-14 06:30"],
    "America/Havana": ["2026-03-08 04:59", "2026-11-01 04:15"],  # no midnight; midnight twice
    "Africa/Cairo": ["2026-04-23 20:00", "2026-10-29 20:59"],
    "America/St_Johns": ["2010-11-07 02:29", "2010-11-07 02:45"],  # back over midnight
    "Pacific/Apia": ["2011-12-30 09:58", "2011-12-29 20:00"],  # no 30 December
    "Australia/Lord_Howe": ["2027-04-03 12:45"],  # half an hour
    "Asia/Kathmandu": ["2026-08-31 18:14"],
}
#: The millisecond counts, and what is less than one does not.
_TICKS = (0, 0, 1_000, 30_000_000, 59_999_999, 123_456)


@dataclass(frozen=True)
class World:
    """
    What `decide` is given beside the request.

    Attributes:
        cells: What the usage is made of.
        missing: Editors, and references of images, that are not there.
    """

    actor: Actor
    catalog: Catalog
    accounts: Accounts
    cells: Mapping[Cell, Used]
    volumes: Volumes
    cluster: ClusterView
    now: datetime
    missing: frozenset[str]

    def decide(self, request: WorkspaceRequest) -> Decision:
        """Decide about *request* here."""
        return decide(
            request,
            self.actor,
            self.catalog,
            self.accounts,
            Usage(self.cells),
            self.volumes,
            self.cluster,
            self.now,
        )


def a_random_world(random: Random, *, narrow: float = 0.3) -> World:
    """
    Alice and her projects, in some organizations, under some plans, at some time.

    Args:
        narrow: How often something is less than all there is, or not as it should be.
    """
    zone = random.choice(["Europe/Berlin", *TIMES])
    now = datetime.fromisoformat(random.choice(TIMES[zone])).replace(tzinfo=UTC)
    now += timedelta(microseconds=random.choice(_TICKS))
    accounts = _some_accounts(random, now, narrow)
    catalog, missing = _a_catalog(random, narrow)
    catalog = replace(
        catalog,
        zone=zone,
        quotas=tuple(
            _a_quota(random, number, now) for number in range(random.choice([0, 0, 1, 3]))
        ),
        storage_quotas=tuple(
            _a_storage_quota(random, number, now) for number in range(random.choice([0, 0, 1, 2]))
        ),
        queues={
            key: a_queue(key, at_once=_at_once(random, narrow / 2))
            for key in ("default", "batch", "night")
        },
    )
    return World(
        actor=random.choice([an_actor(), an_actor(name="ada", is_admin=True)])
        if random.random() > narrow / 4
        else Actor(name="bob"),
        catalog=catalog,
        accounts=accounts,
        cells=_cells(random, catalog, now),
        volumes=some_volumes(
            "old",
            held={
                subject: random.choice([0, 20 * GIB, 95 * GIB])
                for subject in _SUBJECTS[1:6]
                if random.random() < 0.7
            },
        ),
        cluster=a_random_cluster(random),
        now=now,
        missing=missing,
    )


def _some_accounts(random: Random, now: datetime, narrow: float) -> Accounts:
    return some_accounts(
        _a_project(random, now, narrow, "lab", a_group(may_run_as_root=random.random() < 0.7)),
        _a_project(random, now, narrow, "vision", a_group("seers", may_run_as_root=True)),
        personal=_a_project(random, now, narrow, "personal-alice", None),
        person=a_person(suspended_because="she left" if random.random() < narrow / 4 else ""),
    )


def _a_project(
    random: Random, now: datetime, narrow: float, key: str, group: Group | None
) -> Project:
    organizations: list[Organization | None] = [
        None,
        an_organization(),
        an_organization("umbrella"),
    ]
    if random.random() < narrow / 2:
        organizations = [an_organization(suspended_because="a bill is open")]
    return a_project(
        key,
        plan=_a_plan(random, now, narrow),
        organization=random.choice(organizations),
        group=group,
        allows_root=random.random() < 0.7,
    )


def _a_plan(random: Random, now: datetime, narrow: float) -> Plan:
    return a_plan(
        profiles=_some(random, PROFILES, narrow),
        gpu_models=_some(random, MODEL_KEYS, narrow),
        images=_some(random, IMAGE_KEYS, narrow),
        queues=random.choice([("batch",), ("batch", "night"), ("night", "batch"), ()]),
        windows=_some_windows(random, now) if random.random() < 0.4 else (),
        at_once=_at_once(random, narrow),
        person_at_once=_at_once(random, narrow / 2),
        volumes_bytes=random.choice([0, 20 * GIB, 25 * GIB, 29 * GIB])
        if random.random() < narrow
        else random.choice([None, 100 * GIB]),
    )


def _some(random: Random, all_of_them: frozenset[str], narrow: float) -> frozenset[str]:
    if random.random() > narrow:
        return all_of_them
    return frozenset(each for each in sorted(all_of_them) if random.random() < 0.6)


def _at_once(random: Random, often: float) -> AtOnce:
    def maybe(*values: int) -> int | None:
        return random.choice(values) if random.random() < often else None

    return AtOnce(
        gpu_percent=maybe(0, 25, 50, 100, 150, 400),
        cpu_millicores=maybe(50, 2000, 8000, 10_500, 20_000),
        memory_bytes=maybe(8 * GIB, 8 * GIB - 1, 32 * GIB + 5, 100 * GIB, 300 * GIB),
    )


def _some_windows(random: Random, now: datetime) -> tuple[Window, ...]:
    zone = random.choice(["Europe/Berlin", "America/New_York", "Asia/Kathmandu"])
    kind = random.choice(["by day", "by night", "about now", "over"])
    if kind == "by day":
        return tuple(
            WeeklyWindow(
                zone=zone,
                start=WeekTime(day=day, minute=7 * 60),
                end=WeekTime(day=day, minute=22 * 60),
            )
            for day in range(7)
        )
    if kind == "by night":
        return (
            WeeklyWindow(
                zone=zone, start=WeekTime(day=5, minute=1290), end=WeekTime(day=6, minute=150)
            ),
            WeeklyWindow(
                zone=zone, start=WeekTime(day=6, minute=150), end=WeekTime(day=6, minute=200)
            ),
        )
    wall = now.astimezone(ZoneInfo(zone)).replace(tzinfo=None, second=0, microsecond=0)
    start, end = random.choice([(-60, 1), (-60, 2), (0, 45), (-600, 700), (1, 90), (-600, 3000)])
    if kind == "over":
        start, end = -600, 0
    return (
        OneOffWindow(
            zone=zone,
            start=wall + timedelta(minutes=start),
            end=wall + timedelta(minutes=end),
        ),
    )


_SUBJECTS = (
    Subject(SubjectKind.USER, "alice"),
    Subject(SubjectKind.PROJECT, "personal-alice"),
    Subject(SubjectKind.PROJECT, "lab"),
    Subject(SubjectKind.GROUP, "lab"),
    Subject(SubjectKind.GROUP, "seers"),
    Subject(SubjectKind.ORGANIZATION, "acme"),
    Subject(SubjectKind.QUEUE, "batch"),
    Subject(SubjectKind.QUEUE, "default"),
)
_UNIT_HOURS = {
    Resource.GPU: 100 * 3_600_000,
    Resource.CPU: 1000 * 3_600_000,
    Resource.MEMORY: 1024 * 3_600_000,
}


def _a_quota(random: Random, number: int, now: datetime) -> Quota:
    subject = random.choice([*_SUBJECTS[:6], Subject(SubjectKind.USER, "bob")])
    if random.random() < 0.3:
        subject = Subject(subject.kind, EACH)
    resource = random.choice([Resource.GPU, Resource.GPU, Resource.CPU, Resource.MEMORY])
    of_model = resource is Resource.GPU and random.random() < 0.5
    amount = _UNIT_HOURS[resource] * random.choice([0, 2, 8, 40, 400])
    override = None
    if random.random() < 0.15:
        expires_at = now + timedelta(hours=random.choice([-1, 0, 1]))
        override = Override(amount=amount * 2 + 7, expires_at=expires_at, reason="a deadline")
    return Quota(
        key=f"quota-{number}",
        subject=subject,
        resource=resource,
        span=random.choice([Span.DAY, Span.MONTH]),
        gpu_model=random.choice(["H100", "H100", "L4", "A100", "A100-MIG"]) if of_model else None,
        amount=amount,
        override=override,
    )


def _a_storage_quota(random: Random, number: int, now: datetime) -> StorageQuota:
    subject = random.choice([*_SUBJECTS[:6], Subject(SubjectKind.USER, "bob")])
    if random.random() < 0.3:
        subject = Subject(subject.kind, EACH)
    size = random.choice([0, 25 * GIB, 29 * GIB, 100 * GIB, 100 * GIB, 300 * GIB])
    override = None
    if random.random() < 0.2:
        expires_at = now + timedelta(hours=random.choice([-1, 0, 1]))
        override = Override(amount=size // 2, expires_at=expires_at, reason="a move")
    return StorageQuota(
        key=f"storage-{number}", subject=subject, size_bytes=size, override=override
    )


def _cells(random: Random, catalog: Catalog, now: datetime) -> dict[Cell, Used]:
    """Something held at once, and of each quota so much used that it is soon exhausted."""
    cells: dict[Cell, Used] = {}

    def add(cell: Cell, **amounts: int) -> None:
        used = cells.get(cell, Used())
        if random.random() < 0.5:
            used = used._replace(settled=used.settled.plus(Amounts(**amounts)))
        else:
            used = used._replace(reserved=used.reserved.plus(Amounts(**amounts)))
        cells[cell] = used

    for subject in _SUBJECTS:
        if random.random() < 0.5:
            add(
                Cell(subject, Span.AT_ONCE, "", random.choice(["", "H100", "L4"])),
                gpu=random.choice([0, 25, 75, 100]),
                cpu=random.choice([0, 1000, 6000]),
                memory=random.choice([0, 1024, 30_000]),
            )
    today = now.astimezone(ZoneInfo(catalog.zone)).date()
    days = [(today + timedelta(days=each)).isoformat() for each in (-1, 0, 1, 2)]
    for quota in catalog.quotas:
        keys = days if quota.span is Span.DAY else sorted({day[:7] for day in days})
        hour = _UNIT_HOURS[quota.resource]
        for subject in _SUBJECTS:
            if subject.kind is not quota.subject.kind or quota.subject.key not in {
                EACH,
                subject.key,
            }:
                continue
            for key in keys:
                left = random.choice([0, 1, hour // 60, hour // 7, hour, 5 * hour, 30 * hour])
                used = max(quota.amount_at(now) - left + random.randint(-3, 3), 0)
                model = quota.gpu_model or random.choice(["", "H100", "T4"])
                if random.random() < 0.7:
                    part = random.randint(0, used)
                    add(Cell(subject, quota.span, key, model), **{quota.resource: part})
                    add(Cell(subject, quota.span, key, model), **{quota.resource: used - part})
                add(
                    Cell(subject, quota.span, key, random.choice(["L4", "A100"])),
                    **{quota.resource: random.choice([0, hour // 10])},
                )
    return cells


def _a_catalog(random: Random, narrow: float) -> tuple[Catalog, frozenset[str]]:
    if random.random() > narrow:
        return a_catalog(), frozenset()
    keys = a_catalog().images
    kinds = {kind: "Not here." for kind in ("jupyterlab", "vscode") if random.random() < 0.3}
    images = {key: "Not here." for key in keys if random.random() < 0.3}
    missing = frozenset({*kinds, *(keys[key].reference for key in images)})
    return a_catalog_without(kinds=kinds, images=images), missing
