"""Who has which projects, and what they may use there."""

import pytest

from eugospawner.policy import roles
from eugospawner.policy.accounts import Directory
from tests.factories import a_group, a_person, a_plan, a_project, an_organization

DEFAULTS = a_plan("", display_name="no plan")
RESEARCH = a_plan("research")
ACME, LAB, OTHERS = an_organization("acme"), a_group("lab"), a_group("others")
VISION = a_project("vision", group=LAB, organization=ACME, plan=RESEARCH)
THEIRS = a_project("theirs", group=OTHERS)
DIRECTORY = Directory(
    organizations={"acme": ACME},
    groups={"lab": LAB, "others": OTHERS},
    people={
        "alice": a_person(
            organization="acme",
            roles=(roles.OWNER,),
            groups=frozenset({"lab"}),
            plan="research",
            allows_root=True,
        )
    },
    projects={"vision": VISION, "theirs": THEIRS},
    plans={"research": RESEARCH},
    default_plan=DEFAULTS,
)


def test_somebody_whom_nobody_knows_has_a_personal_project_without_a_plan() -> None:
    accounts = DIRECTORY.accounts_of("Zoë", "zo---1234")
    assert [project.key for project in accounts.projects] == ["personal-zo---1234"]
    assert accounts.personal.plan is DEFAULTS
    assert accounts.personal.organization is None
    assert not accounts.personal.may_run_as_root
    assert accounts.person.name == "Zoë"


def test_a_member_has_the_personal_project_first_and_those_of_their_groups() -> None:
    accounts = DIRECTORY.accounts_of("alice", "alice")
    assert [project.key for project in accounts.projects] == ["personal-alice", "vision"]
    assert accounts.personal.plan is RESEARCH
    assert accounts.personal.organization is ACME
    assert accounts.personal.may_run_as_root


def test_no_key_means_the_personal_project_and_an_unknown_one_none() -> None:
    accounts = DIRECTORY.accounts_of("alice", "alice")
    assert accounts.find(None) is accounts.personal
    assert accounts.find("vision") is VISION
    assert accounts.find("theirs") is None


@pytest.mark.parametrize(
    ("project", "group", "allowed"),
    [(True, None, True), (False, None, False), (True, True, True), (True, False, False)],
)
def test_root_needs_the_project_and_the_group_that_owns_it(
    project: bool, group: bool | None, allowed: bool
) -> None:
    """F38."""
    owner = None if group is None else a_group(may_run_as_root=group)
    assert a_project(allows_root=project, group=owner).may_run_as_root is allowed
