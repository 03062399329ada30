"""What holds for every request, whatever it asks (promises 1 and 4)."""

from collections.abc import Callable
from dataclasses import fields, replace
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eugospawner.options import WORDS
from eugospawner.policy.accounts import Accounts
from eugospawner.policy.admission import Asked, nearest, path
from eugospawner.policy.capacity import ClusterView, Fit
from eugospawner.policy.catalog import AtOnce, Strategy
from eugospawner.policy.decisions import Admitted, Decision, Denied, Queued
from eugospawner.policy.plans import Plan
from eugospawner.policy.quota import MIB, Usage
from eugospawner.policy.reasons import Reason
from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
from eugospawner.policy.volumes import is_key, overlap, problem_of_path
from eugospawner.policy.windows import WeeklyWindow, WeekTime
from tests.factories import a_catalog, decide_about
from tests.factories.accounts import IMAGES, MODELS, PROFILES
from tests.factories.chance import (
    World,
    a_random_cluster,
    a_random_request,
    a_random_world,
    a_sensible_request,
    chance,
)

CATALOG = a_catalog()
ANY_TEXT = st.text(max_size=40)
ANY_COUNT = st.integers(-(10**6), 10**6)

#: Requests of any text at all, as `options.parse` lets them through.
wild_requests = st.builds(
    WorkspaceRequest,
    owner=ANY_TEXT,
    workspace=ANY_TEXT,
    project=st.none() | ANY_TEXT,
    profile=st.none() | st.sampled_from(list(CATALOG.profiles)) | ANY_TEXT,
    flavor=st.none() | ANY_TEXT,
    image=st.none() | ANY_TEXT,
    queue=st.none() | ANY_TEXT,
    gpu_count=st.none() | ANY_COUNT,
    gpu_model=st.none() | st.sampled_from(list(CATALOG.gpu_models)) | ANY_TEXT,
    sm_percent=st.none() | ANY_COUNT,
    cpu_millicores=st.none() | st.integers(0, 2**63 * 1000),
    memory_bytes=st.none() | st.integers(0, 2**63),
    volumes=st.lists(st.builds(VolumeRequest, claim=ANY_TEXT, mount_path=ANY_TEXT), max_size=5).map(
        tuple
    ),
    root_shell=st.booleans(),
)
#: Requests that mostly make sense, and a cluster to decide about them in.
by_chance = st.integers(0, 2**32).map(chance)
tame_requests = by_chance.map(a_random_request)
clusters = by_chance.map(a_random_cluster)
worlds = by_chance.map(a_random_world)
sensible_requests = by_chance.map(a_sensible_request)
#: Most of these are admitted.
wide_worlds = by_chance.map(lambda random: a_random_world(random, narrow=0.1))

#: The words that a change may touch, beside the one at fault: what depends on it.
DEPENDENT = {
    "gpu_model": {"gpu_model", "gpu_count", "sm_percent"},
    "sm_percent": {"gpu_model", "gpu_count", "sm_percent"},
    "kind": {"profile", "flavor", "kind", "image"},
    "image": {"profile", "flavor", "kind", "image"},
    "profile": {"profile", "flavor", "kind", "image"},
    "cpu": {"cpu_millicores"},
    "memory": {"memory_bytes"},
}


@given(wild_requests | tame_requests, clusters)
@settings(max_examples=150)
def test_every_request_has_an_answer_in_plain_words(
    request: WorkspaceRequest, cluster: ClusterView
) -> None:
    assert_plain_words(decide_about(request, cluster=cluster))


@given(wild_requests | tame_requests, worlds)
@settings(max_examples=150)
def test_so_it_has_in_every_world(request: WorkspaceRequest, world: World) -> None:
    assert_plain_words(world.decide(request))


def assert_plain_words(decision: Decision) -> None:
    if isinstance(decision, Queued):
        assert decision.sentence.endswith(".")
    if not isinstance(decision, Denied):
        return
    assert decision.refusals
    assert decision.first is decision.refusals[0]
    for refusal in decision.refusals:
        assert refusal.word in {*WORDS, "options"}
        assert refusal.sentence.endswith((".", "!", "?"))
        assert refusal.sentence.isprintable()
        assert refusal.status in {400, 403, 409}
        allowed = DEPENDENT.get(refusal.word, {refusal.word})
        assert set(refusal.change) <= allowed


@given(wild_requests | tame_requests, clusters)
@settings(max_examples=150)
def test_what_is_admitted_stays_within_limits_and_offers(
    request: WorkspaceRequest, cluster: ClusterView
) -> None:
    decision = decide_about(request, cluster=cluster)
    if isinstance(decision, Denied):
        return
    admitted = decision.admitted if isinstance(decision, Queued) else decision
    grant, limits = admitted.grant, CATALOG.limits
    assert grant.profile.key in CATALOG.profiles
    assert grant.flavor.key in grant.profile.flavors
    assert grant.kind in grant.profile.kinds
    assert grant.image.key in grant.profile.images
    assert grant.kind in grant.image.kinds
    assert grant.queue.key in CATALOG.queues
    assert limits.min_cpu_millicores <= grant.cpu_millicores <= limits.max_cpu_millicores
    assert limits.min_memory_bytes <= grant.memory_bytes <= limits.max_memory_bytes
    assert not grant.root_shell
    assert len(grant.mounts) <= limits.max_volumes
    home = CATALOG.storage.home_path
    for number, mount in enumerate(grant.mounts):
        assert is_key(mount.key)
        assert problem_of_path(mount.mount_path, home) is None
        for other in grant.mounts[:number]:
            assert other.key != mount.key
            assert not overlap(other.mount_path, mount.mount_path)
    assert admitted.fit is not Fit.NEVER
    assert isinstance(decision, Queued) == (admitted.fit is Fit.WAITS)
    if grant.gpus is None:
        assert admitted.charge_percent == 0
        return
    gpus = grant.gpus
    assert gpus.model.key in CATALOG.gpu_models
    assert 1 <= gpus.count <= limits.max_gpu_count
    assert 1 <= gpus.sm_percent <= 100
    each = gpus.sm_percent
    match gpus.model.strategy:
        case Strategy.EXCLUSIVE:
            assert gpus.sm_percent == 100
        case Strategy.MPS:
            each = 100  # the claim holds whole GPUs, whatever the limit
        case Strategy.MIG:
            assert gpus.sm_percent in {15, 29, 43, 100}
        case Strategy.CONSUMABLE_CAPACITY:
            pass  # any share, as asserted above
    assert admitted.charge_percent == gpus.percent == gpus.count * each


@given(wild_requests | tame_requests, clusters)
@settings(max_examples=120)
def test_the_nearest_request_is_admitted_and_changes_only_what_was_refused(
    request: WorkspaceRequest, cluster: ClusterView
) -> None:
    blamed: set[str] = set()

    def again(changed: WorkspaceRequest) -> Decision:
        decision = decide_about(changed, cluster=cluster)
        if isinstance(decision, Denied):
            for refusal in decision.refusals:
                blamed.update(DEPENDENT.get(refusal.word, {refusal.word}))
        return decision

    found = nearest(request, again)

    assert found is not None, "every refusal of admission can be removed by some change"
    assert isinstance(decide_about(found, cluster=cluster), Admitted | Queued)
    changed = {
        each.name
        for each in fields(WorkspaceRequest)
        if getattr(found, each.name) != getattr(request, each.name)
    }
    assert changed <= blamed
    assert (found.owner, found.workspace) == (request.owner, request.workspace)
    assert set(found.volumes) <= set(request.volumes)


@pytest.mark.parametrize("seed", range(3))
def test_deciding_twice_gives_the_same_answer(seed: int) -> None:
    random = chance(seed)
    for _ in range(200):
        request, cluster = a_random_request(random), a_random_cluster(random)
        assert decide_about(request, cluster=cluster) == decide_about(request, cluster=cluster)


# In every world


def admitted_by(world: World, request: WorkspaceRequest) -> Admitted | None:
    decision = world.decide(request)
    if isinstance(decision, Denied):
        return None
    return decision.admitted if isinstance(decision, Queued) else decision


@given(tame_requests | sensible_requests, worlds)
@settings(max_examples=200)
def test_the_nearest_request_is_admitted_or_some_refusal_cannot_be_removed(
    request: WorkspaceRequest, world: World
) -> None:
    """Changes never go round in circles."""
    seen: list[Decision] = []

    def again(changed: WorkspaceRequest) -> Decision:
        seen.append(world.decide(changed))
        return seen[-1]

    found = nearest(request, again)
    last = seen[-1]
    if found is None:
        assert isinstance(last, Denied)
        assert not all(refusal.change for refusal in last.refusals)
        return
    assert admitted_by(world, found) is not None
    assert nearest(found, world.decide) is found
    assert (found.owner, found.workspace) == (request.owner, request.workspace)
    assert set(found.volumes) <= set(request.volumes)


@given(tame_requests | sensible_requests, worlds)
@settings(max_examples=120)
def test_one_who_is_suspended_or_may_not_ask_is_never_admitted(
    request: WorkspaceRequest, world: World
) -> None:
    """Nor is there anything else that they could ask for."""
    suspended = replace(world.accounts.person, suspended_because="she left")
    others = replace(world.actor, name="bob", is_admin=False)
    for there, reason in (
        (
            replace(world, accounts=replace(world.accounts, person=suspended)),
            Reason.ACCOUNT_SUSPENDED,
        ),
        (replace(world, actor=others), Reason.NOT_PERMITTED),
    ):
        decision = there.decide(request)
        assert isinstance(decision, Denied)
        assert reason in {refusal.reason for refusal in decision.refusals}
        assert nearest(request, there.decide) is None


@given(tame_requests | sensible_requests, wide_worlds, st.randoms(use_true_random=False))
@settings(max_examples=120)
def test_the_order_of_queues_projects_windows_and_quotas_is_of_no_account(
    request: WorkspaceRequest, world: World, random: Random
) -> None:
    """But for the order in which refusals and shares stand."""
    decision, other = world.decide(request), shuffled(world, random).decide(request)
    if isinstance(decision, Denied):
        assert isinstance(other, Denied)
        assert sorted(each.sentence for each in decision.refusals) == sorted(
            each.sentence for each in other.refusals
        )
        return
    assert type(decision) is type(other)
    one, two = admitted_by(world, request), admitted_by(shuffled(world, random), request)
    assert one is not None
    assert two is not None
    assert (one.ends_at, one.ends_because) == (two.ends_at, two.ends_because)
    assert (one.charge_percent, one.fit) == (two.charge_percent, two.fit)
    assert set(one.shares) == set(two.shares)
    mine, theirs = one.grant, two.grant
    assert replace(mine, project=theirs.project) == theirs
    assert mine.project.key == theirs.project.key


def shuffled(world: World, random: Random) -> World:
    def mixed(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(random.sample(values, len(values)))

    projects = tuple(
        replace(
            each,
            plan=replace(
                each.plan, queues=mixed(each.plan.queues), windows=mixed(each.plan.windows)
            ),
        )
        for each in world.accounts.projects
    )
    keys = mixed(tuple(world.catalog.queues))
    return replace(
        world,
        accounts=replace(world.accounts, projects=(projects[0], *mixed(projects[1:]))),
        catalog=replace(
            world.catalog,
            quotas=mixed(world.catalog.quotas),
            storage_quotas=mixed(world.catalog.storage_quotas),
            queues={key: world.catalog.queues[key] for key in keys},
        ),
        cells={cell: world.cells[cell] for cell in mixed(tuple(world.cells))},
    )


#: Ways to give more; whatever is admitted without must be admitted with it, for no shorter time.
WIDER: dict[str, Callable[[Plan, Random], Plan]] = {
    "profiles": lambda plan, _: replace(plan, profiles=PROFILES),
    "models": lambda plan, _: replace(plan, gpu_models=MODELS),
    "images": lambda plan, _: replace(plan, images=IMAGES),
    "queues": lambda plan, _: replace(plan, queues=(*plan.queues, "batch", "night")),
    "another window": lambda plan, random: replace(
        plan, windows=(*plan.windows, a_week(random)) if plan.windows else ()
    ),
    "always open": lambda plan, _: replace(plan, windows=()),
    "at once": lambda plan, random: replace(plan, at_once=more(plan.at_once, random)),
    "a person at once": lambda plan, random: replace(
        plan, person_at_once=more(plan.person_at_once, random)
    ),
    "volumes": lambda plan, _: replace(
        plan, volumes_bytes=None if plan.volumes_bytes is None else plan.volumes_bytes * 2
    ),
}


def a_week(random: Random) -> WeeklyWindow:
    start, end = (WeekTime(day=random.randrange(7), minute=random.randrange(1440)) for _ in "ab")
    return WeeklyWindow(zone="Europe/Berlin", start=start, end=end)


def more(limits: AtOnce, random: Random) -> AtOnce:
    def wider(amount: int | None, most: int) -> int | None:
        return None if amount is None else amount + random.randrange(most)

    return AtOnce(
        gpu_percent=wider(limits.gpu_percent, 200),
        cpu_millicores=wider(limits.cpu_millicores, 10_000),
        memory_bytes=wider(limits.memory_bytes, 2**15 * MIB),
    )


def under_wider_plans(
    accounts: Accounts, widen: Callable[[Plan, Random], Plan], random: Random
) -> Accounts:
    projects = tuple(
        replace(each, plan=widen(each.plan, random), allows_root=True) for each in accounts.projects
    )
    return replace(accounts, projects=projects)


def assert_no_less(request: WorkspaceRequest, world: World, wider: World) -> None:
    one = admitted_by(world, request)
    if one is None:
        return
    two = admitted_by(wider, request)
    assert two is not None
    assert two.ends_at >= one.ends_at
    assert (two.grant.gpus, two.charge_percent) == (one.grant.gpus, one.charge_percent)


@pytest.mark.parametrize("widen", WIDER.values(), ids=WIDER)
def test_a_larger_plan_never_admits_less(widen: Callable[[Plan, Random], Plan]) -> None:
    random = chance(7)
    for _ in range(150):
        request, world = a_sensible_request(random), a_random_world(random, narrow=0.1)
        accounts = under_wider_plans(world.accounts, widen, random)
        assert_no_less(request, world, replace(world, accounts=accounts))


def test_neither_does_a_larger_quota_nor_one_that_is_gone() -> None:
    random = chance(8)
    for _ in range(500):
        request, world = a_sensible_request(random), a_random_world(random, narrow=0.1)
        quotas = [
            replace(
                each,
                amount=each.amount + random.randrange(10**10),
                override=each.override
                and replace(each.override, amount=each.override.amount + random.randrange(10**10)),
            )
            for each in world.catalog.quotas
            if random.random() < 0.8
        ]
        storage = [
            replace(
                each,
                size_bytes=each.size_bytes + random.randrange(10**10),
                override=each.override
                and replace(each.override, amount=each.override.amount + random.randrange(10**10)),
            )
            for each in world.catalog.storage_quotas
            if random.random() < 0.8
        ]
        catalog = replace(world.catalog, quotas=tuple(quotas), storage_quotas=tuple(storage))
        wider = replace(world, catalog=catalog)
        assert_no_less(request, world, wider)


def test_who_has_used_less_is_never_admitted_for_less() -> None:
    random = chance(9)
    for _ in range(500):
        request, world = a_sensible_request(random), a_random_world(random, narrow=0.1)
        cells = {cell: used for cell, used in world.cells.items() if random.random() < 0.7}
        volumes = {who: size for who, size in world.volumes.held.items() if random.random() < 0.7}
        emptier = replace(world, cells=cells, volumes=replace(world.volumes, held=volumes))
        assert_no_less(request, world, emptier)


def test_no_session_is_longer_than_the_longest_nor_shorter_than_a_minute() -> None:
    """Promise 3."""
    random = chance(10)
    admitted = 0
    for _ in range(500):
        request, world = a_sensible_request(random), a_random_world(random, narrow=0.1)
        found = admitted_by(world, request)
        if found is None:
            continue
        admitted += 1
        longest = found.grant.profile.max_session or world.catalog.max_session
        assert timedelta(minutes=1) <= found.ends_at - world.now + timedelta(milliseconds=1)
        assert found.ends_at <= world.now + longest
    assert admitted > 100


def test_the_path_of_a_decision_is_the_decision() -> None:
    """What is explained is what is decided, rule by rule, in the order of admission."""
    random, refused = chance(11), 0
    for number in range(400):
        make = a_sensible_request if number % 2 else a_random_request
        request, world = make(random), a_random_world(random)
        decision, steps = world.decide(request), asked_of(world, request)
        told = tuple(refusal for step in steps for refusal in step.refusals)
        assert told == (decision.refusals if isinstance(decision, Denied) else ())
        assert len({step.rule for step in steps}) == len(steps)
        refused += bool(told)
    assert 0 < refused < 400


def asked_of(world: World, request: WorkspaceRequest) -> tuple[Asked, ...]:
    return path(
        request,
        world.actor,
        world.catalog,
        world.accounts,
        Usage(world.cells),
        world.volumes,
        world.cluster,
        world.now,
    )
