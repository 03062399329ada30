"""Through a real hub: in, out, and every way in that is none (F108 to F110)."""

import contextlib
import html
import re
import sqlite3
from datetime import timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

import pytest

from eugospawner.links import hash_of
from eugospawner.store.invitations import Invitation
from hub_services.common.clock import SystemClock
from tests import patience
from tests.factories.providers import SECRET
from tests.factories.tokens import CLIENT, logout_claims, signed


def sign_in(browser, hub, following=""):
    return browser.get(f"{hub.url}/hub/oauth_login{following}", timeout=30)


def help_of(page):
    found = re.search(r'data-help="([\w-]+)"', page.text)
    return found and found[1]


def is_signed_in(browser, hub):
    answer = browser.get(f"{hub.url}/hub/home", timeout=30, allow_redirects=False)
    return answer.status_code == 200


def test_somebody_signs_in_and_lands_on_their_page(hub, browser):
    page = sign_in(browser, hub)
    assert (page.status_code, page.url) == (200, f"{hub.url}/hub/home")
    model = hub.api("GET", "/users/jane").json()
    assert (model["name"], model["admin"]) == ("jane", False)


def test_whoever_wanted_a_page_lands_there(hub, browser):
    page = sign_in(browser, hub, "?" + urlencode({"next": "/hub/token"}))
    assert page.url == f"{hub.url}/hub/token"


@pytest.mark.parametrize(
    "following",
    [
        "https://evil.example/", "//evil.example/", "/\\evil.example", "https:evil.example",
        "http:///evil.example", "javascript:alert(1)", "///evil.example", "\\\\evil.example",
        "/%5cevil.example", "@evil.example", "https://evil.example\\@127.0.0.1/",
    ],
)  # fmt: skip
def test_nobody_is_led_elsewhere(hub, browser, following):
    back = walk(browser, hub, "?" + urlencode({"next": following}))
    answer = browser.get(back, timeout=30, allow_redirects=False)
    where = urlsplit(answer.headers["Location"].replace("\\", "/"))
    assert where.netloc in {"", urlsplit(hub.url).netloc}
    assert where.scheme in {"", "http"}


def walk(browser, hub, following=""):
    """Go to the provider and return the address that it sends one back to."""
    there = browser.get(f"{hub.url}/hub/oauth_login{following}", timeout=30, allow_redirects=False)
    answer = browser.get(there.headers["Location"], timeout=30, allow_redirects=False)
    return answer.headers["Location"]


def changed(url, **words):
    parts = urlsplit(url)
    query = {name: values[0] for name, values in parse_qs(parts.query).items()} | words
    kept = {name: value for name, value in query.items() if value is not None}
    return parts._replace(query=urlencode(kept)).geturl()


def test_a_way_back_is_good_once(hub, browser):
    back = walk(browser, hub)
    assert browser.get(back, timeout=30).status_code == 200
    browser.cookies.clear()
    page = browser.get(back, timeout=30)
    assert (page.status_code, help_of(page)) == (400, "invalid_state")


def test_a_stranger_s_way_back_signs_nobody_in(hub, browser):
    """CSRF at sign-in: the victim would work in the attacker's account."""
    import requests  # noqa: PLC0415 - of this test alone

    with requests.Session() as attacker:
        back = walk(attacker, hub)
    walk(browser, hub)
    page = browser.get(back, timeout=30)
    assert (page.status_code, help_of(page)) == (400, "invalid_state")
    assert not is_signed_in(browser, hub)


@pytest.mark.parametrize(
    ("words", "status", "key"),
    [
        ({"state": "x"}, 400, "invalid_state"),
        ({"state": None}, 400, "invalid_state"),
        ({"code": None}, 400, "invalid_state"),
        ({"code": "x"}, 403, "provider-refused"),
        ({"iss": "https://evil.example"}, 403, "provider-refused"),
        ({"error": "access_denied", "error_description": "<svg onload=alert(1)>"}, 403, "provider-refused"),
    ],
)  # fmt: skip
def test_a_way_back_that_was_changed_is_answered_with_help(hub, browser, words, status, key):
    page = browser.get(changed(walk(browser, hub), **words), timeout=30)
    assert (page.status_code, help_of(page)) == (status, key)
    assert "Sign in again" in page.text
    assert "<svg" not in page.text
    assert not is_signed_in(browser, hub)


@pytest.mark.parametrize(
    ("lies", "key"),
    [
        ({"aud": "other"}, "not-believed"),
        ({"iss": "https://evil.example"}, "not-believed"),
        ({"nonce": "another"}, "not-believed"),
        ({"sub": "2"}, "not-believed"),
        ({"exp": 1}, "clock"),
        ({"iat": 2**40, "exp": 2**41}, "clock"),
    ],
)
def test_a_lie_signs_nobody_in(hub, browser, server, lies, key):
    server.fake.lies = lies
    page = sign_in(browser, hub)
    assert (page.status_code, help_of(page)) == (403 if key == "not-believed" else 400, key)
    assert not is_signed_in(browser, hub)


def test_a_name_that_is_somebody_else_s_is_told(hub, browser, server):
    sign_in(browser, hub)
    browser.cookies.clear()
    server.subject = "2"
    page = sign_in(browser, hub)
    assert (page.status_code, help_of(page)) == (403, "not-let-in")
    assert "somebody else's account" in html.unescape(page.text)


def test_a_provider_that_is_away_is_told_before_and_after(hub, browser, server):
    back = walk(browser, hub)
    server.fake.is_down = True
    page = browser.get(back, timeout=30)
    assert (page.status_code, help_of(page)) == (503, "provider-away")
    server.fake.is_down = False
    assert sign_in(browser, hub).status_code == 200


def test_a_role_that_is_taken_away_is_gone_in_the_open_tab_and_in_tokens(hub, browser, server):
    server.fake.people["1"]["roles"] = ["operator"]
    sign_in(browser, hub)
    assert hub.api("GET", "/users/jane").json()["admin"] is True
    token = hub.api("POST", "/users/jane/tokens", json={"note": "x"}).json()["token"]
    assert users(hub, token).status_code == 200
    server.fake.people["1"]["roles"] = []
    hub.later(timedelta(minutes=2))
    refreshed(browser, hub)
    assert hub.api("GET", "/users/jane").json()["admin"] is False
    assert users(hub, token).status_code == 403


def users(hub, token):
    import requests  # noqa: PLC0415 - of this helper alone

    return requests.get(
        f"{hub.url}/hub/api/users", headers={"Authorization": f"token {token}"}, timeout=30
    )


def wait_for_refresh_age():
    """Wait the two seconds: the hub's own clock cannot be moved."""
    import time  # noqa: PLC0415 - of this helper alone

    time.sleep(2.1)


def refreshed(browser, hub):
    """Look at a page once the hub's refresh age is over."""
    wait_for_refresh_age()
    return browser.get(f"{hub.url}/hub/home", timeout=30, allow_redirects=False)


def whoami(hub, token):
    import requests  # noqa: PLC0415 - of this helper alone

    return requests.get(
        f"{hub.url}/hub/api/user", headers={"Authorization": f"token {token}"}, timeout=30
    )


def ours(hub, token):
    """Return the scopes of ours that the hub says *token* has."""
    return {each for each in whoami(hub, token).json()["scopes"] if each.startswith("custom:")}


def token_of(hub, name, **words):
    made = hub.api("POST", f"/users/{name}/tokens", json={"note": "x", **words})
    assert made.status_code == 201, made.text
    return made.json()["token"]


def test_the_hub_carries_what_somebody_may_and_for_whom(hub, browser, server):
    """F105: a member's scopes reach themselves, an organization's admin's the organization."""
    sign_in(browser, hub)
    token = token_of(hub, "jane")
    assert "user" in hub.api("GET", "/users/jane").json()["roles"]
    of_member = ours(hub, token)
    assert {
        "custom:eugo:create!user=jane",
        "custom:eugo:see-usage!group=group:vision-lab",
    } <= of_member
    assert not any("organization:" in each for each in of_member)
    server.fake.people["1"]["roles"] = ["lead"]
    hub.later(timedelta(minutes=2))
    refreshed(browser, hub)
    assert "custom:eugo:terminate!group=organization:acme" in ours(hub, token)
    server.fake.people["1"]["roles"] = []
    hub.later(timedelta(minutes=4))
    refreshed(browser, hub)
    left = ours(hub, token)
    assert "custom:eugo:view!user=jane" in left
    assert not {each for each in left if "create" in each or "organization:" in each}


def test_a_token_is_refreshed_without_its_owner_s_browser(hub, browser, server):
    """What the provider takes away is gone in tokens, too, if nobody opens a page."""
    server.fake.people["1"]["roles"] = ["operator"]
    sign_in(browser, hub)
    token = token_of(hub, "jane")
    assert users(hub, token).status_code == 200
    server.fake.people["1"]["roles"] = []
    hub.later(timedelta(minutes=2))
    wait_for_refresh_age()
    assert users(hub, token).status_code == 403
    server.fake.end_session("1")
    hub.later(timedelta(minutes=4))
    wait_for_refresh_age()
    assert whoami(hub, token).status_code == 403  # whoever was put out there has no token here
    assert sign_in(browser, hub).status_code == 200
    assert whoami(hub, token).status_code == 200


def test_a_workspace_goes_on_telling_that_it_is_used(hub, browser, server):
    """Else it would be stopped as idle because its owner went home."""
    import requests  # noqa: PLC0415 - of this test alone

    sign_in(browser, hub)
    token = token_of(hub, "jane", note="Server at /user/jane/")
    server.fake.end_session("1")
    hub.later(timedelta(minutes=2))
    wait_for_refresh_age()
    said = requests.post(
        f"{hub.url}/hub/api/users/jane/activity",
        headers={"Authorization": f"token {token}"},
        json={"last_activity": "2026-11-26T12:00:00Z"},
        timeout=30,
    )
    assert said.status_code == 200
    assert whoami(hub, token).status_code == 403


def test_whose_session_is_over_there_signs_in_again(hub, browser, server):
    sign_in(browser, hub)
    server.fake.end_session("1")
    hub.later(timedelta(minutes=2))
    assert refreshed(browser, hub).status_code == 302


def test_out_here_is_out_there(hub, browser, server):
    sign_in(browser, hub)
    answer = browser.get(f"{hub.url}/hub/logout", timeout=30, allow_redirects=False)
    where = urlsplit(answer.headers["Location"])
    query = parse_qs(where.query)
    assert answer.headers["Location"].startswith(f"{server.issuer}/logout")
    assert query["client_id"] == [CLIENT]
    assert query["post_logout_redirect_uri"] == [f"{hub.url}/hub/"]
    assert query["id_token_hint"][0].count(".") == 2
    assert not is_signed_in(browser, hub)


def logout(hub, server, **changes):
    import requests  # noqa: PLC0415 - of this helper alone

    seconds = int(server.fake.now.timestamp())
    said = logout_claims(
        **{"iss": server.issuer, "sub": "1", "sid": "session-of-1", "iat": seconds, "exp": seconds + 120}
        | changes
    )  # fmt: skip
    return requests.post(
        f"{hub.url}/hub/oidc/backchannel-logout", data={"logout_token": signed(said)}, timeout=30
    )


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "no-cors"},
    ],
)
def test_another_site_signs_nobody_out(hub, browser, headers):
    sign_in(browser, hub)
    answer = browser.get(
        f"{hub.url}/hub/logout", headers=headers, timeout=30, allow_redirects=False
    )
    assert answer.status_code == 403
    assert is_signed_in(browser, hub)


def test_nobody_signs_in_by_a_form(hub, browser):
    page = browser.get(f"{hub.url}/hub/login", timeout=30)
    xsrf = browser.cookies.get("_xsrf", path="/hub/") or browser.cookies.get("_xsrf")
    assert page.status_code == 200
    answer = browser.post(
        f"{hub.url}/hub/login",
        data={"_xsrf": xsrf, "username": "jane", "password": "x"},
        timeout=30,
    )
    assert answer.status_code in {400, 403}
    assert not is_signed_in(browser, hub)


def test_out_there_is_out_here(hub, browser, server):
    sign_in(browser, hub)
    token = hub.api("POST", "/users/jane/tokens", json={"note": "x"}).json()["token"]
    answer = logout(hub, server, jti="once")
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert not is_signed_in(browser, hub)
    assert whoami(hub, token).status_code == 403
    assert sign_in(browser, hub).status_code == 200
    assert whoami(hub, token).status_code == 200  # a script needs no new token for that
    assert logout(hub, server, jti="once").status_code == 400  # a replay ends nothing
    assert is_signed_in(browser, hub)


def test_out_there_stops_workspaces_if_that_is_wanted(hub, browser, server):
    sign_in(browser, hub)
    assert hub.api("POST", "/users/jane/server").status_code in {201, 202}
    until(lambda: hub.api("GET", "/users/jane").json()["servers"][""]["ready"])
    assert logout(hub, server, jti="and-stop").status_code == 200
    until(lambda: not hub.api("GET", "/users/jane").json()["servers"])


def until(holds):
    patience.eventually(holds, "not within 30 s", seconds=30)


def test_who_got_stuck_signs_out_everywhere(hub, browser, server):
    page = browser.get(f"{hub.url}/hub/oauth_callback?code=x&state=y", timeout=30)
    (out,) = re.findall(r'href="([^"]+)">Sign out everywhere<', page.text)
    answer = browser.get(f"{hub.url}{html.unescape(out)}", timeout=30, allow_redirects=False)
    assert answer.headers["Location"].startswith(f"{server.issuer}/logout")
    plain = browser.get(f"{hub.url}/hub/logout", timeout=30, allow_redirects=False)
    assert plain.status_code == 200  # a link on a stranger's page signs nobody out there


def test_who_signed_in_and_out_is_on_record(hub, browser, server):
    """F115; and what was not as it should be in their claims, in no words of theirs."""
    server.fake.people["1"] |= {"org": "canary-1", "groups": ["/eugo/canary-2"]}
    sign_in(browser, hub)
    browser.get(f"{hub.url}/hub/logout", timeout=30, allow_redirects=False)
    sign_in(browser, hub)
    logout(hub, server, jti="on-record")
    lines = [each for each in audited(hub, "people.jane") if each.action in {"sign-in", "sign-out"}]
    assert [(each.actor, each.action) for each in lines[:4]] == [
        ("jane", "sign-out"), ("jane", "sign-in"), ("jane", "sign-out"), ("jane", "sign-in"),
    ]  # fmt: skip
    assert lines[0].detail == {"by": "their identity provider"}
    assert len(lines[1].detail["doubts"]) == 2
    assert "canary" not in str(lines)


def audited(hub, about):
    return with_store(hub, lambda store: store.audit.lines(about=about))


# Invitations


def invite(hub, identifier, **changes):
    """Have an invitation be open; its token is its id with an ending."""
    values = {
        "id": identifier, "email": f"{identifier}@example.org", "organization": "umbrella",
        "roles": ("member",), "quotas": (), "created_by": "ada", "created_at": SystemClock().now(),
        "expires_at": SystemClock().now() + timedelta(days=1),
    }  # fmt: skip
    invitation = Invitation(**values | changes)

    async def add(store):
        await store.invitations.add(invitation, token_hash=hash_of(f"{identifier}-token"))

    with_store(hub, add)


def with_store(hub, do):
    import asyncio  # noqa: PLC0415 - of this helper alone

    from eugospawner.store import open_store  # noqa: PLC0415 - of this helper alone

    async def run():
        store = await open_store(f"sqlite:///{hub.folder / 'store.sqlite'}")
        try:
            return await do(store)
        finally:
            await store.close()

    return asyncio.run(run())


def entry_of(hub, section, key):
    async def look(store):
        found = [
            each.document
            for each in await store.changes.since(0)
            if (each.section, each.key) == (section, key)
        ]
        return found[-1] if found else None

    return with_store(hub, look)


def accept(browser, hub, token):
    """Open the link and press the button; return where that leads."""
    page = browser.get(f"{hub.url}/hub/eugo/invitation?token={token}", timeout=30)
    if page.status_code != 200:
        return page
    assert page.headers["Referrer-Policy"] == "no-referrer"
    (xsrf,) = re.findall(r'name="_xsrf" value="([^"]+)"', page.text)
    return browser.post(
        f"{hub.url}/hub/eugo/invitation", data={"_xsrf": xsrf, "token": token}, timeout=30
    )


def newcomer(server, subject, **claims):
    """Have somebody sign in next who is nobody here."""
    server.subject = subject
    server.fake.people[subject] = {"preferred_username": f"new-{subject}", **claims}


def test_who_comes_by_the_link_is_let_in_with_what_it_gives(hub, browser, server):
    invite(hub, "one", roles=("admin",), quotas=({"gpu_hours": 8, "per": "day"},))
    newcomer(server, "11")
    page = browser.get(f"{hub.url}/hub/eugo/invitation?token=one-token", timeout=30)
    assert "You are invited to Umbrella" in page.text
    assert entry_of(hub, "people", "new-11") is None  # nobody accepts by looking, as scanners do
    page = accept(browser, hub, "one-token")
    assert (page.status_code, page.url) == (200, f"{hub.url}/hub/home")
    entry = entry_of(hub, "people", "new-11")
    assert (entry["organization"], entry["role"]) == ("umbrella", "admin")
    assert entry_of(hub, "quotas", "invited-one-1") == {
        "user": "new-11", "gpu_hours": 8, "per": "day",
    }  # fmt: skip
    # It is used up, for everybody.
    browser.cookies.clear()
    newcomer(server, "12")
    page = accept(browser, hub, "one-token")
    assert (page.status_code, help_of(page)) == (404, "invitation-over")
    sign_in(browser, hub)
    assert (entry_of(hub, "people", "new-12") or {}).get("organization") is None


def test_what_an_invitation_gave_stays_while_the_provider_says_nothing_else(hub, browser, server):
    invite(hub, "two")
    newcomer(server, "13")
    accept(browser, hub, "two-token")
    hub.later(timedelta(minutes=2))
    refreshed(browser, hub)
    assert entry_of(hub, "people", "new-13")["organization"] == "umbrella"
    # The provider has a word of its own by now.
    server.fake.people["13"]["org"] = "acme"
    hub.later(timedelta(minutes=4))
    refreshed(browser, hub)
    entry = entry_of(hub, "people", "new-13")
    assert (entry["organization"], entry["role"]) == ("acme", "viewer")


def test_what_is_taken_back_is_gone_at_the_next_refresh(hub, browser, server):
    invite(hub, "three", roles=("owner",))
    newcomer(server, "14")
    accept(browser, hub, "three-token")
    assert entry_of(hub, "people", "new-14")["role"] == "owner"

    async def revoke(store):
        await store.invitations.revoke("three", actor="ada", at=SystemClock().now())

    with_store(hub, revoke)
    hub.later(timedelta(minutes=2))
    refreshed(browser, hub)
    entry = entry_of(hub, "people", "new-14")
    assert (entry.get("organization"), entry["role"]) == (None, "viewer")


@pytest.mark.parametrize(
    ("number", "claims", "is_let_in"),
    [
        (21, {"email": "mail-21@example.org", "email_verified": True}, True),
        (22, {"email": "Mail-22@Example.ORG", "email_verified": True}, True),
        (23, {"email": "mail-23@example.org"}, False),
        (24, {"email": "mail-24@example.org", "email_verified": "true"}, False),
        (25, {"email": ["mail-25@example.org"], "email_verified": True}, False),
        (26, {"email": "mail-26@example.org\u200b", "email_verified": True}, False),
        (27, {"email": "mаil-27@example.org", "email_verified": True}, False),  # not a Latin a
    ],
)
def test_who_comes_by_the_address_must_have_had_it_verified(
    hub, browser, server, number, claims, is_let_in
):
    invite(hub, f"mail-{number}")
    newcomer(server, str(number), **claims)
    assert sign_in(browser, hub).status_code == 200
    entry = entry_of(hub, "people", f"new-{number}") or {}
    assert (entry.get("organization") == "umbrella") is is_let_in


def test_who_is_in_an_organization_is_not_brought_into_another(hub, browser, server):
    """And the invitation stays open, for whom it was meant."""
    invite(hub, "four")
    assert accept(browser, hub, "four-token").status_code == 200  # Jane, of Acme
    assert entry_of(hub, "people", "jane")["organization"] == "acme"
    browser.cookies.clear()
    newcomer(server, "15")
    accept(browser, hub, "four-token")
    assert entry_of(hub, "people", "new-15")["organization"] == "umbrella"


@pytest.mark.parametrize("token", ["", "x", "one-token%00", "x" * 300, "../..", "<svg>"])
def test_a_link_that_is_none_leads_to_help(hub, browser, token):
    page = browser.get(f"{hub.url}/hub/eugo/invitation?token={token}", timeout=30)
    assert (page.status_code, help_of(page)) == (404, "invitation-over")
    assert "<svg>" not in page.text


def test_while_the_records_are_away_an_invitation_is_not_lost(hub, browser, server):
    invite(hub, "six")
    with contextlib.closing(sqlite3.connect(hub.folder / "store.sqlite")) as database:
        database.execute("ALTER TABLE invitations RENAME TO away")
        try:
            page = browser.get(f"{hub.url}/hub/eugo/invitation?token=six-token", timeout=30)
        finally:
            database.execute("ALTER TABLE away RENAME TO invitations")
    assert (page.status_code, help_of(page)) == (503, "unavailable")
    assert "six-token" not in hub.log
    newcomer(server, "17")
    assert accept(browser, hub, "six-token").status_code == 200
    assert entry_of(hub, "people", "new-17")["organization"] == "umbrella"


def test_no_token_of_a_link_stands_in_the_log(hub, browser, server):
    invite(hub, "five")
    newcomer(server, "16")
    accept(browser, hub, "five-token")
    assert "eugo/invitation" in hub.log
    assert "five-token" not in hub.log


def test_only_who_is_meant_is_signed_out(hub, browser, server):
    sign_in(browser, hub)
    for number, changes in enumerate(
        [{"sub": "3", "sid": None}, {"sub": "nobody", "sid": None}, {"sub": None, "sid": "other"}]
    ):
        assert logout(hub, server, jti=f"other-{number}", **changes).status_code == 200
    for number, changes in enumerate(
        [{"aud": "other"}, {"events": {}}, {"nonce": "x"}, {"exp": 1}, {"iss": "https://evil"}]
    ):
        assert logout(hub, server, jti=f"bad-{number}", **changes).status_code == 400
    assert is_signed_in(browser, hub)
    assert logout(hub, server, jti="by-session", sub=None).status_code == 200
    assert not is_signed_in(browser, hub)


def test_no_secret_stands_in_the_log(hub, browser, server):
    """Whatever these tests did: the hub logs at its most talkative."""
    sign_in(browser, hub)
    assert "User logged in: jane" in hub.log
    for secret in (SECRET, "eyJhbGciOi", *server.fake._access, *server.fake._refresh):
        assert secret not in hub.log, secret
    assert not re.search(r"code=code-\d", hub.log)
