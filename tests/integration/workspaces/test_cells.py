"""
Every cell of the table of roles and actions that the service has a door for, in and out of the organization.

As tests/integration/quota/test_cells.py: what a role gives is read from the docs. What is the hub's to do (start,
stop, remove) is judged at the hub's own doors, which the service asks with the caller's token. F105 to F107.
"""

import pytest

from eugospawner.policy.roles import BUILTIN, Action, Reach
from eugospawner.store import Wish
from tests.factories.sessions import a_demand
from tests.integration.quota.servers import NOW
from tests.unit.docs.test_permissions import TABLE
from tests.unit.hub_services.reaper.worlds import a_new_session

#: Whose thing, for Bob of Acme.
OWNERS = {Reach.OWN: "bob", Reach.ORGANIZATION: "erin", Reach.EVERYWHERE: "carol"}


def on(path="", body=None, method=None):
    """Return what asks for something of the running workspace of an owner."""

    def request(owner):
        return method or ("GET" if body is None else "POST"), f"/workspaces/{owner}/w{path}", body

    return request


DOORS = {
    ("look", Action.VIEW): on(),
    ("deployments", Action.VIEW): on("/deployments"),
    ("activity", Action.VIEW): on("/activity"),
    ("plan", Action.VIEW): on("/termination"),
    ("former", Action.VIEW): lambda owner: ("GET", f"/former?owner={owner}", None),
    ("create", Action.CREATE): lambda owner: (
        "POST", "/workspaces", {"owner": owner, "server": "new", "options": {}},
    ),
    ("keep", Action.DEPLOY): on("/keep", {}),
    ("extend", Action.DEPLOY): on("/extend", {}),
    ("switch", Action.DEPLOY): on("/switch-queue", {}),
    ("suspend", Action.SUSPEND): on("/suspend", {"reason": "x"}),
    ("terminate", Action.TERMINATE): on("/terminate", {"confirmation": "DELETE"}),
}  # fmt: skip


@pytest.fixture
def someone(service):
    """Have Bob be of a role; he, Erin (of his organization) and Carol (of another) have workspaces."""

    async def begin(owner):
        session = a_new_session(
            id=f"of-{owner}", owner=owner, workspace="w", actor=owner, admitted_at=NOW,
            project=f"personal-{owner}", profile="notebook-cpu-small",
        )  # fmt: skip
        demand = a_demand(session, zone="Europe/Berlin")
        await service.store.sessions.open(session, demand, wish=Wish(name=None, options={}))
        await service.store.sessions.bind(session.id, granted_percent=0, at=NOW)

    def be(role):
        for name, document in (
            ("bob", {"organization": "acme", "role": role}),
            ("erin", {"organization": "acme"}),
        ):
            put = service.store.changes.put
            service.run(put("people", name, document, actor="ada", reason="x", at=NOW))
        for owner in OWNERS.values():
            if service.run(service.store.workspaces.get(owner, "w")) is None:
                service.run(begin(owner))
        return service

    return be


@pytest.mark.parametrize("role", BUILTIN)
@pytest.mark.parametrize("whose", OWNERS)
def test_each_door_is_open_to_whom_the_table_says_and_to_nobody_else(someone, role, whose):
    service = someone(role)
    order = list(Reach)

    def has(action):
        cell = TABLE[role, action]
        return cell != "—" and order.index(Reach(cell)) >= order.index(whose)

    for (what, action), request in DOORS.items():
        # Of what one may not see, one does nothing.
        expected = has(action) and (has(Action.VIEW) or action in {Action.VIEW, Action.CREATE})
        before = service.run(service.store.workspaces.get(OWNERS[whose], "w"))
        answer = service.ask(*request(OWNERS[whose]), token="t-bob")
        told = (role, what, str(whose), answer.status, answer.text[:200])
        # Suspended by the door before, it cannot be terminated: that is no permission's.
        by_state = answer.status == 409
        assert (answer.status < 400 or by_state) is expected, told
        if not expected:
            assert answer.status in {403, 404}, told
            assert service.run(service.store.workspaces.get(OWNERS[whose], "w")) == before, told


@pytest.mark.parametrize("role", BUILTIN)
def test_several_are_deleted_by_whom_the_table_says(someone, role):
    service = someone(role)
    body = {"workspaces": [{"owner": "bob", "server": "nothing"}]}
    answer = service.ask("POST", "/bulk-delete", body, token="t-bob")
    assert (answer.status == 200) is (TABLE[role, Action.BULK_DELETE] != "—"), role


@pytest.mark.parametrize("role", BUILTIN)
def test_a_list_has_what_a_role_lets_one_see(someone, role):
    service = someone(role)
    found = service.ask("GET", "/workspaces?owner=*", token="t-bob").body["workspaces"]
    reach = TABLE[role, Action.VIEW]
    seen = {"—": set(), "own": {"bob"}, "organization": {"bob", "erin"}}
    assert {each["owner"] for each in found} == seen.get(reach, set(OWNERS.values()))
