"""Every built-in role at the hub's own doors, on one's own, one's organization's and a stranger's (F2, F105, F106)."""

import pytest

from eugospawner.policy.roles import BUILTIN, Action, Reach, reach_of
from tests.integration.hub.test_entitlements import change, entry
from tests.integration.hub.test_permissions import start, stop

pytestmark = pytest.mark.cluster

#: Whose a workspace is, and how far a role must reach for it: all of them are Bob's, Acme's or beyond.
WHOSE = {"bob": Reach.OWN, "alice": Reach.ORGANIZATION, "carol": Reach.EVERYWHERE}


@pytest.fixture(scope="module")
def tokens(hub):
    return {
        name: hub.ask("POST", f"/users/{name}/tokens", {"note": "roles"}).body["token"]
        for name in ("ada", "bob")
    }


@pytest.fixture(params=BUILTIN)
def role(request, hub):
    """Have Bob be somebody with this role and no other."""
    before = entry(hub, "people", "bob")
    change(hub, "people", "bob", {**before, "role": request.param})
    yield BUILTIN[request.param]
    change(hub, "people", "bob", before)


def reaches(role, action, whose):
    """Whether *role* has *action* on what is *whose*."""
    given = reach_of(role, action)
    return given is not None and list(Reach).index(given) >= list(Reach).index(WHOSE[whose])


def test_a_built_in_role_opens_the_doors_that_its_row_names(hub, tokens, role):
    server, token = f"role-{role.key}".lower().replace(".", "-").replace("_", "-"), tokens["bob"]
    if not reaches(role, Action.CREATE, "bob"):  # whoever may is tried by test_permissions.py
        status, text = start(hub, token, "bob", server)
        assert (status, "[role-without-create]" in text) == (403, True)
    for owner in WHOSE:
        made = hub.ask("PUT", f"/users/{owner}/servers/{server}", {"user_options": {}})
        assert made.status == 201
        sees = owner == "bob" or reaches(role, Action.VIEW, owner)
        no = 403 if sees else 404
        if owner != "bob":
            # Nobody starts for somebody else, but a platform admin.
            assert start(hub, token, owner, server)[0] in {403, 404}
        status, text = stop(hub, token, owner, server)
        assert (status == no) == (not reaches(role, Action.STOP, owner)), (owner, text)
        status, text = stop(hub, token, owner, server, remove=True)
        may = reaches(role, Action.TERMINATE, owner)
        assert status == (204 if may else no), (owner, text)
        assert bool(hub.server(owner, server)) == (not may)
        if not may:
            assert stop(hub, tokens["ada"], owner, server, remove=True)[0] == 204
