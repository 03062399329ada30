"""
Every cell of the table of roles and actions that the service has a door for, in and out of the organization.

What a role gives is read from the docs (`docs/reference/permissions.md`), so page, rule and door cannot differ (F105
to F107). Doors of the hub are tried in tests/integration/hub/test_permissions.py.
"""

import pytest

from eugospawner.policy.roles import BUILTIN, Action, Reach
from tests.integration.quota.servers import NOW
from tests.unit.docs.test_permissions import TABLE

QUOTA = {"gpu_hours": 9, "per": "day"}


def put(section, key, **changes):
    """Return a request that changes some keys of an entry."""

    def request(service):
        known = service.ask("GET", f"/settings/{section}/{key}")
        before = known.body["entry"]["document"] if known.status == 200 else {}
        body = {"document": {**before, **changes}, "reason": "x"}
        return "PUT", f"/settings/{section}/{key}", body

    return request


def plain(method, path, body=None):
    return lambda _service: (method, path, body)


#: Action → on whose thing → the request that does it. Bob asks; he is in Acme and in the vision lab.
DOORS = {
    (Action.SEE_USAGE, Reach.OWN): plain("GET", "/usage?user=bob"),
    (Action.SEE_USAGE, Reach.ORGANIZATION): plain("GET", "/usage?user=alice"),
    (Action.SEE_USAGE, Reach.EVERYWHERE): plain("GET", "/usage?user=carol"),
    (Action.CHANGE_QUOTA, Reach.ORGANIZATION): put("quotas", "new", project="vision", **QUOTA),
    (Action.CHANGE_QUOTA, Reach.EVERYWHERE): put("quotas", "new", project="course", **QUOTA),
    (Action.BIND_PLAN, Reach.ORGANIZATION): put("projects", "vision", plan="teaching"),
    (Action.BIND_PLAN, Reach.EVERYWHERE): put("projects", "course", plan="research"),
    (Action.ASSIGN_ROLE, Reach.ORGANIZATION): put("people", "erin", role="viewer"),
    (Action.ASSIGN_ROLE, Reach.EVERYWHERE): put("people", "carol", role="viewer"),
    (Action.ASSIGN_OWNER, Reach.ORGANIZATION): put("people", "erin", role="owner"),
    (Action.ASSIGN_OWNER, Reach.EVERYWHERE): put("people", "carol", role="owner"),
    (Action.MANAGE_PROFILES, Reach.EVERYWHERE): put("profiles", "std-2x8", idle_stop="15min"),
    (Action.STEER, Reach.EVERYWHERE): put("plans", "research", at_once={"gpus": 9}),
}
#: The same action by another door.
OTHERS = {
    ("invite", Action.ASSIGN_ROLE, Reach.ORGANIZATION): plain(
        "POST", "/invitations", {"email": "jane@example.org", "organization": "acme"}
    ),
    ("invite", Action.ASSIGN_ROLE, Reach.EVERYWHERE): plain(
        "POST", "/invitations", {"email": "jane@example.org", "organization": "umbrella"}
    ),
    ("send again", Action.ASSIGN_ROLE, Reach.ORGANIZATION): plain(
        "POST", "/invitations/known/send"
    ),
    ("revoke", Action.ASSIGN_ROLE, Reach.ORGANIZATION): plain("DELETE", "/invitations/known"),
    ("make a role", Action.ASSIGN_ROLE, Reach.ORGANIZATION): put(
        "organizations", "acme", roles={"made": {"display_name": "M", "permissions": ["view"]}}
    ),
    ("invite an owner", Action.ASSIGN_OWNER, Reach.ORGANIZATION): plain(
        "POST", "/invitations",
        {"email": "omar@example.org", "organization": "acme", "roles": ["owner"]},
    ),
    ("the organization's usage", Action.SEE_USAGE, Reach.ORGANIZATION): plain(
        "GET", "/usage?organization=acme"
    ),
    ("another's usage", Action.SEE_USAGE, Reach.EVERYWHERE): plain(
        "GET", "/usage?organization=umbrella"
    ),
    ("root containers", Action.STEER, Reach.EVERYWHERE): put(
        "projects", "vision", may_run_as_root=True
    ),
    ("suspend", Action.STEER, Reach.EVERYWHERE): put("people", "erin", suspended="x"),
    ("audit", Action.STEER, Reach.EVERYWHERE): plain("GET", "/audit"),
    ("export", Action.STEER, Reach.EVERYWHERE): plain("GET", "/catalog"),
    ("drift", Action.STEER, Reach.EVERYWHERE): plain("GET", "/catalog/diff"),
    ("try out", Action.STEER, Reach.EVERYWHERE): plain(
        "POST", "/what-if", {"changes": [{"section": "quotas", "key": "x", "document": None}]}
    ),
}  # fmt: skip
ALL = {**{("", *place): request for place, request in DOORS.items()}, **OTHERS}


@pytest.fixture
def someone(service):
    """Have Bob be of a role, and Erin be a member of Acme."""

    def be(role):
        for name, document in (
            ("bob", {"organization": "acme", "groups": ["vision-lab"], "role": role}),
            ("erin", {"organization": "acme"}),
        ):
            changed = service.store.changes.put(
                "people", name, document, actor="ada", reason="x", at=NOW
            )
            service.run(changed)
        return service

    return be


@pytest.mark.parametrize("role", BUILTIN)
def test_each_door_is_open_to_whom_the_table_says_and_to_nobody_else(someone, role):
    service = someone(role)
    order = list(Reach)
    for (what, action, whose), request in ALL.items():
        cell = TABLE[role, action]
        expected = cell != "—" and order.index(Reach(cell)) >= order.index(whose)
        before = service.run(service.store.changes.since(0))
        method, path, body = request(service)
        answer = service.ask(method, path, body, token="t-bob")
        told = (role, what, str(action), str(whose), answer.status, answer.text[:200])
        assert (answer.status < 400) is expected, told
        if not expected:
            assert answer.status in {403, 404}, told
            assert service.run(service.store.changes.since(0)) == before, told
        else:
            service = someone(role)  # as if nothing had been done


def test_an_admin_s_word_opens_every_door(someone):
    service = someone("member")
    for place, request in ALL.items():
        method, path, body = request(service)
        answer = service.ask(method, path, body)
        assert answer.status < 400, (place, answer.text)
        someone("member")


def test_every_action_that_the_service_knows_has_a_door_here():
    of_hub = {
        Action.VIEW, Action.CREATE, Action.DEPLOY, Action.ACCESS, Action.STOP, Action.TERMINATE,
        Action.DOWNLOAD, Action.BULK_DELETE, Action.SUSPEND,
    }  # fmt: skip
    assert {action for action, _ in DOORS} == set(Action) - of_hub
