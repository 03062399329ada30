"""Capacity is advisory: it says now, waits, never, or that nothing is known."""

import pytest

from eugospawner.policy.capacity import UNKNOWN_CLUSTER, Fit
from tests.factories import a_cluster


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
    assert cluster.most_on_a_node("L4") == 0
    assert cluster.fit("L4", 1, 1) is Fit.NEVER


def test_a_cluster_of_which_nothing_is_known_may_have_everything() -> None:
    assert UNKNOWN_CLUSTER.has("H100")
    assert UNKNOWN_CLUSTER.most_on_a_node("H100") is None
    assert UNKNOWN_CLUSTER.fit("H100", 32, 100) is Fit.UNKNOWN


def test_the_most_on_a_node_counts_taken_devices_too() -> None:
    assert a_cluster(H100={"n1": [0, 0, 100], "n2": [100]}).most_on_a_node("H100") == 3
