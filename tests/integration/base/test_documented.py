"""The pages for admins say what the manifests do: every policy, message, permission and command."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from tests.integration.base.overlay import BASE
from tests.integration.base.permissions import ALL

DOCS = BASE.parents[1] / "docs"
REFERENCE = (DOCS / "reference" / "admission-policies.md").read_text()
HOWTO = (DOCS / "howto" / "prepare-cluster.md").read_text()

#: Shorter pieces of a message are glue between what it fills in.
TELLING = 12


def policies() -> dict[str, Any]:
    documents = (
        next(yaml.safe_load_all(path.read_text())) for path in (BASE / "policies").glob("*.yaml")
    )
    return {each["metadata"]["name"]: each["spec"] for each in documents}


def words(text: str) -> str:
    return " ".join(text.split())


def sentences(validation: dict[str, str]) -> list[str]:
    """Return the fixed pieces of what *validation* says."""
    if "message" in validation:
        return [words(validation["message"])]
    pieces = re.findall(r"'([^']*)'", validation["messageExpression"])
    return [words(piece).strip(" ().") for piece in pieces if len(piece) >= TELLING]


@pytest.mark.parametrize("name", sorted(policies()))
def test_every_message_of_a_policy_stands_in_the_reference(name: str) -> None:
    section = words(REFERENCE.partition(f"### {name}\n")[2].partition("\n### ")[0])
    assert section, f"{name} has no section"
    for validation in policies()[name]["validations"]:
        assert sentences(validation)
        for sentence in sentences(validation):
            assert sentence in section


def test_the_reference_names_no_policy_that_does_not_exist() -> None:
    assert set(re.findall(r"^### (\S+)$", REFERENCE, re.MULTILINE)) == set(policies())


def test_every_test_that_the_reference_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+\.py)`", REFERENCE))
    assert named
    for test in named:
        assert (BASE.parents[1] / "tests" / "integration" / "base" / test).is_file()


@pytest.mark.parametrize("permission", ALL, ids=lambda each: each.resource)
def test_the_how_to_says_who_needs_each_permission(permission: Any) -> None:
    order = ["get", "list", "watch", "create", "update", "patch", "delete"]
    verbs = ", ".join(sorted(permission.verbs, key=order.index))
    assert f"| {permission.resource} | {verbs} | {permission.needed_for} |" in HOWTO


def test_every_file_of_the_base_is_applied() -> None:
    listed = set(yaml.safe_load((BASE / "kustomization.yaml").read_text())["resources"])
    there = {str(path.relative_to(BASE)) for path in BASE.rglob("*.yaml")}
    assert there - {"kustomization.yaml"} == listed
