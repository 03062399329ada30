"""Inviting through the API: by whom, to what, with which letter, and taking it back (F111)."""

import re
from datetime import timedelta

import pytest

from eugospawner.links import hash_of
from tests.integration.quota.servers import NOW

JANE = {"email": "Jane@Example.org", "organization": "acme"}
QUOTA = {"gpu_model": "A100", "gpu_hours": 8, "per": "day"}


def invite(service, token="t-alice", **changes):  # noqa: S107 - a test's
    return service.ask("POST", "/invitations", JANE | changes, token=token)


def redeem(service, identifier, username="jane", **gives):
    """Do what the hub does when somebody comes by the link."""
    revision = max(each.revision for each in service.run(service.store.changes.since(0)))
    changes = gives.get("changes", {("people", username): {"organization": "acme"}})
    done = service.store.invitations.redeem(
        identifier, username, at=NOW, changes=changes, expected=revision, reason="invited"
    )
    assert service.run(done)


def test_an_owner_invites_and_the_letter_has_the_link(mailing, letters):
    answer = invite(mailing)
    assert answer.status == 200
    line = answer.body["invitation"]
    assert answer.body["link"] is None
    assert (line["email"], line["status"], line["problem"]) == ("jane@example.org", "open", "")
    assert line["sent_at"] is not None
    ((to, subject, text),) = letters
    assert (to, subject) == ("jane@example.org", "You are invited to Acme")
    (token,) = re.findall(
        r"https://hub\.example\.org/hub/eugo/invitation\?token=([\w-]{43})\n", text
    )
    found = mailing.run(mailing.store.invitations.find_open(hash_of(token), NOW))
    assert found.id == line["id"]
    listed = mailing.ask("GET", "/invitations?organization=acme", token="t-alice")
    assert token not in listed.text
    assert {each["id"] for each in listed.body["invitations"]} == {line["id"], "known"}


def test_without_a_mail_server_the_link_is_told_once(service):
    answer = invite(service)
    assert answer.body["link"].startswith("https://hub.example.org/hub/eugo/invitation?token=")
    assert answer.body["invitation"]["sent_at"] is None


@pytest.mark.parametrize(
    ("token", "changes", "status", "told"),
    [
        ("t-alice", {"roles": ["owner"]}, 200, ""),
        ("t-alice", {"roles": ["member", "IDE_MANAGE"]}, 200, ""),
        ("t-ada", {"organization": "umbrella", "quotas": [QUOTA]}, 200, ""),
        ("t-alice", {"organization": "umbrella"}, 404, "or you may not see it"),
        ("t-alice", {"roles": ["notebook.admin"]}, 403, "Ask a platform admin."),
        ("t-alice", {"quotas": [QUOTA]}, 403, "Ask a notebook admin or a platform admin."),
        ("t-bob", {}, 403, "Ask an organization admin, an organization owner"),
        ("t-carol", {}, 404, "or you may not see it"),
        ("t-alice-small", {}, 403, "Ask an organization admin"),
        ("t-alice", {"roles": ["boss"]}, 422, "there is no 'boss'"),
        ("t-ada", {"quotas": [{"gpu_hours": "many", "per": "day"}]}, 422, "gpu_hours"),
        ("t-ada", {"quotas": [QUOTA | {"user": "bob"}]}, 400, "leave out whose it is"),
        ("t-alice", {"email": "known@example.org"}, 409, "invited already"),
        ("t-alice", {"email": "KNOWN@example.org"}, 409, "invited already"),
    ],
)
def test_who_may_invite_to_what(service, token, changes, status, told):
    answer = invite(service, token, **changes)
    assert answer.status == status, answer.text
    if status != 200:
        assert told in answer.body["detail"]
        found = service.run(service.store.invitations.of_organization(None))
        assert [each.id for each in found] == ["known"]


@pytest.mark.parametrize(
    "email",
    [
        "jane", "jane@", "@example.org", "jane@example.org, omar@example.org", "jane @example.org",
        "jane@example.org\r\nBcc: x@example.org", "Jane <jane@example.org>", "jäne@example.org",
        "jane@exämple.org", f"{'x' * 250}@example.org", "jane@example.org\u200b",
    ],
)  # fmt: skip
def test_what_is_no_address_is_told(mailing, letters, email):
    answer = invite(mailing, email=email)
    assert answer.status == 400
    assert "email" in answer.body["detail"]
    assert letters == []


def test_an_admin_of_the_organization_invites_no_owner(service):
    bob = service.ask("GET", "/settings/people/bob").body["entry"]["document"]
    change = {"document": {**bob, "role": "admin"}, "reason": "x"}
    assert service.ask("PUT", "/settings/people/bob", change).status == 200
    assert invite(service, "t-bob", roles=["admin"]).status == 200
    answer = invite(service, "t-bob", email="omar@example.org", roles=["owner"])
    assert (answer.status, "Ask an organization owner" in answer.body["detail"]) == (403, True)


def test_a_letter_that_was_not_sent_is_told_and_sent_again(mailing, letters):
    letters.problem = "The mail server at mail does not answer"
    line = invite(mailing).body["invitation"]
    assert (line["problem"], line["sent_at"]) == ("The mail server at mail does not answer.", None)
    letters.problem = ""
    again = mailing.ask("POST", f"/invitations/{line['id']}/send", token="t-alice")
    assert (again.status, again.body["invitation"]["problem"]) == (200, "")
    assert len(letters) == 1


def test_another_link_lasts_anew_and_the_first_is_of_no_use(mailing, letters):
    line = invite(mailing, expires_days=2).body["invitation"]
    mailing.clock.time += timedelta(days=3)  # over, and not taken back
    again = mailing.ask("POST", f"/invitations/{line['id']}/send", token="t-alice")
    assert again.body["invitation"]["status"] == "open"
    first, second = (re.search(r"token=([\w-]+)", text)[1] for _, _, text in letters)
    find = mailing.store.invitations.find_open
    assert mailing.run(find(hash_of(first), mailing.clock.time)) is None
    assert mailing.run(find(hash_of(second), mailing.clock.time)).id == line["id"]
    others = mailing.ask("POST", f"/invitations/{line['id']}/send", token="t-carol")
    assert others.status == 404


def test_what_was_accepted_and_is_taken_back_gives_nothing_any_more(service):
    answer = service.ask("POST", "/invitations", JANE | {"quotas": [QUOTA], "roles": ["admin"]})
    identifier = answer.body["invitation"]["id"]
    key = f"invited-{identifier[:16]}-1"
    redeem(
        service, identifier,
        changes={
            ("people", "jane"): {"organization": "acme", "role": "admin", "groups": ["vision-lab"]},
            ("quotas", key): {"user": "jane", **QUOTA},
        },
    )  # fmt: skip
    assert service.ask("GET", f"/settings/quotas/{key}").status == 200
    revoked = service.ask("DELETE", f"/invitations/{identifier}", token="t-alice")
    assert (revoked.status, revoked.body["status"]) == (200, "revoked")
    assert service.ask("GET", f"/settings/quotas/{key}").status == 404
    entry = service.ask("GET", "/settings/people/jane").body["entry"]["document"]
    assert entry == {"groups": ["vision-lab"]}  # what an admin gave since stays


def test_what_somebody_has_since_is_not_taken_back(service):
    identifier = invite(service).body["invitation"]["id"]
    redeem(service, identifier, changes={("people", "jane"): {"organization": "umbrella"}})
    assert service.ask("DELETE", f"/invitations/{identifier}", token="t-alice").status == 200
    entry = service.ask("GET", "/settings/people/jane").body["entry"]["document"]
    assert entry == {"organization": "umbrella"}


def test_each_step_is_on_record(service):
    identifier = invite(service).body["invitation"]["id"]
    redeem(service, identifier)
    service.ask("DELETE", f"/invitations/{identifier}", token="t-alice")
    lines = service.ask("GET", f"/audit?about=invitations.{identifier}").body["lines"]
    assert [(each["actor"], each["action"]) for each in lines] == [
        ("alice", "revoke"), ("jane", "redeem"), ("alice", "invite"),
    ]  # fmt: skip
