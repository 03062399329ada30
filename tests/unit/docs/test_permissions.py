"""The table of roles, permissions and actions: what the docs say is what `may` answers, cell by cell (F105)."""

import re
from pathlib import Path

import pytest

from eugospawner.policy import roles
from eugospawner.policy.accounts import Actor
from eugospawner.policy.permissions import Workspace, may
from eugospawner.policy.roles import BUILTIN, MEANINGS, Action
from tests.factories import a_person, a_project, an_organization

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "permissions.md"
_CELL = {"—": None} | {str(each): each for each in roles.Reach}
ACME, UMBRELLA = an_organization("acme"), an_organization("umbrella")
#: On whose workspace: one's own, that of a colleague, and of somebody elsewhere.
OTHERS = {
    roles.Reach.OWN: a_person("alice", organization="acme"),
    roles.Reach.ORGANIZATION: a_person("bob", organization="acme"),
    roles.Reach.EVERYWHERE: a_person("carol", organization="umbrella"),
}


def table() -> dict[tuple[str, str], str]:
    """Return what the page says by role and action."""
    text = PAGE.read_text("utf-8")
    head, _, *rows = re.findall(r"^\|(.+)\|$", text, re.MULTILINE)
    names = [each.strip().strip("`") for each in head.split("|")][2:]
    found = {}
    for row in rows:
        action, meaning, *cells = (each.strip().strip("`") for each in row.split("|"))
        assert MEANINGS[Action(action)] == meaning
        found |= {(name, action): cell for name, cell in zip(names, cells, strict=True)}
    return found


TABLE = table()


def test_the_table_is_whole() -> None:
    assert set(TABLE) == {(role, str(action)) for role in BUILTIN for action in Action}


@pytest.mark.parametrize("whose", OTHERS)
@pytest.mark.parametrize(("role", "action"), sorted(TABLE))
def test_a_cell_is_what_is_answered(role: str, action: str, whose: roles.Reach) -> None:
    owner = OTHERS[whose]
    asking = a_person("alice", organization="acme", roles=(BUILTIN[role],))
    people = {"alice": asking, "bob": OTHERS[roles.Reach.ORGANIZATION], "carol": OTHERS[whose]}
    project = a_project(
        f"personal-{owner.name}",
        organization=ACME if owner.organization == "acme" else UMBRELLA,
        managers=frozenset({owner.name}),
    )
    target = Workspace(owner=asking if owner.name == "alice" else owner, project=project)
    reach = _CELL[TABLE[role, action]]
    order = list(roles.Reach)
    own = whose is roles.Reach.OWN
    expected = reach is not None and order.index(reach) >= order.index(whose)
    if own and reach is not None:
        expected = True  # one's own is in one's organization
    assert may(Actor(name="alice"), Action(action), target, people) is expected
    assert may(Actor(name="alice", is_admin=True), Action(action), target, people)
