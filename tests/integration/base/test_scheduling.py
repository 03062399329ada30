"""eugo-scheduling and the PriorityClasses: the scheduler places, and nobody is pushed out unseen."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import a_workspace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY = "eugo-scheduling"
HEARD_SECONDS = 20
CLASSES = "/apis/scheduling.k8s.io/v1/priorityclasses"


def test_a_pod_that_names_its_node_is_refused(base: Prepared) -> None:
    answer = base.attempt(a_workspace(spec={"nodeName": "node-1"}))
    assert_refused(answer, policy=POLICY, saying="Remove spec.nodeName")


def test_another_scheduler_is_refused(base: Prepared) -> None:
    answer = base.attempt(a_workspace(spec={"schedulerName": "kai-scheduler"}))
    assert_refused(answer, policy=POLICY, saying="The scheduler kai-scheduler is not used here.")


@pytest.mark.parametrize("name", ["eugo-default", "eugo-batch", "eugo-high"])
def test_our_priority_classes_are_admitted(base: Prepared, name: str) -> None:
    assert_admitted(base.attempt(a_workspace(spec={"priorityClassName": name})))


def test_a_workspace_without_priority_class_is_refused(base: Prepared) -> None:
    answer = base.attempt(a_workspace(spec={"priorityClassName": None}))
    assert_refused(answer, policy=POLICY, saying="The Pod has no PriorityClass. Set spec.priority")


@pytest.fixture
def another_class(base: Prepared, request: pytest.FixtureRequest) -> Iterator[str]:
    """A PriorityClass that somebody else made; its name and policy are the test's."""
    name, preemption = request.param
    name = f"{name}-{base.namespace}"
    body = {"metadata": {"name": name}, "value": 5, "preemptionPolicy": preemption}
    assert_admitted(base.admin.create(CLASSES, body))
    # What admits Pods hears of new classes a moment later.
    deadline = time.monotonic() + HEARD_SECONDS
    while "was found" in base.attempt(a_workspace(spec={"priorityClassName": name})).message:
        assert time.monotonic() < deadline, "the API server does not hear of the class"
        time.sleep(0.05)
    yield name
    base.admin.delete(f"{CLASSES}/{name}")


@pytest.mark.parametrize(
    "another_class",
    [
        pytest.param(("theirs", "Never"), id="of another owner"),
        pytest.param(("eugo-pushy", "PreemptLowerPriority"), id="of ours, but preempting"),
    ],
    indirect=True,
)
def test_a_class_that_is_not_ours_or_preempts_is_refused(
    base: Prepared, another_class: str
) -> None:
    answer = base.attempt(a_workspace(spec={"priorityClassName": another_class}))
    assert_refused(answer, policy=POLICY, saying=f"The PriorityClass {another_class} is not ours")


@pytest.mark.parametrize("another_class", [("eugo-exam", "Never")], indirect=True)
def test_an_admin_may_add_classes_for_queues(base: Prepared, another_class: str) -> None:
    assert_admitted(base.attempt(a_workspace(spec={"priorityClassName": another_class})))


def test_steering_by_labels_and_tolerations_stays_free(base: Prepared) -> None:
    spec: Json = {
        "nodeSelector": {"gpu.example/model": "H100"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
    }
    assert_admitted(base.attempt(a_workspace(spec=spec)))


def test_our_classes_never_preempt_and_are_nobodys_default(base: Prepared) -> None:
    classes = {
        each["metadata"]["name"]: each
        for each in base.hub.get(CLASSES).body["items"]
        if each["metadata"]["name"] in {"eugo-default", "eugo-batch", "eugo-high"}
    }
    assert len(classes) == 3
    for each in classes.values():
        assert each["preemptionPolicy"] == "Never"
        assert not each.get("globalDefault", False)
        assert each["description"]
    assert (
        classes["eugo-batch"]["value"]
        < classes["eugo-default"]["value"]
        < classes["eugo-high"]["value"]
    )
