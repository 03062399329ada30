"""
Forged requests at the quota service: what another site has somebody's browser send changes nothing.

The victim is signed in and an admin. Every route that writes is tried with every token that is not theirs, as
sent from every kind of place that browsers tell of (Fetch Metadata, W3C), and then honestly, so that nothing is
refused for another reason. Routes and buttons are read from the program: one that is new needs a row here.
Source: OWASP ASVS 4.0 V4.2.2, V13.2.3; promise 8.
"""

from __future__ import annotations

import itertools
import re
from http.cookies import SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tornado.web import RequestHandler

from hub_services import quota
from hub_services.common.api import Route
from hub_services.common.auditing import READ
from hub_services.quota import admin, members
from tests.integration.quota.forging import (  # noqa: F401 - a fixture
    SIMPLE,
    STRANGER,
    SURROUNDINGS,
    WRITES,
    Deed,
    Session,
    carrying,
    forged,
    said,
    send,
    signed_in,
    tidy,
)
from tests.integration.quota.servers import PREFIX
from tests.integration.quota.test_refusals import OVERRIDE, RIGHT

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.integration.quota.conftest import Letters
    from tests.integration.quota.servers import Running

QUOTA = "user: '*'\ngpu_hours: 80\nper: month\n"
GIVEN = {"amount": "240", "until": "2026-12-03T00:00+01:00", "reason": "Thesis"}
ENTRY = "admin/quotas/gpu-each-month"
PEOPLE = "members?organization=acme"


def pressed(path: str, action: str, **fields: str) -> Deed:
    return Deed(
        method="POST", path=path, form={"action": action, **fields},
        changes=action not in {"preview", "try"}, revised=action in {"save", "role"},
    )  # fmt: skip


#: By page: what its buttons do.
BUTTONS: dict[type, dict[str, Deed]] = {
    admin.EntryPage: {
        "save": pressed(ENTRY, "save", document=QUOTA, reason="x"),
        "preview": pressed(ENTRY, "preview", document=QUOTA),
        "try": pressed(ENTRY, "try", document=QUOTA),
        "remove": pressed(ENTRY, "remove", reason="x"),
        "override": pressed(ENTRY, "override", **GIVEN),
        "end-override": pressed(ENTRY, "end-override", reason="x"),
    },
    members.MembersPage: {
        "invite": pressed(PEOPLE, "invite", email="jane@example.org", expires_days="7"),
        "send": pressed(PEOPLE, "send", id="known"),
        "revoke": pressed(PEOPLE, "revoke", id="known"),
        "role": pressed(PEOPLE, "role", key="launcher", permission="create", reason="x"),
    },
    members.MemberPage: {
        "": Deed(
            method="POST", path="members/acme/bob", form={"role": "viewer", "reason": "x"},
            revised=True,
        ),
    },
}  # fmt: skip

#: By operation: its method, and whether it changes anything; `RIGHT` has the rest.
OPERATIONS = {
    "put_entry": ("PUT", True),
    "delete_entry": ("DELETE", True),
    "preview_entry": ("POST", False),
    "put_override": ("PUT", True),
    "delete_override": ("DELETE", True),
    "explain": ("POST", False),
    "try_out": ("POST", False),
    "create_invitation": ("POST", True),
    "send_invitation": ("POST", True),
    "revoke_invitation": ("DELETE", True),
}

DEEDS = {
    name: Deed(method=method, path=f"api/v1{RIGHT[name][0]}", body=RIGHT[name][1], changes=changes)
    for name, (method, changes) in OPERATIONS.items()
} | {
    f"{page.__name__} {button}".strip(): deed
    for page, deeds in BUTTONS.items()
    for button, deed in deeds.items()
}


#: So many of each attempt's, but for the nightly run: all of them come in turn.
FEW = 3


@pytest.fixture
def mixed(pytestconfig):
    """Return a function that mixes attempts with surroundings: in the nightly run all with all."""

    def mix(attempts):
        for number, attempt in enumerate(attempts):
            chosen = [
                SURROUNDINGS[(FEW * number + each) % len(SURROUNDINGS)] for each in range(FEW)
            ]
            for around in SURROUNDINGS if pytestconfig.getoption("--nightly") else chosen:
                yield attempt, around

    return mix


@pytest.fixture
def victim(mailing: Running) -> Session:
    return signed_in(mailing, "t-ada")


@pytest.fixture
def attempts(mailing: Running, victim: Session) -> dict[str, tuple[Mapping[str, str], str | None]]:
    return forged(mailing, victim)


def is_there(service: Running, letters: Letters) -> tuple[object, ...]:
    """Return what a deed could change; reading alone, the audit too, is on record there."""
    asked = [service.ask("GET", path).text for path in ("/invitations", "/catalog")]
    lines = service.run(service.store.audit.lines(limit=500))
    return (*asked, *letters, [each for each in lines if each.action != READ])


def prepared(service: Running, name: str) -> Deed:
    """Return the deed called *name*, as it can be done now."""
    deed = DEEDS[name]
    if name in {"delete_override", "EntryPage end-override"}:
        service.ask("PUT", "/quotas/gpu-each-month/override", OVERRIDE)
    if deed.revised:
        changes = service.run(service.store.changes.since(0))
        newest = str(max(each.revision for each in changes))
        return Deed(method=deed.method, path=deed.path, form={**deed.form, "revision": newest})
    return deed


@pytest.mark.parametrize("name", DEEDS)
def test_nothing_is_done_that_was_forged_and_what_is_honest_is(
    mailing, letters, victim, attempts, name, mixed
):
    deed = prepared(mailing, name)
    before = is_there(mailing, letters)
    for (what, (cookies, token)), around in mixed(attempts.items()):
        answer = send(mailing, deed, cookies, token, around)
        assert answer.status == 401, (what, around)
        assert "load it again" in said(answer), (what, around)
    for kind in SIMPLE:  # what needs no leave of ours to be sent
        answer = send(mailing, deed, victim.cookies, None, {"Origin": STRANGER}, kind=kind)
        assert answer.status == 401, kind
        if deed.body is not None:
            answer = send(mailing, deed, victim.cookies, victim.token, {}, kind=kind)
            assert (answer.status, answer.body["reason"]) == (415, "not-json"), kind
    assert is_there(mailing, letters) == before
    mode = "cors" if deed.form is None else "navigate"
    around = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": mode}
    answer = send(mailing, deed, victim.cookies, victim.token, around)
    assert answer.status in ({302} if deed.form and deed.changes else {200}), answer.text
    assert (is_there(mailing, letters) != before) == deed.changes


def test_every_route_and_every_button_that_writes_has_a_row(service):
    """Read from the running application and from its pages."""
    found, operations = set(), set()
    for rule in service.server.request_callback.wildcard_router.rules:
        for method in WRITES:
            if rule.target is Route:
                operation = rule.target_kwargs["operations"].get(method)
                operations |= {(operation.name, method)} if operation else set()
            elif getattr(rule.target, method.lower()) is not getattr(
                RequestHandler, method.lower()
            ):
                found.add((rule.target, method))
    assert operations == {(name, method) for name, (method, _) in OPERATIONS.items()}
    assert found == {(page, "POST") for page in BUTTONS}
    in_pages = {
        button
        for template in (Path(quota.__file__).parent / "templates").glob("*.html")
        for button in re.findall(r'<button[^>]*name="action" value="([^"]+)"', template.read_text())
    }
    assert in_pages == {button for deeds in BUTTONS.values() for button in deeds} - {""}


def test_a_stranger_s_way_back_signs_nobody_in(service):
    """Somebody else's code: the victim would work in the forger's account."""
    for cookies, around in itertools.product(
        ({}, {"service-quota-oauth-state": "x"}), SURROUNDINGS
    ):
        answer = service.ask(
            "GET", "oauth_callback?code=stolen&state=x", token=None, api=False,
            headers={**carrying(cookies), **around},
        )  # fmt: skip
        assert 400 <= answer.status < 500
        assert not any(
            SimpleCookie(each).get("service-quota")
            for each in answer.headers.get_all("Set-Cookie", [])
        )
        assert PREFIX not in (answer.headers["Location"] or "")
