"""What the hub's roles carry of somebody's permissions (F105 to F107)."""

import re

import pytest
from jupyterhub.roles import _role_name_pattern
from jupyterhub.scopes import _custom_scope_pattern

from eugospawner import scopes
from eugospawner.policy import roles
from eugospawner.policy.accounts import Actor
from eugospawner.policy.permissions import Workspace, may
from eugospawner.policy.roles import Action
from tests.factories import a_person, a_project, a_role, an_organization

ACME = an_organization("acme")


def expanded(person):
    """Return the scopes as the hub gives them to *person*."""
    return frozenset(
        f"{each}={person.name}" if each.endswith("!user") else each
        for role in scopes.hub_roles(person, is_admin=False)
        for each in role.get("scopes", ())
    )


def test_the_hub_s_own_roles_are_kept():
    names = [each["name"] for each in scopes.hub_roles(a_person(), is_admin=False)]
    assert names[0] == "user"
    assert "admin" not in names
    assert [each["name"] for each in scopes.hub_roles(a_person(), is_admin=True)][:2] == [
        "user", "admin",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "person",
    [
        a_person(),
        a_person(roles=()),
        a_person(organization="acme", roles=(roles.OWNER,)),
        a_person(organization="a" * 40, roles=tuple(roles.BUILTIN.values())),
        a_person(roles=(roles.IDE_MANAGE,)),
        a_person(roles=(a_role(Action.VIEW),)),
    ],
)
def test_the_hub_takes_every_name_and_scope(person):
    for role in scopes.hub_roles(person, is_admin=False):
        assert _role_name_pattern.match(role["name"]), role["name"]
        for scope in role.get("scopes", ()):
            assert scope.partition("!")[0] in {*scopes.DEFINITIONS, *scopes.HUB}
    assert all(_custom_scope_pattern.match(each) for each in scopes.DEFINITIONS)


def test_people_who_may_the_same_share_a_role_and_others_do_not():
    def name(**changes):
        return scopes.hub_roles(a_person(**changes), is_admin=False)[-1]["name"]

    assert name() == scopes.hub_roles(a_person("bob"), is_admin=False)[-1]["name"]
    different = [
        name(), name(organization="acme", roles=(roles.ADMIN,)), name(roles=(roles.VIEWER,)),
        name(organization="umbrella", roles=(roles.ADMIN,)), name(roles=(a_role(Action.VIEW),)),
        name(roles=(a_role(Action.VIEW, Action.DEPLOY),)), name(groups=frozenset({"lab"})),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    assert all(re.match(r"eugo-", each) for each in different)


@pytest.mark.parametrize("role", roles.BUILTIN)
@pytest.mark.parametrize("owner", ["alice", "bob", "carol"])
def test_a_token_with_all_that_somebody_has_may_what_they_may(role, owner):
    """The scopes that the hub carries cover the directory's answer, no more and no less."""
    alice = a_person(organization="acme", roles=(roles.BUILTIN[role],))
    others = {
        "alice": alice,
        "bob": a_person("bob", organization="acme"),
        "carol": a_person("carol", organization="umbrella"),
    }
    paying = ACME if owner != "carol" else an_organization("umbrella")
    target = Workspace(
        owner=others[owner],
        project=a_project(f"personal-{owner}", organization=paying, managers=frozenset({owner})),
    )
    limited = Actor(name="alice", scopes=expanded(alice))
    for action in Action:
        assert may(limited, action, target, others) == may(
            Actor(name="alice"), action, target, others
        ), action
