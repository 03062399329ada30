"""Every cell of the table of roles that has to do with downloads, in and out of the organization (F105 to F107)."""

import pytest

from eugospawner.policy.roles import BUILTIN, Action, Reach
from tests.integration.quota.servers import NOW
from tests.unit.docs.test_permissions import TABLE

#: Whose thing, for Bob of Acme.
OWNERS = {Reach.OWN: "bob", Reach.ORGANIZATION: "erin", Reach.EVERYWHERE: "carol"}


@pytest.mark.parametrize("role", BUILTIN)
@pytest.mark.parametrize("whose", OWNERS)
def test_an_export_is_made_by_whom_the_table_says_and_by_nobody_else(service, role, whose):
    put = service.store.changes.put
    for name, document in (
        ("bob", {"organization": "acme", "role": role}),
        ("erin", {"organization": "acme"}),
    ):
        service.run(put("people", name, document, actor="ada", reason="x", at=NOW))
    owner = OWNERS[whose]
    service.has_workspace(owner)
    order = list(Reach)

    def has(action):
        cell = TABLE[role, action]
        return cell != "—" and order.index(Reach(cell)) >= order.index(whose)

    answer = service.ask("POST", "/exports", {"owner": owner, "server": "lab"}, token="t-bob")
    expected = has(Action.DOWNLOAD) and has(Action.VIEW)
    assert (answer.status == 200) is expected, (role, whose, answer.text)
    if not expected:
        assert answer.status == (403 if has(Action.VIEW) else 404)
    made = service.run(service.store.exports.of_creator("bob"))
    assert len(made) == expected
    page = service.ask("GET", "", token="t-bob", api=False).text
    assert ('value="bob/lab"' in page) is (owner == "bob" and TABLE[role, Action.DOWNLOAD] != "—")
