"""A notebook is read by those with whom it is shared, as it was, and by nobody else (F88)."""

from datetime import timedelta

import pytest

from hub_services.common.problems import DoorReason
from tests.integration.export.test_api import NOTEBOOK, ask, create

DAY = timedelta(days=1)


@pytest.fixture
def export(service):
    """An export of Alice's notebook as a page; Bob is of her organization, Carol is not."""
    home = service.has_workspace("alice")
    (home / "a.ipynb").write_bytes(NOTEBOOK)
    put = service.store.changes.put
    for name, document in (
        ("alice", {"organization": "acme", "groups": ["vision-lab"]}),
        ("bob", {"organization": "acme"}),
        ("dave", {"organization": "umbrella", "groups": ["vision-lab"]}),
        ("carol", {"organization": "umbrella"}),
    ):
        service.run(put("people", name, document, actor="ada", reason="x", at=service.clock.now()))
    return create(service, folder="a.ipynb", format="html")


def share(service, export, *, status=200, **words):
    return ask(service, "POST", "/shares", {"export": export["id"], **words}, status=status)


def look(service, share, token, path=""):
    return service.ask("GET", f"shared/{share['id']}{path}", token=token, api=False)


def readers(service, share):
    return {
        name
        for name in ("alice", "bob", "carol", "dave", "new")
        if look(service, share, f"t-{name}", "/document").status == 200
    }


def audited(service):
    lines = service.run(service.store.audit.lines(about="workspace.alice/lab"))
    return [(each.actor, each.action) for each in reversed(lines) if each.action.endswith("share")]


def test_a_page_is_read_by_whom_it_is_for_and_never_the_volume(service, export):
    made = share(service, export, people=["bob"])
    assert (made["audience"], made["standing"]) == ("bob", "open")
    assert readers(service, made) == {"alice", "bob"}
    answer = look(service, made, "t-bob", "/document")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert answer.headers["Content-Security-Policy"].endswith("frame-ancestors 'self'")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in answer.text
    page = look(service, made, "t-bob").text
    assert 'sandbox=""' in page
    assert "Shared by alice" in page
    assert "no longer" not in page, "it is not Bob's to end"
    # The volume may go, and change: what was shared stays as it was.
    (service.cluster.volume("alice") / "a.ipynb").write_text("{}")
    service.cluster.end()
    assert look(service, made, "t-bob", "/document").text == answer.text
    assert ("bob", "read-share") in audited(service)
    assert ("alice", "read-share") not in audited(service)
    theirs = ask(service, "GET", "/shares", token="t-bob")
    assert [(each["creator"], each["audience"]) for each in theirs["with_me"]] == [("alice", "")]
    assert ask(service, "GET", "/shares", token="t-carol") == {"mine": [], "with_me": []}


def test_outsiders_are_refused_and_learn_nothing(service, export):
    made = share(service, export, people=["bob"])
    refused = look(service, made, "t-carol")
    unknown = look(service, {"id": "f" * 32}, "t-carol")
    assert refused.status == unknown.status == 403
    assert refused.text == unknown.text.replace("f" * 32, made["id"])
    ask(service, "DELETE", f"/shares/{made['id']}", token="t-bob", status=404)


def test_with_a_group_or_the_organization_and_whoever_leaves_reads_no_more(service, export):
    of_group = share(service, export, groups=["vision-lab"])
    assert readers(service, of_group) == {"alice", "dave"}
    of_all = share(service, export, organization=True)
    assert readers(service, of_all) == {"alice", "bob"}
    assert "everybody in" in of_all["audience"]
    put = service.store.changes.put
    left = {"organization": "umbrella"}
    service.run(put("people", "bob", left, actor="ada", reason="x", at=service.clock.now()))
    assert readers(service, of_all) == {"alice"}


def test_revoked_is_gone_and_so_is_expired(service, export):
    made = share(service, export, people=["bob"])
    assert ask(service, "DELETE", f"/shares/{made['id']}")["standing"] == "revoked"
    answer = look(service, made, "t-bob")
    assert answer.status == 410
    assert "alice shares this no longer" in answer.text
    assert readers(service, made) == set()
    made = share(service, export, people=["bob"], days=1)
    service.clock.time += DAY - timedelta(milliseconds=1)
    assert readers(service, made) == {"alice", "bob"}
    service.clock.time += timedelta(milliseconds=1)
    assert readers(service, made) == set()
    service.sweep()
    assert service.run(service.store.shares.document(made["id"])) is None


def test_with_whom_it_cannot_be_shared_is_said(service, export):
    for words, said in (
        ({}, "Say with whom"),
        ({"people": ["carol"]}, "carol: nobody of that name is in your organization"),
        ({"people": ["bob", "nobody"]}, "nobody: nobody of that name"),
        ({"groups": ["other"]}, "other: you are in no group of that name"),
    ):
        problem = share(service, export, status=422, **words)
        assert problem["reason"] == DoorReason.SHARE_REFUSED
        assert said in problem["detail"]


def test_only_a_document_that_is_ones_own_and_good_is_shared(service, export):
    archive = create(service)
    problem = share(service, archive, people=["bob"], status=422)
    assert "Only a notebook as HTML or PDF" in problem["detail"]
    body = {"export": export["id"], "people": ["alice"]}
    ask(service, "POST", "/shares", body, token="t-bob", status=404)
    ask(service, "DELETE", f"/exports/{export['id']}")
    share(service, export, people=["bob"], status=422)


def test_it_is_shared_and_taken_back_by_forms(service, export):
    page = service.ask("GET", f"exports/{export['id']}", token="t-alice", api=False).text
    assert 'name="people"' in page
    form = f"export={export['id']}&people=bob%2C+&days=3".encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = service.ask("POST", "shares", form, token="t-alice", api=False, headers=kind)
    assert answer.status == 303
    (mine,) = ask(service, "GET", "/shares")["mine"]
    assert answer.headers["Location"] == mine["page"]
    form = f"action=revoke&id={mine['id']}".encode()
    answer = service.ask("POST", "shares", form, token="t-alice", api=False, headers=kind)
    assert answer.status == 303
    assert readers(service, mine) == set()
    form = f"export={export['id']}&people=bob&days=many".encode()
    answer = service.ask("POST", "shares", form, token="t-alice", api=False, headers=kind)
    assert answer.status == 400
