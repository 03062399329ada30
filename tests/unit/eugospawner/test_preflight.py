"""What the page says before anybody presses Start (L2, F42, F52)."""

import json
from dataclasses import replace
from typing import Any

import pytest

from eugospawner import form, options, preflight
from eugospawner.form import Outcome
from eugospawner.policy.catalog import AtOnce
from eugospawner.policy.decisions import Admitted, Decision
from eugospawner.policy.limits import UNIT_HOUR, Quota
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
from tests.factories import a_catalog, a_cluster, a_plan, a_project, decide_about, some_accounts


def described(decision: Decision, **words: object) -> form.Preflight:
    return preflight.describe(decision, words=words, nearest=None)


def facts(decision: Decision) -> dict[str, str]:
    return {fact.label: fact.value for fact in described(decision).facts}


def test_a_share_that_is_free_starts_now_and_says_what_it_costs_and_when_it_ends() -> None:
    decision = decide_about(profile="gpu", sm_percent=25, cluster=a_cluster(H100=[100]))
    said = described(decision)
    assert said.outcome is Outcome.STARTS
    assert said.title == "It can start"
    assert said.sentence == "It starts now: its GPUs are free."
    assert facts(decision) == {
        "GPU": "1 × NVIDIA H100, 25 % SM",
        "Effective GPUs": "0.25",
        "Charge per hour": "0.25 GPU hours",
        "CPU and memory": "2 CPU, 8 GiB",
        "Ends": "when you stop it, at the latest Tue 2026-11-24 21:00 Europe/Berlin: "
        "the longest session of the profile",
    }


@pytest.mark.parametrize(
    ("words", "gpu", "effective"),
    [
        ({"gpu_count": 2, "sm_percent": 25}, "2 × NVIDIA H100, 25 % SM each", "0.50"),
        ({"gpu_count": 2}, "2 × NVIDIA H100, whole each", "2.00"),
        ({}, "1 × NVIDIA H100, whole", "1.00"),
    ],
)
def test_gpus_are_named_with_count_share_and_effective_figure(
    words: dict[str, Any], gpu: str, effective: str
) -> None:
    said = facts(decide_about(profile="gpu", **words))
    assert (said["GPU"], said["Effective GPUs"]) == (gpu, effective)


def test_where_more_is_charged_than_was_requested_both_figures_are_told() -> None:
    """D7: a driver that hands out whole devices."""
    decision = decide_about(profile="gpu", sm_percent=50)
    assert isinstance(decision, Admitted)
    charged = replace(decision, charge_percent=100)
    assert facts(charged)["Effective GPUs"] == "requested 0.50, charged 1.00"


def test_without_gpu_nothing_is_said_of_shares() -> None:
    decision = decide_about(profile="code")
    assert described(decision).sentence == "It starts now: nothing stands in its way."
    assert facts(decision) == {
        "GPU": "none",
        "CPU and memory": "2 CPU, 8 GiB",
        "Ends": "when you stop it, at the latest Wed 2026-11-25 13:00 Europe/Berlin: "
        "the longest session of the profile",
    }


def test_capacity_that_cannot_be_seen_is_not_promised() -> None:
    said = described(decide_about(profile="gpu"))
    assert said.outcome is Outcome.STARTS
    assert "cannot be seen" in said.sentence


def test_what_waits_says_so() -> None:
    said = described(decide_about(profile="gpu", sm_percent=50, cluster=a_cluster(H100=[49])))
    assert said.outcome is Outcome.WAITS
    assert said.title == "It would wait"
    assert "starts by itself" in said.sentence
    assert said.facts


def test_all_refusals_are_told_at_once_with_the_changes_that_help() -> None:
    words: dict[str, Any] = {"gpu_count": 9, "sm_percent": 0}
    decision = decide_about(profile="gpu", **words)
    nearest = {"profile": "gpu", "gpu_count": 4, "sm_percent": 1}
    said = preflight.describe(decision, words={"profile": "gpu"} | words, nearest=nearest)
    assert said.outcome is Outcome.REFUSED
    assert said.sentence == "It would be refused, for 2 reasons."
    assert [each.word for each in said.refusals] == ["gpu_count", "sm_percent"]
    assert [(each.label, each.before, each.after) for each in said.changes] == [
        ("GPU Count", "9", "4"),
        ("SM Percentage", "0", "1"),
    ]
    assert said.facts == ()


def test_one_reason_is_not_counted() -> None:
    assert (
        described(decide_about(profile="nope")).sentence == "It would be refused, for one reason."
    )


def test_json_carries_everything_the_page_shows_and_fields_that_read_back() -> None:
    nearest = {
        "profile": "gpu",
        "gpu_count": 4,
        "volumes": [{"claim": "data", "mount_path": "/mnt/data"}],
    }
    decision = decide_about(profile="gpu", gpu_count=9)
    said = preflight.to_json(preflight.describe(decision, words={"gpu_count": 9}, nearest=nearest))
    assert json.loads(json.dumps(said)) == said
    assert set(said) == {
        "outcome", "title", "sentence", "facts", "refusals", "changes", "nearest",
    }  # fmt: skip
    (refusal,) = said["refusals"]
    assert refusal["reason"] == "gpu-count-out-of-bounds"
    assert (refusal["label"], refusal["who"], refusal["status"]) == ("GPU Count", "an admin", 400)
    assert options.from_form(said["nearest"]) == nearest


def test_json_of_what_starts_has_no_offer() -> None:
    assert preflight.to_json(described(decide_about()))["nearest"] is None


def test_limits_say_what_the_session_takes_and_what_is_left() -> None:
    """L6: the whole session, in the worst case."""
    user = Subject(SubjectKind.USER, "alice")
    month = Quota(
        key="month",
        subject=user,
        resource=Resource.GPU,
        span=Span.MONTH,
        gpu_model=None,
        amount=10 * UNIT_HOUR[Resource.GPU],
    )
    plan = a_plan(at_once=AtOnce(gpu_percent=200))
    cell = Cell(user, Span.MONTH, "2026-11", "H100")
    decision = decide_about(
        profile="gpu",
        sm_percent=50,
        catalog=replace(a_catalog(), quotas=(month,)),
        accounts=some_accounts(personal=a_project(plan=plan)),
        usage=Usage({cell: Used(settled=Amounts(gpu=7 * UNIT_HOUR[Resource.GPU]))}),
    )
    said = facts(decision)
    assert said["At once, the project"] == "takes 0.50 GPUs, leaves 1.50 GPUs"
    assert said["This month, you"] == ("reserves up to 3.00 GPU hours, leaves 0.00 GPU hours")
    assert said["Ends"].endswith("no more of a quota is left")
    assert "19:00 Europe/Berlin" in said["Ends"]  # three hours at half a GPU are six
