"""Reasons: machine codes that never change, each with a rule and a line in the reference."""

import re
from pathlib import Path

import pytest

from eugospawner.policy.reasons import RULES, Reason

PAGE = Path(__file__).parents[4] / "docs" / "reference" / "reasons.md"
ROW = re.compile(
    r"^\| `(?P<code>[a-z-]+)` \| (?P<status>\d+) \| (?P<who>[^|]+) \| (?P<text>.+) \|$"
)


def rows() -> dict[str, tuple[int, str, str]]:
    matches = (ROW.match(line) for line in PAGE.read_text(encoding="utf-8").splitlines())
    return {
        match["code"]: (int(match["status"]), match["who"], match["text"])
        for match in matches
        if match
    }


@pytest.mark.parametrize("reason", Reason)
def test_every_reason_stands_in_the_reference_as_its_rule_says(reason: Reason) -> None:
    rule = RULES[reason]
    assert rows()[reason] == (rule.status, rule.who, rule.meaning)


def test_the_reference_knows_no_other_reason_and_keeps_their_order() -> None:
    assert list(rows()) == list(Reason)


@pytest.mark.parametrize("reason", Reason)
def test_a_rule_has_a_status_of_design_5_and_a_whole_sentence(reason: Reason) -> None:
    rule = RULES[reason]
    assert rule.status in {400, 403, 404, 409, 503}
    assert rule.meaning[0].isupper()
    assert rule.meaning.endswith(".")


@pytest.mark.parametrize("reason", Reason)
def test_a_code_is_lower_case_words_with_hyphens(reason: Reason) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", reason)


#: Clients, audit records and metrics carry the codes: this list only ever grows.
RELEASED = [
    "malformed", "unknown-option", "project-unknown", "queue-unknown", "profile-unknown",
    "flavor-not-in-profile", "kind-not-in-profile", "image-not-allowed", "image-without-kind",
    "root-not-allowed", "gpu-model-missing", "gpu-model-unknown", "gpu-count-out-of-bounds",
    "sm-percent-out-of-bounds", "sm-percent-not-divisible", "cpu-out-of-bounds",
    "memory-out-of-bounds", "volume-name", "volume-unknown", "volume-duplicate", "mount-path-unsafe",
    "mount-path-duplicate", "too-many-volumes", "gpu-model-absent", "gpu-count-absent",
    "cluster-refused", "cluster-drops-shares", "cluster-unreachable", "store-unavailable",
]  # fmt: skip


def test_no_released_code_is_ever_renamed() -> None:
    assert set(RELEASED) <= set(Reason)
