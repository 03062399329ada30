"""Which Nodes take a workspace: taints, tolerations, labels ("Taints and Tolerations")."""

from typing import Any

import pytest

from eugospawner.manifests.placement import Placement, Reach, tolerates


def a_node(*taints: dict[str, Any], unschedulable: bool = False, **labels: str) -> dict[str, Any]:
    spec: dict[str, Any] = {"taints": list(taints)} if taints else {}
    if unschedulable:
        spec["unschedulable"] = True
    return {"metadata": {"name": "n1", "labels": labels}, "spec": spec}


def a_taint(key: str, effect: str = "NoSchedule", value: str | None = None) -> dict[str, Any]:
    return {"key": key, "effect": effect} | ({} if value is None else {"value": value})


def reach(node: dict[str, Any], *tolerations: dict[str, Any], **selector: str) -> Reach:
    return Placement(tolerations=tolerations, node_selector=selector).reach_of(node)


GPU_ONLY = a_taint("nvidia.com/gpu", value="present")


def test_a_plain_node_takes_workspaces() -> None:
    assert reach(a_node()) is Reach.OPEN
    assert reach({"metadata": {"name": "n1"}}) is Reach.OPEN


@pytest.mark.parametrize("effect", ["NoSchedule", "NoExecute"])
def test_a_taint_that_nobody_tolerates_keeps_every_workspace_away(effect: str) -> None:
    assert reach(a_node(a_taint("team", effect, "vision"))) is Reach.NEVER


def test_a_taint_that_is_only_a_wish_does_not() -> None:
    assert reach(a_node(a_taint("team", "PreferNoSchedule"))) is Reach.OPEN


def test_a_taint_that_is_tolerated_does_not() -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Equal", "value": "present"}
    assert reach(a_node(GPU_ONLY), toleration) is Reach.OPEN


def test_one_taint_that_is_not_tolerated_is_enough() -> None:
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists"}
    assert reach(a_node(GPU_ONLY, a_taint("team")), toleration) is Reach.NEVER


@pytest.mark.parametrize(
    "condition", ["not-ready", "unreachable", "memory-pressure", "unschedulable"]
)
def test_a_condition_of_the_node_passes(condition: str) -> None:
    assert reach(a_node(a_taint(f"node.kubernetes.io/{condition}"))) is Reach.LATER


def test_a_cordoned_node_comes_back() -> None:
    assert reach(a_node(unschedulable=True)) is Reach.LATER


def test_a_condition_on_a_node_for_others_changes_nothing() -> None:
    taints = (a_taint("node.kubernetes.io/not-ready"), a_taint("team"))
    assert reach(a_node(*taints)) is Reach.NEVER


def test_a_node_without_the_labels_that_are_asked_for_is_out_of_reach() -> None:
    assert reach(a_node(pool="gpu"), pool="gpu") is Reach.OPEN
    assert reach(a_node(pool="cpu"), pool="gpu") is Reach.NEVER
    assert reach(a_node(), pool="gpu") is Reach.NEVER


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        ({"key": "nvidia.com/gpu", "operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}, True),
        ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoExecute"}, False),
        ({"operator": "Exists"}, True),
        ({"key": "nvidia.com/gpu", "value": "present"}, True),
        ({"key": "nvidia.com/gpu", "value": "absent"}, False),
        ({"key": "nvidia.com/gpu"}, False),
        ({"key": "other", "operator": "Exists"}, False),
        ({"key": "nvidia.com/gpu", "operator": "Gt", "value": "1"}, False),
        ({}, False),
    ],
)
def test_a_toleration_matches_by_key_operator_value_and_effect(
    toleration: dict[str, Any], expected: bool
) -> None:
    assert tolerates(toleration, GPU_ONLY) is expected


def test_a_taint_without_value_is_matched_by_none() -> None:
    assert tolerates({"key": "team", "value": ""}, a_taint("team"))
    assert not tolerates({"key": "team", "value": "x"}, a_taint("team"))
