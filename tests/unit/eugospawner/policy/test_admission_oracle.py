"""
A second opinion on `decide`, written from the table of design §5 alone.

It shares no code with admission: the catalog stands here as plain words and numbers, paths are
judged by `posixpath`, capacity by trying every combination of devices, windows by looking at the
clock each minute (`window_oracle`). Days and months of accounting are read off a calendar on the
wall, minute by minute; from that the last millisecond that a quota covers is counted. Ten thousand
requests by chance, each in a world by chance, must be answered alike: admitted, queued or denied,
with the same grant to the same millisecond, or for the same reasons. An error that both opinions
share would show in `test_admission.py`, whose answers were written by hand.
"""

import posixpath
import string
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import combinations, groupby
from zoneinfo import ZoneInfo

import pytest

from eugospawner.policy.accounts import Project
from eugospawner.policy.capacity import ClusterView
from eugospawner.policy.decisions import Admitted, Decision, Denied, Queued
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.requests import WorkspaceRequest
from eugospawner.policy.windows import Window
from tests.factories import GIB
from tests.factories.chance import (
    World,
    a_random_request,
    a_random_world,
    a_sensible_request,
    chance,
)
from tests.unit.eugospawner.policy.window_oracle import Doors

# The catalog of tests.factories.catalog, said once more.
QUEUES = {"default", "batch", "night"}
MODELS = {"H100": "shared", "L4": "shared", "A100": "whole", "A100-MIG": "cut", "T4": "throttled"}
SIZES = {15, 29, 43, 100}  # of the A100-MIG: one, two, three and seven sevenths, rounded up
FLAVORS: dict[str, tuple[int, int, str | None, int]] = {
    "cpu-2": (2000, 8, None, 0),
    "cpu-8": (8000, 32, None, 0),
    "gpu-h100": (2000, 8, "H100", 1),
    "gpu-a100": (2000, 8, "A100", 2),
}
BASE = ("registry.example/eugo/base:1.0", {"jupyterlab"})
CODE = ("registry.example/eugo/code:1.0", {"vscode"})
PINNED = ("registry.example/eugo/pinned@sha256:" + "0123abcd" * 8, {"jupyterlab", "vscode"})
NAMES = {BASE[0]: "base", CODE[0]: "code", PINNED[0]: "pinned"}
PROFILES = {
    "notebook": (["cpu-2", "cpu-8"], [BASE], ["jupyterlab"], 8),
    "code": (["cpu-2", "cpu-8"], [CODE, BASE, PINNED], ["vscode", "jupyterlab"], 24),
    "gpu": (["gpu-h100", "gpu-a100"], [BASE], ["jupyterlab"], 8),
}
SYSTEM = {
    "bin",
    "boot",
    "dev",
    "etc",
    "lib",
    "lib32",
    "lib64",
    "libx32",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "sys",
    "tmp",
    "usr",
    "var",
}
OWNED = {"old"}  # of 20 GiB; a new one has 5
MINUTE = 60_000  # in milliseconds, and the shortest session

# Admission order of design §5.
ORDER = [
    {"account-suspended"},
    {"organization-suspended"},
    {"not-permitted"},
    {"project-unknown"},
    {"queue-unknown", "window-closed"},
    {
        "profile-unknown",
        "profile-not-in-plan",
        "flavor-not-in-profile",
        "kind-not-in-profile",
        "kind-unavailable",
    },
    {"image-not-allowed", "image-without-kind", "image-unavailable", "image-not-in-plan"},
    {"root-not-allowed"},
    {"gpu-model-missing", "gpu-model-unknown", "gpu-count-missing", "gpu-model-not-in-plan"},
    {
        "gpu-count-out-of-bounds",
        "sm-percent-out-of-bounds",
        "sm-percent-not-divisible",
        "sm-percent-not-a-size",
    },
    {"cpu-out-of-bounds", "memory-out-of-bounds", "more-than-plan"},
    {
        "volume-name",
        "volume-duplicate",
        "mount-path-unsafe",
        "mount-path-duplicate",
        "too-many-volumes",
        "volumes-more-than-plan",
        "storage-exhausted",
    },
    {"in-use"},
    {"quota-exhausted"},
    {"gpu-model-absent", "gpu-size-absent", "gpu-count-absent"},
]
#: Given once for each limit.
COUNTED = ("more-than-plan", "in-use", "quota-exhausted")


@dataclass
class Opinion:
    """What the oracle says: reasons (each as often as it is given), or what is granted."""

    reasons: Counter[str] = field(default_factory=Counter)
    answer: str = "admitted"
    project: str = ""
    queue: str = ""
    profile: str = ""
    flavor: str = ""
    kind: str = ""
    image: str = ""
    gpus: tuple[str, int, int] | None = None
    cpu: int = 0
    memory: int = 0
    mounts: tuple[tuple[str, str, bool], ...] = ()
    charge: int = 0
    ends_at: int = 0
    ends_because: str = ""

    def refuse(self, reason: str) -> None:
        self.reasons[reason] += 1


def opinion_on(request: WorkspaceRequest, world: World) -> Opinion:
    said, missing = Opinion(), world.missing
    refuse = said.refuse

    if world.accounts.person.suspended_because:
        refuse("account-suspended")
    if world.actor.name != "alice" and not world.actor.is_admin:
        refuse("not-permitted")
    projects = {project.key: project for project in world.accounts.projects}
    said.project = "personal-alice" if request.project is None else request.project
    if said.project not in projects:
        refuse("project-unknown")
        said.project = "personal-alice"
    project = projects[said.project]
    plan = project.plan
    if project.organization is not None and project.organization.suspended_because:
        refuse("organization-suspended")

    said.queue = "default" if request.queue is None else request.queue
    if said.queue not in QUEUES or (said.queue != "default" and said.queue not in plan.queues):
        refuse("queue-unknown")
        said.queue = "default"
    closes = None
    if said.queue != "default" and plan.windows:
        closes = closing(plan.windows, world.now)
        if closes is not None and closes - world.now.timestamp() < 60:
            refuse("window-closed")
            closes = None

    said.profile = "notebook" if request.profile is None else request.profile
    if said.profile not in PROFILES:
        refuse("profile-unknown")
        return said
    flavors, images, kinds, hours = PROFILES[said.profile]
    if said.profile not in plan.profiles:
        refuse("profile-not-in-plan")
    said.flavor = flavors[0] if request.flavor is None else request.flavor
    if said.flavor not in flavors:
        refuse("flavor-not-in-profile")
        said.flavor = flavors[0]
    said.kind = kinds[0] if request.kind is None else str(request.kind)
    if said.kind not in kinds:
        refuse("kind-not-in-profile")
        said.kind = kinds[0]
    if said.kind in missing:
        refuse("kind-unavailable")

    if request.image is None:
        able = [reference for reference, runs in images if said.kind in runs]
        there = [reference for reference in able if reference not in missing]
        planned = [reference for reference in there if NAMES[reference] in plan.images]
        if planned:
            said.image = planned[0]
        else:
            refuse("image-not-in-plan" if there else "image-unavailable")
    elif request.image not in dict(images):
        refuse("image-not-allowed")
    else:
        said.image = request.image
        if said.kind not in dict(images)[said.image]:
            refuse("image-without-kind")
        elif said.image in missing:
            refuse("image-unavailable")
        if NAMES[said.image] not in plan.images:
            refuse("image-not-in-plan")
    if request.root_shell:
        group = project.group
        if not project.allows_root or (group is not None and not group.may_run_as_root):
            refuse("root-not-allowed")

    cpu, gib, model, count = FLAVORS[said.flavor]
    model = model if request.gpu_model is None else request.gpu_model
    count = count if request.gpu_count is None else request.gpu_count
    share = 100 if request.sm_percent is None else request.sm_percent
    if count > 0 and model is None:
        refuse("gpu-model-missing")
    if request.gpu_model is not None and request.gpu_model not in MODELS:
        refuse("gpu-model-unknown")
    elif (
        request.gpu_model is not None and request.gpu_count is None and not FLAVORS[said.flavor][3]
    ):
        refuse("gpu-count-missing")
    if count > 0 and model in MODELS and model not in plan.gpu_models:
        refuse("gpu-model-not-in-plan")
    possible = count > 0 and model in MODELS
    if count < 0 or count > 4:
        refuse("gpu-count-out-of-bounds")
        possible = False
    if share < 1 or share > 100:
        refuse("sm-percent-out-of-bounds")
        possible = False
    elif count > 0 and share < 100 and MODELS.get(model or "") == "whole":
        refuse("sm-percent-not-divisible")
        possible = False
    elif count > 0 and share not in SIZES and MODELS.get(model or "") == "cut":
        refuse("sm-percent-not-a-size")
        possible = False

    said.cpu = cpu if request.cpu_millicores is None else request.cpu_millicores
    if said.cpu not in range(100, 16_001):
        refuse("cpu-out-of-bounds")
    said.memory = gib * GIB if request.memory_bytes is None else request.memory_bytes
    if said.memory not in range(GIB // 2, 128 * GIB + 1):
        refuse("memory-out-of-bounds")

    for reason in faults_of_volumes([(each.claim, each.mount_path) for each in request.volumes]):
        refuse(reason)
    said.mounts = tuple(
        (each.claim, each.mount_path, each.claim in OWNED) for each in request.volumes
    )
    new = sum(not owned for _, _, owned in said.mounts)
    if new and plan.volumes_bytes is not None and (20 + 5 * new) * GIB > plan.volumes_bytes:
        refuse("volumes-more-than-plan")
    if new:
        for _ in range(storage_quotas_passed(world, project, 5 * new * GIB)):
            refuse("storage-exhausted")

    if possible:
        assert model is not None
        whole = MODELS[model] in {"whole", "throttled"}
        said.charge = count * (100 if whole else share)  # by the claim, throttled or not
    rates = {"gpu": said.charge, "cpu": said.cpu, "memory": -(-said.memory // 2**20)}
    start = since_1970(world.now) * 1000 + world.now.microsecond // 1000
    said.ends_at, said.ends_because = start + hours * 60 * MINUTE, "max-session"
    if closes is not None and closes * 1000 < said.ends_at:
        said.ends_at, said.ends_because = closes * 1000, "plan-window"
    judge_at_once(said, world, project, rates)
    judge_over_time(said, world, project, rates, model if possible else None, start)

    if count > 0 and model in MODELS:
        said.gpus = (model, count, share)
        said.answer = capacity(said, world.cluster, model, count, share)
    return said


def since_1970(at: datetime) -> int:
    return int(at.timestamp())


@cache
def doors(windows: tuple[Window, ...], minute: int) -> Doors:
    return Doors(list(windows), datetime.fromtimestamp(minute * 60, UTC))


def closing(windows: tuple[Window, ...], now: datetime) -> int | None:
    """Return at which second the windows close, 0 if they are closed; `None`: not in sight."""
    seen = doors(windows, since_1970(now) // 60)
    if not seen.at(now):
        return 0
    closes = seen.closes_after(now)
    return None if closes is None else since_1970(closes)


def held(world: World, kind: str, key: str, span: str, start: str) -> Iterator[tuple[str, object]]:
    """Yield what each model of a subject has in a period: settled for good, and reserved."""
    for cell, used in world.cells.items():
        if (cell.subject.kind, cell.subject.key, cell.span, cell.start) == (kind, key, span, start):
            yield cell.gpu_model, used.settled
            yield cell.gpu_model, used.reserved


def storage_quotas_passed(world: World, project: Project, asked: int) -> int:
    """Count the quotas that volumes of so many bytes more would pass."""
    passed = 0
    for quota in world.catalog.storage_quotas:
        size = quota.size_bytes
        if quota.override is not None and world.now < quota.override.expires_at:
            size = quota.override.amount
        for payer, bytes_held in (
            ("user alice", 20 * GIB),
            *(
                (f"{kind} {key}", world.volumes.held.get(Subject(SubjectKind(kind), key), 0))
                for kind, key in theirs(project).items()
                if kind != "user" and key is not None
            ),
        ):
            kind, _, key = payer.partition(" ")
            about = quota.subject.kind == kind and quota.subject.key in {"*", key}
            if about and bytes_held + asked > size:
                passed += 1
    return passed


def theirs(project: Project) -> dict[str, str | None]:
    """Return who pays for Alice in *project*, by what they are."""
    return {
        "user": "alice",
        "project": project.key,
        "group": project.group.key if project.group else None,
        "organization": project.organization.key if project.organization else None,
    }


def judge_at_once(said: Opinion, world: World, project: Project, rates: dict[str, int]) -> None:
    for kind, key, most in (
        ("project", project.key, project.plan.at_once),
        ("user", "alice", project.plan.person_at_once),
        ("queue", said.queue, world.catalog.queues[said.queue].at_once),
    ):
        whole_mib = None if most.memory_bytes is None else most.memory_bytes // 2**20
        for resource, amount in (
            ("gpu", most.gpu_percent),
            ("cpu", most.cpu_millicores),
            ("memory", whole_mib),
        ):
            used = sum(
                getattr(amounts, resource) for _, amounts in held(world, kind, key, "at-once", "")
            )
            if amount is None or rates[resource] == 0:
                continue
            if rates[resource] > amount:
                said.refuse("more-than-plan")
            elif rates[resource] + used > amount:
                said.refuse("in-use")


def judge_over_time(
    said: Opinion,
    world: World,
    project: Project,
    rates: dict[str, int],
    model: str | None,
    start: int,
) -> None:
    """Count until when each quota lasts; the first that ends ends the session."""
    payers = theirs(project)
    latest = said.ends_at
    for quota in world.catalog.quotas:
        key = payers[quota.subject.kind]
        rate = rates[quota.resource]
        if key is None or quota.subject.key not in {"*", key} or rate == 0:
            continue
        if quota.gpu_model is not None and quota.gpu_model != model:
            continue
        amount = quota.amount
        if quota.override is not None and world.now < quota.override.expires_at:
            amount = quota.override.amount
        end = start
        for name, until in pages(world.catalog.zone, str(quota.span), start // MINUTE):
            used = sum(
                getattr(amounts, quota.resource)
                for of, amounts in held(world, quota.subject.kind, key, quota.span, name)
                if quota.gpu_model in {None, of}
            )
            wanted = min(until, latest) - end
            lasts = max(amount - used, 0) // rate
            end += min(wanted, lasts)
            if lasts < wanted or end == latest:
                break
        if end < latest and end - start < MINUTE:
            said.refuse("quota-exhausted")
        elif end < said.ends_at:
            said.ends_at, said.ends_because = end, "quota-exhausted"


@cache
def pages(zone: str, span: str, minute: int) -> list[tuple[str, int]]:
    """
    Return the days or months on the calendar of *zone* from *minute* on, and when each ends.

    Somebody tears off a page as soon as the clock shows a later date, and never glues one back.
    """
    clock, shown, seen = ZoneInfo(zone), date.min, []
    for each in range(minute - 2 * 24 * 60, minute + 3 * 24 * 60):
        shown = max(shown, datetime.fromtimestamp(each * 60, clock).date())
        if each >= minute:
            seen.append((shown.isoformat()[: 10 if span == "day" else 7], each))
    return [
        (name, max(each for _, each in group) * MINUTE + MINUTE)
        for name, group in groupby(seen, key=lambda page: page[0])
    ]


def faults_of_volumes(asked: list[tuple[str, str]]) -> set[str]:
    if len(asked) > 3:
        return {"too-many-volumes"}
    faults = set()
    for number, (key, path) in enumerate(asked):
        letters = set(string.ascii_lowercase + string.digits)
        if not (1 <= len(key) <= 40 and set(key) <= letters | {"-"}) or key != key.strip("-"):
            faults.add("volume-name")
        if key in [other for other, _ in asked[:number]]:
            faults.add("volume-duplicate")
        if not is_safe(path):
            faults.add("mount-path-unsafe")
        elif any(within(path, other) or within(other, path) for _, other in asked[:number]):
            faults.add("mount-path-duplicate")
    return faults


def is_safe(path: str) -> bool:
    plain = set(string.ascii_letters + string.digits + "/._+@-")
    return (
        path.startswith("/")
        and path != "/"
        and not path.startswith("//")
        and posixpath.normpath(path) == path
        and set(path) <= plain
        and len(path) <= 255
        and path.split("/")[1] not in SYSTEM
        and not within(path, "/home/user")
        and not within("/home/user", path)
    )


def within(path: str, folder: str) -> bool:
    return folder.startswith("/") and (path + "/").startswith(folder + "/")


def capacity(said: Opinion, cluster: ClusterView, model: str, count: int, share: int) -> str:
    """Say whether it fits now or waits, by trying; add the reason if it never fits."""
    if cluster.devices is None:
        return "admitted"
    devices = cluster.devices.get(model, ())
    if not devices:
        said.refuse("gpu-model-absent")
        return "denied"
    pieces = [(device.node, device.free_percent >= share) for device in devices]
    if MODELS[model] == "cut":
        cut = [(device.node, size) for device in devices for size in device.sizes]
        if not {size.sm_percent for _, size in cut} & SIZES:
            said.refuse("gpu-model-absent")
            return "denied"
        pieces = [
            (node, number < size.free)
            for node, size in cut
            if size.sm_percent == share
            for number in range(size.most)
        ]
        if share not in SIZES:  # told already
            return "denied"
        if not pieces:
            said.refuse("gpu-size-absent")
            return "denied"
    if count > 4:  # told already
        return "denied"
    together = [
        chosen for chosen in combinations(pieces, count) if len({node for node, _ in chosen}) == 1
    ]
    if not together:
        said.refuse("gpu-count-absent")
        return "denied"
    free = any(all(is_free for _, is_free in chosen) for chosen in together)
    return "admitted" if free else "queued"


def check(decision: Decision, said: Opinion) -> None:
    if isinstance(decision, Denied):
        reasons = [str(refusal.reason) for refusal in decision.refusals]
        assert set(reasons) == set(said.reasons)
        assert [reasons.count(each) for each in COUNTED] == [said.reasons[each] for each in COUNTED]
        ranks = [next(rank for rank, each in enumerate(ORDER) if r in each) for r in reasons]
        assert ranks == sorted(ranks)
        return
    assert not said.reasons
    assert said.answer == ("queued" if isinstance(decision, Queued) else "admitted")
    admitted = decision.admitted if isinstance(decision, Queued) else decision
    assert isinstance(admitted, Admitted)
    grant, gpus = admitted.grant, admitted.grant.gpus
    assert grant.project.key == said.project
    assert grant.queue.key == said.queue
    assert grant.profile.key == said.profile
    assert grant.flavor.key == said.flavor
    assert grant.kind == said.kind
    assert grant.image.reference == said.image
    assert (gpus and (gpus.model.key, gpus.count, gpus.sm_percent)) == said.gpus
    assert admitted.charge_percent == said.charge
    assert (grant.cpu_millicores, grant.memory_bytes) == (said.cpu, said.memory)
    assert said.mounts == tuple(
        (mount.key, mount.mount_path, mount.claim_name is not None) for mount in grant.mounts
    )
    deadline = datetime.fromtimestamp(said.ends_at // 1000, UTC)
    assert admitted.ends_at == deadline + timedelta(milliseconds=said.ends_at % 1000)
    assert admitted.ends_because == said.ends_because


@pytest.mark.parametrize(
    "seed",
    [*range(6), *(pytest.param(seed, marks=pytest.mark.nightly) for seed in range(6, 12))],
)
def test_a_thousand_requests_are_answered_as_the_table_says(seed: int) -> None:
    """Each in a world of its own; every answer, reason and cause of a deadline occurs."""
    random = chance(seed)
    seen: set[str] = set()
    for _ in range(1000):
        make, narrow = random.choice([(a_random_request, 0.3), (a_sensible_request, 0.1)])
        request, world = make(random), a_random_world(random, narrow=narrow)
        said, decision = opinion_on(request, world), world.decide(request)
        check(decision, said)
        seen |= set(said.reasons) or {said.answer, f"until {said.ends_because}"}
    # Else the requests prove little.
    assert seen == {
        "admitted",
        "queued",
        "until max-session",
        "until plan-window",
        "until quota-exhausted",
        *(reason for rank in ORDER for reason in rank),
    }
