"""Who may do what: every actor, action and object in one table (promise 7; F105 to F107)."""

import pytest

from eugospawner.policy import permissions, roles
from eugospawner.policy.accounts import Actor
from eugospawner.policy.permissions import Object, Platform, Workspace, may, who_may
from eugospawner.policy.roles import Action
from tests.factories import a_group, a_person, a_project, an_organization

ACME, LAB = an_organization("acme"), a_group("lab")
ALICE = a_person("alice", organization="acme", groups=frozenset({"lab"}))
PEOPLE = {
    person.name: person
    for person in (
        ALICE,
        a_person("mary", organization="acme", groups=frozenset({"lab"})),
        # A manager because the identity provider says so.
        a_person(
            "mona", organization="acme", groups=frozenset({"lab"}), manages=frozenset({"vision"})
        ),
        a_person("olga", organization="acme", roles=(roles.OWNER,)),
        a_person("adam", organization="acme", roles=(roles.ADMIN,)),
        a_person("bert", organization="acme", groups=frozenset({"others"})),
        a_person("nora", roles=(roles.NOTEBOOK_ADMIN,)),
        a_person("rosa", organization="umbrella", roles=(roles.OWNER,)),
        a_person("rick", organization="umbrella", roles=(roles.ADMIN,)),
        # Once a manager of "vision"; its list still has her.
        a_person("rita", organization="umbrella", groups=frozenset({"others"})),
        a_person("walt", roles=(roles.OWNER,)),  # of nothing
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
#: v: view, c: create, d: deploy, a: access, s: stop, h: suspend, t: terminate, l: download, m: delete many,
#: u: see usage, b: bind a plan, q: change a quota, r: assign a role, o: make an owner,
#: p: manage profiles, e: everything else.
LETTERS = dict(zip("vcdashtlmubqrope", Action, strict=True))
ALL = "vcdashtlmubqrope"
#: Of an organization's admin, on what is the organization's.
LEAD = "vshtubqr"
#: Of a notebook admin, on everything.
AUDIT = "vashtuqp"
#: Of members, on what is their own; only workspaces can be had so, the rest means nothing.
OWN = "vcdastlu"

#: Of whom, in a few words: what they may do to each object, in the order of OBJECTS.
TABLE = {
    "ada": [ALL] * 10,  # platform admin
    # the owner, and a member of the group
    "alice": [OWN, OWN, OWN, OWN, OWN, OWN, OWN, OWN, "", ""],
    "mary": [f"{OWN}b", "ub", "", "", "", "", "", OWN, "", ""],  # member and manager
    "mona": [f"{OWN}b", "ub", "", "", "", "", "", OWN, "", ""],
    "olga": [f"{LEAD}o"] * 4 + ["", "", f"{LEAD}o", "", f"{LEAD}o", ""],  # owner
    "adam": [LEAD] * 4 + ["", "", LEAD, "", LEAD, ""],  # admin of the organization
    "nora": [AUDIT] * 10,
    "bert": [""] * 10,  # of the organization, not in the group
    "rosa": [""] * 10,  # owner of another organization
    "rick": [""] * 10,
    "rita": [""] * 10,
    "walt": [""] * 10,
    "nobody": [""] * 10,  # knows the way in, and is in no list
    "": [""] * 10,
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


OWN_WORKSPACE = OBJECTS["workspace there"]


@pytest.mark.parametrize("without", roles.PERMISSIONS)
def test_a_permission_that_is_taken_away_takes_its_action_and_no_other(without: Action) -> None:
    """F105: an organization's own role of all permissions but one."""
    role = roles.custom(
        "most", "Most", frozenset(roles.PERMISSIONS) - {without}, organization="acme"
    )
    people = {"alice": a_person(organization="acme", roles=(role,))}
    may_not = {
        each
        for each in roles.PERMISSIONS
        if not may(Actor(name="alice"), each, OWN_WORKSPACE, people)
    }
    assert may_not == {without}
    assert may(
        Actor(name="alice"), Action.STOP, OWN_WORKSPACE, people
    )  # what one holds, one gives back


def test_whoever_has_several_roles_may_what_any_of_them_gives() -> None:
    both = a_person(organization="acme", roles=(roles.VIEWER, roles.IDE_MANAGE))
    allowed = {
        each for each in Action if may(Actor(name="alice"), each, OWN_WORKSPACE, {"alice": both})
    }
    assert allowed == {Action.VIEW, Action.BULK_DELETE, Action.STOP, Action.SEE_USAGE}


@pytest.mark.parametrize("name", ["alice", "olga", "nora", "ada"])
def test_whoever_is_suspended_may_look_and_stop_and_no_more(name: str) -> None:
    people = {
        **PEOPLE,
        name: a_person(
            name, organization="acme", roles=PEOPLE.get(name, ALICE).roles, suspended_because="left"
        ),
    }
    actor = Actor(name=name, is_admin=name == "ada")
    allowed = {
        each for each in Action for target in OBJECTS.values() if may(actor, each, target, people)
    }
    assert allowed <= {Action.VIEW, Action.STOP, Action.SEE_USAGE}
    assert may(actor, Action.STOP, Workspace(owner=people[name], project=PERSONAL), people)


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        ({"custom:eugo:terminate"}, True),
        ({"custom:eugo:terminate!user=alice"}, True),
        ({"custom:eugo:terminate!group=organization:acme"}, True),
        ({"custom:eugo:terminate!group=project:personal-alice"}, True),
        (set(), False),
        ({"custom:eugo:view", "servers", "self"}, False),
        ({"custom:eugo:terminate!user=alic"}, False),
        ({"custom:eugo:terminate!user="}, False),
        ({"custom:eugo:terminate!group=organization:umbrella"}, False),
        ({"custom:eugo:terminate!group=acme"}, False),
        ({"eugo:terminate", "terminate"}, False),
    ],
)
def test_a_token_that_was_made_for_less_acts_for_less(scopes: set[str], allowed: bool) -> None:
    for name, is_admin in (("alice", False), ("ada", True)):
        actor = Actor(name=name, is_admin=is_admin, scopes=frozenset(scopes))
        assert may(actor, Action.TERMINATE, OWN_WORKSPACE, PEOPLE) is allowed


def test_a_token_gives_nobody_what_they_have_not() -> None:
    scopes = frozenset(f"{permissions.SCOPE}{each}" for each in Action)
    for target in OBJECTS.values():
        for action in Action:
            actor = Actor(name="rosa", scopes=scopes)
            assert not may(actor, action, target, PEOPLE)


def test_whoever_is_refused_reads_who_may() -> None:
    """F106: the missing role is named."""
    assert who_may(Action.STEER, Platform()) == "a platform admin"
    assert who_may(Action.MANAGE_PROFILES, Platform()) == "a notebook admin or a platform admin"
    assert who_may(Action.BIND_PLAN, VISION) == (
        "a project manager, an organization admin, an organization owner or a platform admin"
    )
    assert who_may(Action.ASSIGN_OWNER, ACME) == "an organization owner or a platform admin"


def test_every_action_is_in_the_table_and_has_a_meaning() -> None:
    assert set(LETTERS.values()) == set(Action) == set(roles.MEANINGS)


def test_no_role_that_an_organization_makes_reaches_beyond_its_owner() -> None:
    made = roles.custom("all", "All", frozenset(roles.PERMISSIONS), organization="acme")
    assert {each.reach for each in made.grants} == {roles.Reach.OWN}
