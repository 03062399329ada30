"""The page of an organization's people: who sees it, what it changes, and that it is text (F105, F111)."""

import html
import re
from urllib.parse import urlencode

import pytest

from eugospawner.store.audit import REQUEST
from tests.integration.quota.servers import NOW


def page(service, path="members", token="t-alice"):  # noqa: S107 - a test's
    return service.ask("GET", path, token=token, api=False)


def words_of(answer):
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", answer.text)))


def revision(service):
    return max(each.revision for each in service.run(service.store.changes.since(0)))


def press(service, path="members?organization=acme", token="t-alice", **fields):  # noqa: S107
    """Send a form as a script does: with a token, and so without the XSRF token of a cookie."""
    return service.ask(
        "POST", path, urlencode(fields, doseq=True).encode(), token=token, api=False,
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip


def entry(service, section, key):
    return service.ask("GET", f"/settings/{section}/{key}").body["entry"]["document"]


def test_who_leads_sees_the_people_and_the_way_to_them(service):
    answer = page(service)
    assert answer.status == 200
    text = words_of(answer)
    assert "People of Acme" in text
    assert "Give the permission to create workspaces only to those who need it" in text
    assert "bob" in text
    assert "carol" not in text
    assert 'href="/services/quota/members"' in page(service, "").text
    assert 'href="/services/quota/members"' not in page(service, "", token="t-bob").text


@pytest.mark.parametrize(
    ("token", "path", "status"),
    [
        ("t-bob", "members", 403),
        ("t-bob", "members?organization=umbrella", 404),
        ("t-alice", "members?organization=umbrella", 404),
        ("t-alice", "members/umbrella/carol", 404),
        ("t-alice", "members/acme/carol", 404),
        ("t-alice", "members/acme/nobody", 404),
        ("t-bob", "members/acme/bob", 403),
        ("t-new", "members", 404),
        ("t-ada", "members?organization=umbrella", 200),
        ("t-ada", "members", 200),
    ],
)
def test_nobody_else_sees_them(service, token, path, status):
    answer = page(service, path, token)
    assert answer.status == status
    if status == 403:
        assert "Ask an organization admin, an organization owner" in words_of(answer)


def test_roles_are_given_and_taken(service):
    path = "members/acme/bob"
    answer = press(
        service, path, role=["viewer", "IDE_MANAGE"], reason="tidies up", revision=revision(service)
    )
    assert (answer.status, answer.headers["Location"]) == (
        302, "/services/quota/members?organization=acme&done=saved",
    )  # fmt: skip
    assert entry(service, "people", "bob")["role"] == ["viewer", "IDE_MANAGE"]
    answer = press(service, path, reason="has left", revision=revision(service))
    assert answer.status == 302
    assert entry(service, "people", "bob")["role"] == []


@pytest.mark.parametrize(
    ("token", "path", "fields", "status"),
    [
        ("t-bob", "members/acme/bob", {"role": "owner"}, 403),
        ("t-carol", "members/acme/bob", {"role": "owner"}, 404),
        ("t-alice", "members/acme/bob", {"role": "notebook.admin"}, 403),
        ("t-alice", "members/acme/bob", {"role": "nothing"}, 422),
        ("t-alice", "members/acme/bob", {"role": "viewer", "reason": ""}, 400),
        ("t-alice", "members/acme/bob", {"role": "viewer", "revision": "1"}, 409),
        ("t-alice", "members/acme/bob", {"role": "viewer", "revision": "x"}, 400),
        ("t-bob", "members?organization=acme", {"action": "invite", "email": "a@example.org"}, 403),
        ("t-alice", "members?organization=acme", {"action": "nothing"}, 400),
        ("t-alice", "members?organization=acme", {"action": "invite", "email": "x"}, 400),
        ("t-alice", "members?organization=acme",
         {"action": "invite", "email": "a@example.org", "expires_days": "x"}, 400),
        ("t-alice", "members?organization=acme", {"action": "revoke", "id": "nothing"}, 404),
        ("t-alice", "members?organization=acme",
         {"action": "role", "key": "made", "permission": "steer"}, 422),
    ],
)  # fmt: skip
def test_what_is_not_right_changes_nothing_and_is_told(service, token, path, fields, status):
    before = revision(service)
    values = {"reason": "x", "revision": str(before), "expires_days": "7"} | fields
    answer = press(service, path, token, **values)
    assert answer.status == status
    assert revision(service) == before
    if token == "t-alice" and status != 404:
        assert 'role="alert"' in answer.text


def test_an_organization_makes_a_role_and_unmakes_it(service):
    fields = {"action": "role", "key": "launcher", "display_name": "May start", "reason": "x"}
    answer = press(
        service, **fields, permission=["view", "create", "deploy"], revision=revision(service)
    )
    assert answer.status == 302
    assert entry(service, "organizations", "acme")["roles"] == {
        "launcher": {"display_name": "May start", "permissions": ["view", "create", "deploy"]}
    }
    assert "May start" in words_of(page(service))
    assert "Own workspaces: view, create, deploy." in words_of(page(service, "members/acme/bob"))
    assert press(service, **fields, revision=revision(service)).status == 302
    assert entry(service, "organizations", "acme")["roles"] == {}


def test_somebody_is_invited_the_link_sent_again_and_taken_back(mailing, letters):
    fields = {"action": "invite", "email": "jane@example.org", "role": ["member", "IDE_MANAGE"]}
    answer = press(mailing, **fields, expires_days="3")
    assert answer.headers["Location"].endswith("done=invited")
    (line,) = [
        each
        for each in mailing.ask("GET", "/invitations").body["invitations"]
        if each["email"] == "jane@example.org"
    ]
    assert line["roles"] == ["member", "IDE_MANAGE"]
    assert press(mailing, action="send", id=line["id"]).status == 302
    assert len(letters) == 2
    assert press(mailing, action="revoke", id=line["id"]).headers["Location"].endswith("revoked")
    assert "Revoked" in words_of(page(mailing))


def test_without_a_mail_server_the_link_stands_on_the_page(service):
    answer = press(service, action="invite", email="jane@example.org", expires_days="7")
    assert answer.status == 200
    assert "https://hub.example.org/hub/eugo/invitation?token=" in answer.text
    assert "shown once" in words_of(answer)


def test_a_letter_that_was_not_sent_is_told(mailing, letters):
    letters.problem = "The mail server at mail does not answer"
    answer = press(mailing, action="invite", email="jane@example.org", expires_days="7")
    assert "was not sent: The mail server at mail does not answer." in words_of(answer)


def test_who_asked_for_access_stands_there(service):
    asked = service.store.audit.record(REQUEST, "people.bob", actor="bob", at=NOW)
    service.run(asked)
    service.run(service.store.audit.record(REQUEST, "people.carol", actor="carol", at=NOW))
    text = words_of(page(service))
    assert "Who asked for access" in text
    assert "carol" not in text


def test_what_the_provider_says_is_shown_and_not_offered(service):
    bob = {**entry(service, "people", "bob"), "provided": ["role"]}
    service.ask("PUT", "/settings/people/bob", {"document": bob, "reason": "x"})
    answer = page(service, "members/acme/bob")
    assert "Change them there." in words_of(answer)
    assert "Save" not in words_of(answer)
    answer = press(
        service, "members/acme/bob", role="viewer", reason="x", revision=revision(service)
    )
    assert answer.status == 403


@pytest.mark.parametrize("name", ["<svg onload=alert(1)>", "a&b", '"><b>', "{{ 7 * 7 }}"])
def test_hostile_names_are_text(service, name):
    document = {"organization": "acme"}
    put = service.store.changes.put("people", name, document, actor="ada", reason="x", at=NOW)
    service.run(put)
    service.run(service.store.audit.record(REQUEST, f"people.{name}", actor=name, at=NOW))
    answer = page(service)
    assert answer.status == 200
    assert name in html.unescape(answer.text)
    assert "<svg" not in answer.text
    assert "<b>" not in answer.text
