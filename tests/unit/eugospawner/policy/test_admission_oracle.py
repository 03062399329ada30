"""
A second opinion on `decide`, written from the table of design §5 alone.

It shares no code with admission: the world stands here as plain words and numbers, paths are
judged by `posixpath`, capacity by trying every combination of devices. Ten thousand requests by
chance must be answered alike: admitted, queued or denied, with the same grant or for the same
reasons. An error that both opinions share would show in `test_admission.py`, whose answers were
written by hand.
"""

import posixpath
import string
from dataclasses import dataclass, field
from datetime import timedelta
from itertools import combinations

import pytest

from eugospawner.policy.admission import Admitted, Decision, Denied, Queued
from eugospawner.policy.capacity import UNKNOWN_CLUSTER, ClusterView
from eugospawner.policy.requests import WorkspaceRequest
from tests.factories import (
    GIB,
    NOW,
    a_catalog_without,
    a_project,
    decide_about,
    some_accounts,
    some_volumes,
)
from tests.factories.chance import a_random_cluster, a_random_request, chance

# The world of tests.factories.catalog, said once more.
PROJECTS = {"personal-alice": False, "lab": True, "vision": False}  # key: may run as root
QUEUES = {"default", "batch"}
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
PROFILES = {
    "notebook": (["cpu-2", "cpu-8"], [BASE], ["jupyterlab"], 8),
    "code": (["cpu-2", "cpu-8"], [CODE, BASE, PINNED], ["vscode", "jupyterlab"], None),
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
OWNED = {"old"}

# Admission order of design §5, as far as its parts exist.
ORDER = [
    {"project-unknown"},
    {"queue-unknown"},
    {"profile-unknown", "flavor-not-in-profile", "kind-not-in-profile", "kind-unavailable"},
    {"image-not-allowed", "image-without-kind", "image-unavailable"},
    {"root-not-allowed"},
    {"gpu-model-missing", "gpu-model-unknown", "gpu-count-missing"},
    {
        "gpu-count-out-of-bounds",
        "sm-percent-out-of-bounds",
        "sm-percent-not-divisible",
        "sm-percent-not-a-size",
    },
    {"cpu-out-of-bounds", "memory-out-of-bounds"},
    {
        "volume-name",
        "volume-duplicate",
        "mount-path-unsafe",
        "mount-path-duplicate",
        "too-many-volumes",
    },
    {"gpu-model-absent", "gpu-size-absent", "gpu-count-absent"},
]


@dataclass
class Opinion:
    """What the oracle says: reasons, or what is granted."""

    reasons: set[str] = field(default_factory=set)
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
    hours: int | None = None


def opinion_on(
    request: WorkspaceRequest, cluster: ClusterView, missing: frozenset[str] = frozenset()
) -> Opinion:
    """Judge; *missing* are editors, and references of images, that are not there."""
    said = Opinion()
    refuse = said.reasons.add

    said.project = "personal-alice" if request.project is None else request.project
    if said.project not in PROJECTS:
        refuse("project-unknown")
    said.queue = request.queue or "default"
    if said.queue not in QUEUES:
        refuse("queue-unknown")
    said.profile = request.profile or "notebook"
    if said.profile not in PROFILES:
        refuse("profile-unknown")
        return said
    flavors, images, kinds, said.hours = PROFILES[said.profile]

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
        if there:
            said.image = there[0]
        else:
            refuse("image-unavailable")
    elif request.image not in dict(images):
        refuse("image-not-allowed")
    else:
        said.image = request.image
        if said.kind not in dict(images)[said.image]:
            refuse("image-without-kind")
        elif said.image in missing:
            refuse("image-unavailable")
    if request.root_shell and not PROJECTS.get(said.project, False):
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
    if count < 0 or count > 4:
        refuse("gpu-count-out-of-bounds")
    if share < 1 or share > 100:
        refuse("sm-percent-out-of-bounds")
    elif count > 0 and share < 100 and MODELS.get(model or "") == "whole":
        refuse("sm-percent-not-divisible")
    elif count > 0 and share not in SIZES and MODELS.get(model or "") == "cut":
        refuse("sm-percent-not-a-size")

    said.cpu = cpu if request.cpu_millicores is None else request.cpu_millicores
    if said.cpu not in range(100, 16_001):
        refuse("cpu-out-of-bounds")
    said.memory = gib * GIB if request.memory_bytes is None else request.memory_bytes
    if said.memory not in range(GIB // 2, 128 * GIB + 1):
        refuse("memory-out-of-bounds")

    said.reasons |= faults_of_volumes([(each.claim, each.mount_path) for each in request.volumes])
    said.mounts = tuple(
        (each.claim, each.mount_path, each.claim in OWNED) for each in request.volumes
    )

    if count > 0 and model in MODELS:
        said.gpus = (model, count, share)
        said.answer = capacity(said.reasons, cluster, model, count, share)
    return said


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


def capacity(reasons: set[str], cluster: ClusterView, model: str, count: int, share: int) -> str:
    """Say whether it fits now or waits, by trying; add the reason if it never fits."""
    if cluster.devices is None:
        return "admitted"
    devices = cluster.devices.get(model, ())
    if not devices:
        reasons.add("gpu-model-absent")
        return "denied"
    pieces = [(device.node, device.free_percent >= share) for device in devices]
    if MODELS[model] == "cut":
        cut = [(device.node, size) for device in devices for size in device.sizes]
        if not {size.sm_percent for _, size in cut} & SIZES:
            reasons.add("gpu-model-absent")
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
            reasons.add("gpu-size-absent")
            return "denied"
    if count > 4:  # told already
        return "denied"
    together = [
        chosen for chosen in combinations(pieces, count) if len({node for node, _ in chosen}) == 1
    ]
    if not together:
        reasons.add("gpu-count-absent")
        return "denied"
    free = any(all(is_free for _, is_free in chosen) for chosen in together)
    return "admitted" if free else "queued"


def charge(model: str, count: int, share: int) -> int:
    """Whole GPUs are charged whole, throttled or not; of others the share."""
    return count * (100 if MODELS[model] in {"whole", "throttled"} else share)


def check(decision: Decision, said: Opinion) -> None:
    if isinstance(decision, Denied):
        reasons = [str(refusal.reason) for refusal in decision.refusals]
        assert set(reasons) == said.reasons
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
    assert admitted.charge_percent == (charge(*said.gpus) if said.gpus else 0)
    assert (grant.cpu_millicores, grant.memory_bytes) == (said.cpu, said.memory)
    assert said.mounts == tuple(
        (mount.key, mount.mount_path, mount.claim_name is not None) for mount in grant.mounts
    )
    deadline = None if said.hours is None else NOW + timedelta(hours=said.hours)
    assert admitted.ends_at == deadline


@pytest.mark.parametrize("seed", range(10))
def test_a_thousand_requests_are_answered_as_the_table_says(seed: int) -> None:
    random = chance(seed)
    accounts = some_accounts(a_project("lab", may_run_as_root=True), a_project("vision"))
    answers = set()
    for _ in range(1000):
        request, cluster = a_random_request(random), a_random_cluster(random)
        decision = decide_about(
            request, accounts=accounts, owned_volumes=some_volumes(*OWNED), cluster=cluster
        )
        answers.add(type(decision))
        check(decision, opinion_on(request, cluster))
    assert answers == {Admitted, Queued, Denied}  # else the requests prove little


@pytest.mark.parametrize("seed", range(4))
def test_so_are_requests_where_editors_and_images_are_missing(seed: int) -> None:
    random = chance(seed)
    accounts = some_accounts(a_project("lab", may_run_as_root=True), a_project("vision"))
    keys = {"base": BASE[0], "code": CODE[0], "pinned": PINNED[0]}
    answers = set()
    for _ in range(1000):
        kinds = {each: "Not here." for each in ("jupyterlab", "vscode") if random.random() < 0.3}
        images = {key: "Not here." for key in keys if random.random() < 0.3}
        request = a_random_request(random)
        decision = decide_about(
            request,
            accounts=accounts,
            owned_volumes=some_volumes(*OWNED),
            catalog=a_catalog_without(kinds=kinds, images=images),
        )
        missing = frozenset({*kinds, *(keys[key] for key in images)})
        answers |= {str(each.reason) for each in getattr(decision, "refusals", ())} or {"admitted"}
        check(decision, opinion_on(request, UNKNOWN_CLUSTER, missing))
    assert {"admitted", "kind-unavailable", "image-unavailable"} <= answers
