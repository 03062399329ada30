"""Capacity is advisory: it says now, waits, never, or that nothing is known."""

import pytest

from eugospawner.policy.capacity import UNKNOWN_CLUSTER, Fit
from tests.factories import a_cluster
from tests.factories.cluster import Gpu


@pytest.mark.parametrize(
    ("free", "count", "sm_percent", "fit"),
    [
        pytest.param([100], 1, 100, Fit.NOW, id="a free device"),
        pytest.param([25], 1, 25, Fit.NOW, id="exactly the share that is left"),
        pytest.param([24], 1, 25, Fit.WAITS, id="one percent too little is left"),
        pytest.param([0], 1, 1, Fit.WAITS, id="a taken device"),
        pytest.param([100], 2, 10, Fit.NEVER, id="two shares never come from one device"),
        pytest.param([50, 50], 2, 50, Fit.NOW, id="two shares from two devices"),
        pytest.param([50, 40], 2, 50, Fit.WAITS, id="one of two has too little left"),
        pytest.param({"n1": [100], "n2": [100]}, 2, 1, Fit.NEVER, id="a Pod is on one node"),
        pytest.param(
            {"n1": [100, 0], "n2": [100]}, 2, 1, Fit.WAITS, id="free ones are on different nodes"
        ),
        pytest.param({"n1": [0], "n2": [100, 100]}, 2, 100, Fit.NOW, id="another node has them"),
        pytest.param([], 1, 1, Fit.NEVER, id="a model without devices"),
    ],
)
def test_fit(free: list[int], count: int, sm_percent: int, fit: Fit) -> None:
    assert a_cluster(H100=free).fit("H100", count, sm_percent) is fit


def test_a_model_that_the_cluster_has_not_never_fits() -> None:
    cluster = a_cluster(H100=[100])
    assert not cluster.has("L4")
    assert cluster.most_on_a_node("L4", 100) == 0
    assert cluster.fit("L4", 1, 1) is Fit.NEVER


def test_a_cluster_of_which_nothing_is_known_may_have_everything() -> None:
    assert UNKNOWN_CLUSTER.has("H100")
    assert UNKNOWN_CLUSTER.most_on_a_node("H100", 100) is None
    assert UNKNOWN_CLUSTER.fit("H100", 32, 100) is Fit.UNKNOWN


def test_the_most_on_a_node_counts_taken_devices_too() -> None:
    assert a_cluster(H100={"n1": [0, 0, 100], "n2": [100]}).most_on_a_node("H100", 100) == 3


# --- GPUs that are cut to sizes ---


@pytest.mark.parametrize(
    ("gpus", "count", "sm_percent", "fit"),
    [
        pytest.param([{15: (7, 1)}], 1, 15, Fit.NOW, id="one is left"),
        pytest.param([{15: (7, 1)}], 2, 15, Fit.WAITS, id="one too few is left"),
        pytest.param([{15: (7, 7)}], 8, 15, Fit.NEVER, id="more than it can be cut to"),
        pytest.param([{15: (7, 7)}], 1, 29, Fit.NEVER, id="a size that no device has"),
        pytest.param([{29: (3, 0), 15: (7, 1)}], 1, 29, Fit.WAITS, id="too large for what is left"),
        pytest.param([{43: (1, 1)}, {43: (1, 1)}], 2, 43, Fit.NOW, id="of two GPUs"),
        pytest.param(
            {"n1": [{43: (1, 1)}], "n2": [{43: (1, 1)}]},
            2,
            43,
            Fit.NEVER,
            id="a Pod is on one node",
        ),
        pytest.param([{15: (1, 1)}, {43: (2, 0)}], 1, 43, Fit.WAITS, id="GPUs cut differently"),
    ],
)
def test_fit_of_a_size(gpus: list[Gpu], count: int, sm_percent: int, fit: Fit) -> None:
    assert a_cluster(M=gpus).fit("M", count, sm_percent) is fit


def test_a_size_is_there_if_some_gpu_can_be_cut_to_it() -> None:
    cluster = a_cluster(M=[{15: (7, 0)}, {43: (2, 2)}])
    assert [cluster.has_size("M", percent) for percent in (15, 29, 43)] == [True, False, True]
    assert not cluster.has_size("other", 15)
    assert UNKNOWN_CLUSTER.has_size("M", 15)
    assert cluster.most_on_a_node("M", 43) == 2
