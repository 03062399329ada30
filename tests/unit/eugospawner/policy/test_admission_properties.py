"""What holds for every request, whatever it asks (promises 1 and 4)."""

from dataclasses import fields

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eugospawner.options import WORDS
from eugospawner.policy.admission import Admitted, Decision, Denied, Queued, nearest
from eugospawner.policy.capacity import ClusterView, Fit
from eugospawner.policy.catalog import Strategy
from eugospawner.policy.requests import VolumeRequest, WorkspaceRequest
from eugospawner.policy.volumes import is_key, overlap, problem_of_path
from tests.factories import a_catalog, decide_about
from tests.factories.chance import a_random_cluster, a_random_request, chance

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

#: The words that a change may touch, beside the one at fault: what depends on it.
DEPENDENT = {
    "gpu_model": {"gpu_model", "gpu_count"},
    "kind": {"kind", "image"},
    "cpu": {"cpu_millicores"},
    "memory": {"memory_bytes"},
}


@given(wild_requests | tame_requests, clusters)
@settings(max_examples=400)
def test_every_request_has_an_answer_in_plain_words(
    request: WorkspaceRequest, cluster: ClusterView
) -> None:
    decision = decide_about(request, cluster=cluster)
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
@settings(max_examples=400)
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
@settings(max_examples=300)
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
