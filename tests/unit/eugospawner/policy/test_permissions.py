"""Who may do what: every actor, action and object in one table (promise 7; F105 to F107)."""

import pytest

from eugospawner.policy.accounts import Actor, OrganizationRole
from eugospawner.policy.permissions import Action, Object, Platform, Workspace, may
from tests.factories import a_group, a_person, a_project, an_organization

ACME, LAB = an_organization("acme"), a_group("lab")
ALICE = a_person("alice", organization="acme", groups=frozenset({"lab"}))
PEOPLE = {
    person.name: person
    for person in (
        ALICE,
        a_person("mary", organization="acme", groups=frozenset({"lab"})),
        a_person("olga", organization="acme", role=OrganizationRole.OWNER),
        a_person("adam", organization="acme", role=OrganizationRole.ADMIN),
        a_person("bert", organization="acme", groups=frozenset({"others"})),
        a_person("rosa", organization="umbrella", role=OrganizationRole.OWNER),
        a_person("rick", organization="umbrella", role=OrganizationRole.ADMIN),
        # Once a manager of "vision"; its list still has her.
        a_person("rita", organization="umbrella", groups=frozenset({"others"})),
        a_person("walt", role=OrganizationRole.OWNER),  # of nothing
    )
}
VISION = a_project("vision", organization=ACME, group=LAB, managers=frozenset({"mary", "rita"}))
PERSONAL = a_project(organization=ACME, managers=frozenset({"alice"}))
ALONE = a_project(managers=frozenset({"alice"}))
OBJECTS: dict[str, Object] = {
    "project": VISION,
    "workspace in it": Workspace(owner=ALICE, project=VISION),
    "personal project": PERSONAL,
    "workspace there": Workspace(owner=ALICE, project=PERSONAL),
    "project of no organization": ALONE,
    "workspace in that": Workspace(owner=ALICE, project=ALONE),
    "person": ALICE,
    "group": LAB,
    "organization": ACME,
    "platform": Platform(),
}

#: Of whom, in a few words: what they may do to each object, in the order of OBJECTS.
#: s: start, u: see usage, b: bind a plan, q: change a quota, t: steer.
TABLE = {
    # platform admin
    "ada": (
        "subqt", "subqt", "subqt", "subqt", "subqt", "subqt", "subqt", "subqt", "subqt", "subqt"
    ),
    # the owner, and a member of the group
    "alice": ("u", "su", "u", "su", "u", "su", "u", "u", "", ""),
    "mary": ("ub", "ub", "", "", "", "", "", "u", "", ""),  # member and manager
    "olga": ("ubq", "ubq", "ubq", "ubq", "", "", "u", "", "u", ""),  # owner of the organization
    "adam": ("ubq", "ubq", "ubq", "ubq", "", "", "u", "", "u", ""),  # admin of it
    "bert": ("", "", "", "", "", "", "", "", "", ""),  # of the organization, not in the group
    "rosa": ("", "", "", "", "", "", "", "", "", ""),  # owner of another organization
    "rick": ("", "", "", "", "", "", "", "", "", ""),
    "rita": ("", "", "", "", "", "", "", "", "", ""),
    "walt": ("", "", "", "", "", "", "", "", "", ""),
    "nobody": ("", "", "", "", "", "", "", "", "", ""),  # knows the way in, and is in no list
    "": ("", "", "", "", "", "", "", "", "", ""),
}  # fmt: skip
LETTERS = {
    "s": Action.START,
    "u": Action.SEE_USAGE,
    "b": Action.BIND_PLAN,
    "q": Action.CHANGE_QUOTA,
    "t": Action.STEER,
}
OUTSIDE = ["rosa", "rick", "rita", "walt", "nobody", "", "Alice", "alice ", "acme", "lab"]


@pytest.mark.parametrize("name", TABLE)
@pytest.mark.parametrize("target", OBJECTS)
def test_what_somebody_may_do(name: str, target: str) -> None:
    actor = Actor(name=name, is_admin=name == "ada")
    allowed = {LETTERS[letter] for letter in TABLE[name][list(OBJECTS).index(target)]}
    assert {each for each in Action if may(actor, each, OBJECTS[target], PEOPLE)} == allowed


@pytest.mark.parametrize("name", OUTSIDE)
@pytest.mark.parametrize("action", Action)
def test_nobody_outside_the_organization_may_do_anything(name: str, action: Action) -> None:
    assert not any(may(Actor(name=name), action, each, PEOPLE) for each in OBJECTS.values())


@pytest.mark.parametrize("action", Action)
def test_who_is_in_no_list_has_no_role_by_being_looked_up(action: Action) -> None:
    """An empty organization is nobody's: its "owners" lead no project without one."""
    for target in OBJECTS.values():
        assert not may(Actor(name="olga"), action, target, {})


def test_somebody_may_not_grant_themselves_a_plan() -> None:
    """F106: managers of a personal project are its owners."""
    assert not may(Actor(name="alice"), Action.BIND_PLAN, PERSONAL, PEOPLE)
    assert may(Actor(name="olga"), Action.BIND_PLAN, PERSONAL, PEOPLE)


def test_every_action_is_in_the_table() -> None:
    assert set(LETTERS.values()) == set(Action)
