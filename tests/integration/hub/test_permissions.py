"""
Permissions at the hub's own doors: each one taken away closes exactly its door (F2, F105, F107, F110).

The table of `docs/reference/permissions.md` says what a role gives; here it is tried on a real workspace.
"""

import json
import urllib.error
import urllib.request

import pytest

from eugospawner.policy.roles import PERMISSIONS
from tests.integration.hub.hubs import LIGHT, PYTORCH
from tests.integration.hub.test_entitlements import change, entry

pytestmark = pytest.mark.cluster

#: What the hub has a door for; the rest is for services.
DOORS = ("create", "deploy", "access", "terminate")


@pytest.fixture(scope="module")
def tokens(hub):
    """A token of each of the demo's people, good for whatever they may."""
    return {
        name: hub.ask("POST", f"/users/{name}/tokens", {"note": "permissions"}).body["token"]
        for name in ("ada", "alice", "bob", "carol")
    }


@pytest.fixture
def people(hub):
    """The entries of the demo's people and of Acme, put back afterwards."""
    before = {place: entry(hub, *place) for place in (("people", "bob"), ("organizations", "acme"))}
    yield before
    for place, document in before.items():
        change(hub, *place, document)


def send(hub, token, method, path, body=None):
    """Return status and text of the answer to whoever has *token*."""
    request = urllib.request.Request(  # noqa: S310 - loopback
        f"{hub.demo.ready['url']}{path}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"token {token}"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            return answer.status, answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode("utf-8", "replace")


def start(hub, token, owner, server, image=LIGHT):
    words = {"user_options": {"image": image}}
    return send(hub, token, "POST", f"/hub/api/users/{owner}/servers/{server}", words)


def stop(hub, token, owner, server, *, remove=False):
    path = f"/hub/api/users/{owner}/servers/{server}"
    return send(hub, token, "DELETE", path, {"remove": remove})


def opened(hub, token, owner, server):
    return send(hub, token, "GET", f"/user/{owner}/{server}/api/status")[0]


def until_gone(hub, owner, server):
    hub.until(
        lambda: (
            not hub.server(owner, server).get("pending")
            and not hub.server(owner, server).get("ready")
        ),
        f"{owner}/{server} does not stop",
    )


def give(hub, people, *permissions):
    """Have Bob be somebody with *permissions* and no other."""
    made = {"made": {"display_name": "Made", "permissions": list(permissions)}}
    change(hub, "organizations", "acme", {**people["organizations", "acme"], "roles": made})
    change(hub, "people", "bob", {**people["people", "bob"], "role": "made"})


@pytest.mark.parametrize("without", [None, *DOORS])
def test_a_permission_that_is_taken_away_closes_its_door_and_no_other(hub, tokens, people, without):
    token, server = tokens["bob"], f"door-{without}".lower()
    if without != "create":
        give(hub, people, *(each for each in PERMISSIONS if each != without))
    if without == "deploy":
        change(hub, "people", "bob", people["people", "bob"])  # made before it was taken away
    if without == "create":
        assert start(hub, token, "bob", server)[0] in {201, 202}
        hub.until_ready("bob", server)
        stop(hub, token, "bob", server)
        until_gone(hub, "bob", server)
        give(hub, people, *(each for each in PERMISSIONS if each != without))
        status, text = start(hub, token, "bob", "door-new")
        assert (status, "[role-without-create]" in text) == (403, True)
        assert "owner or admin of your organization" in json.loads(text)["message"]
    image = PYTORCH if without in {None, "access"} else LIGHT  # the latter lets everybody in
    assert start(hub, token, "bob", server, image)[0] in {201, 202}  # created, or deployed again
    hub.until_ready("bob", server)
    if without == "deploy":
        give(hub, people, *(each for each in PERMISSIONS if each != without))
    assert opened(hub, token, "bob", server) == (403 if without == "access" else 200)
    assert stop(hub, token, "bob", server)[0] in {202, 204}  # what one holds, one gives back
    until_gone(hub, "bob", server)
    if without == "deploy":
        status, text = start(hub, token, "bob", server)
        assert (status, "[role-without-deploy]" in text) == (403, True)
    status, text = stop(hub, token, "bob", server, remove=True)
    if without == "terminate":
        assert (status, "[not-permitted]" in text) == (403, True)
        assert "organization owner" in json.loads(text)["message"]
        assert hub.ask("GET", f"/users/bob/servers/{server}").status == 200
        status, _ = stop(hub, tokens["ada"], "bob", server, remove=True)
    assert status in {202, 204}


def test_who_leads_the_organization_stops_and_removes_and_looks_into_nothing(hub, tokens, people):
    """And who leads another knows of nothing."""
    del people
    assert start(hub, tokens["bob"], "bob", "led", PYTORCH)[0] in {201, 202}
    hub.until_ready("bob", "led")
    assert opened(hub, tokens["bob"], "bob", "led") == 200
    assert opened(hub, tokens["alice"], "bob", "led") == 403
    assert opened(hub, tokens["carol"], "bob", "led") == 403
    assert stop(hub, tokens["carol"], "bob", "led")[0] == 404
    assert stop(hub, tokens["carol"], "bob", "led", remove=True)[0] == 404
    assert stop(hub, tokens["carol"], "nobody", "led")[0] == 404
    assert hub.server("bob", "led")["ready"]
    assert stop(hub, tokens["alice"], "bob", "led")[0] in {202, 204}
    until_gone(hub, "bob", "led")
    assert start(hub, tokens["alice"], "bob", "led")[0] in {403, 404}
    assert stop(hub, tokens["alice"], "bob", "led", remove=True)[0] in {202, 204}


def test_a_token_that_was_made_for_less_stops_nobody_s(hub, tokens, people):
    del people
    small = hub.ask(
        "POST", "/users/alice/tokens",
        {"note": "small", "scopes": ["custom:eugo:view!user=alice", "self"]},
    ).body["token"]  # fmt: skip
    assert start(hub, tokens["bob"], "bob", "small")[0] in {201, 202}
    hub.until_ready("bob", "small")
    assert stop(hub, small, "bob", "small")[0] == 404
    assert stop(hub, tokens["alice"], "bob", "small", remove=True)[0] in {202, 204}


def test_whoever_is_suspended_opens_nothing_and_may_stop(hub, tokens, people):
    assert start(hub, tokens["bob"], "bob", "away", PYTORCH)[0] in {201, 202}
    hub.until_ready("bob", "away")
    change(hub, "people", "bob", {**people["people", "bob"], "suspended": "the contract has ended"})
    assert opened(hub, tokens["bob"], "bob", "away") == 403
    assert stop(hub, tokens["bob"], "bob", "away", remove=True)[0] == 403
    assert stop(hub, tokens["bob"], "bob", "away")[0] in {202, 204}
    until_gone(hub, "bob", "away")
    change(hub, "people", "bob", people["people", "bob"])
    assert stop(hub, tokens["bob"], "bob", "away", remove=True)[0] in {202, 204}


def test_an_admin_s_token_looks_into_nobody_s_workspace(hub, tokens):
    """A look is on record (F107), and a workspace that is asked by a token cannot tell which it is."""
    assert start(hub, tokens["bob"], "bob", "seen", PYTORCH)[0] in {201, 202}
    hub.until_ready("bob", "seen")
    assert opened(hub, tokens["bob"], "bob", "seen") == 200
    assert opened(hub, tokens["ada"], "bob", "seen") == 403
    assert stop(hub, tokens["ada"], "bob", "seen", remove=True)[0] in {202, 204}
