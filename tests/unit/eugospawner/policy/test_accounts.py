"""Every person has a personal project from the first moment (design §4)."""

from eugospawner.policy.accounts import personal_accounts
from tests.factories import a_project, some_accounts


def test_who_belongs_to_no_group_has_the_personal_project_alone() -> None:
    accounts = personal_accounts("alice")
    assert [project.key for project in accounts.projects] == ["personal-alice"]
    assert not accounts.personal.may_run_as_root


def test_no_key_means_the_personal_project() -> None:
    accounts = some_accounts(a_project("vision"))
    assert accounts.find(None) is accounts.personal


def test_a_project_is_found_by_its_exact_key() -> None:
    accounts = some_accounts(a_project("vision"))
    found = accounts.find("vision")
    assert found is not None
    assert found.key == "vision"


def test_a_project_of_others_is_not_found() -> None:
    accounts = some_accounts(a_project("vision"))
    for key in ("", "Vision", "vision ", "personal-bob", "visio"):
        assert accounts.find(key) is None
