"""
Signing in and out through a real Keycloak, as an organization sets it up (F107 to F110).

What `tests/integration/sso` tries with a provider that lies is here tried with one that many people have:
does it say what we expect, and do we do what it expects? Each test has a person of its own.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import jwt
import pytest
import requests

from eugospawner.enrolment import Enrolment
from eugospawner.once import Once
from eugospawner.source import Source
from eugospawner.store import open_store
from hub_services.common.clock import SystemClock
from tests.integration.keycloak.keycloaks import CLIENT, CLIENT_SECRET, PASSWORD, form_of, until
from tests.integration.sso.conftest import CATALOG

# The first time, Keycloak is fetched and built.
pytestmark = [pytest.mark.nightly, pytest.mark.timeout(900)]


def begin(browser, hub):
    """Go where the hub sends somebody who wants to sign in."""
    return browser.get(f"{hub.url}/hub/oauth_login", timeout=30)


def sign_in(browser, hub, person):
    """Fill in Keycloak's form, and return the page that comes after it."""
    action = form_of(begin(browser, hub))
    assert action is not None
    filled = {"username": person.name, "password": PASSWORD, "credentialId": ""}
    return browser.post(action, data=filled, timeout=30)


def forget_hub(browser):
    """Lose the hub's cookies, and keep Keycloak's."""
    for cookie in list(browser.cookies):
        if cookie.path.startswith("/hub"):
            browser.cookies.clear(cookie.domain, cookie.path, cookie.name)


def is_signed_in(browser, hub):
    answer = browser.get(f"{hub.url}/hub/home", timeout=30, allow_redirects=False)
    return answer.status_code == 200


def help_of(page):
    found = re.search(r'data-help="([\w-]+)"', page.text)
    return found and found[1]


def model_of(hub, person):
    return hub.api("GET", f"/users/{person.name}").json()


def state_of(hub, person):
    """Return what the hub keeps of somebody's sign-in."""
    return model_of(hub, person)["auth_state"]


def token_of(hub, person):
    made = hub.api("POST", f"/users/{person.name}/tokens", json={"note": "x"})
    assert made.status_code == 201, made.text
    return made.json()["token"]


def ask(hub, path, token):
    return requests.get(
        f"{hub.url}/hub/api{path}", headers={"Authorization": f"token {token}"}, timeout=30
    )


def ours(hub, token):
    """Return the scopes of ours that the hub says *token* has."""
    said = ask(hub, "/user", token).json()["scopes"]
    return {each for each in said if each.startswith("custom:")}


def entry_of(hub, person):
    """Return organization, roles and groups of somebody's entry among the people."""

    async def look():
        store = Once(lambda: open_store(f"sqlite:///{hub.folder / 'store.sqlite'}"))
        try:
            people = Enrolment(Source(CATALOG, kinds={}, images={}), store.get)
            return await people.person(person.name)
        finally:
            await (await store.get()).close()

    found = asyncio.run(look())
    return found.organization, {role.key for role in found.roles}, set(found.groups)


def audited(hub, person):
    """Return what somebody did here, newest first."""

    async def look():
        store = await open_store(f"sqlite:///{hub.folder / 'store.sqlite'}")
        try:
            return await store.audit.lines(about=f"people.{person.name}")
        finally:
            await store.close()

    found = asyncio.run(look())
    return [
        (each.action, each.detail.get("by")) for each in found if each.action.startswith("sign")
    ]


def was_told(hub, person):
    """Whether Keycloak itself has told the hub that somebody signed out."""
    return audited(hub, person)[0] == ("sign-out", "their identity provider")


# In


def test_the_issuer_alone_leads_to_keycloak_s_form(hub, realm, browser):
    page = begin(browser, hub)
    said = parse_qs(urlsplit(page.url).query)
    assert page.url.startswith(f"{realm.endpoints}/auth?")
    assert said["client_id"] == [CLIENT]
    assert said["code_challenge_method"] == ["S256"]
    assert form_of(page).startswith(f"{realm.issuer}/login-actions/authenticate")


def test_somebody_is_here_what_keycloak_says_of_them(hub, browser, jane):
    page = sign_in(browser, hub, jane)
    assert (page.status_code, page.url) == (200, f"{hub.url}/hub/home")
    assert model_of(hub, jane)["admin"] is False
    assert entry_of(hub, jane) == ("acme", {"member"}, {"vision-lab"})
    assert {
        f"custom:eugo:create!user={jane.name}",
        "custom:eugo:see-usage!group=group:vision-lab",
    } <= ours(hub, token_of(hub, jane))


def test_a_client_role_makes_somebody_admin_and_a_realm_role_admin_of_an_organization(
    hub, realm, browser, other_browser
):
    operator, lead = realm.add(is_operator=True), realm.add(roles=("eugo-lead",))
    sign_in(browser, hub, operator)
    sign_in(other_browser, hub, lead)
    assert model_of(hub, operator)["admin"] is True
    assert model_of(hub, lead)["admin"] is False
    assert "custom:eugo:terminate!group=organization:acme" in ours(hub, token_of(hub, lead))


def test_who_is_signed_in_at_keycloak_needs_no_form(hub, browser, jane):
    sign_in(browser, hub, jane)
    forget_hub(browser)
    assert not is_signed_in(browser, hub)
    assert begin(browser, hub).url == f"{hub.url}/hub/home"


def test_a_wrong_password_leads_nowhere(hub, browser, jane):
    action = form_of(begin(browser, hub))
    page = browser.post(action, data={"username": jane.name, "password": "guess"}, timeout=30)
    assert page.status_code == 200
    assert form_of(page) is not None
    assert not is_signed_in(browser, hub)


def test_keycloak_lets_nobody_in_without_pkce(hub, realm, browser):
    """So the hub's sign-ins prove that it sends a challenge that Keycloak believes."""
    there = browser.get(f"{hub.url}/hub/oauth_login", timeout=30, allow_redirects=False)
    without = re.sub(r"&code_challenge(_method)?=[^&]+", "", there.headers["Location"])
    assert "code_challenge" not in without
    page = browser.get(without, timeout=30)
    assert parse_qs(urlsplit(page.url).query)["iss"] == [realm.issuer]
    assert (page.status_code, help_of(page)) == (403, "provider-refused")


def test_who_does_not_consent_is_told_how_to_go_on(hub, realm, browser, jane):
    with realm.changed_client(consentRequired=True):
        asked = sign_in(browser, hub, jane)
        page = browser.post(form_of(asked), data={"cancel": "No"}, timeout=30)
    assert (page.status_code, help_of(page)) == (403, "provider-refused")
    assert not is_signed_in(browser, hub)


def test_a_new_key_of_the_realm_is_believed(hub, realm, browser, jane):
    made = realm.ask(
        "POST",
        "/components",
        {
            "name": "next",
            "providerId": "rsa-generated",
            "providerType": "org.keycloak.keys.KeyProvider",
            "config": {"priority": ["1000"], "enabled": ["true"], "active": ["true"]},
        },
    )
    try:
        # The hub asks for keys again when it meets an unknown one, but not twice within 30 seconds.
        until(lambda: sign_in_again(browser, hub, jane), seconds=60)
        signed_by = jwt.get_unverified_header(state_of(hub, jane)["id_token"])["kid"]
        keys = realm.ask("GET", "/keys")["keys"]
        assert [each["kid"] for each in keys if each["providerId"] == made] == [signed_by]
    finally:
        realm.ask("DELETE", f"/components/{made}")


def sign_in_again(browser, hub, person):
    browser.cookies.clear()
    return sign_in(browser, hub, person).url == f"{hub.url}/hub/home"


# Staying


def test_roles_and_groups_that_are_taken_away_are_gone_within_the_refresh_age(hub, realm, browser):
    person = realm.add(is_operator=True)
    sign_in(browser, hub, person)
    token = token_of(hub, person)
    assert ask(hub, "/users", token).status_code == 200
    realm.operator("DELETE", person)
    realm.roles("DELETE", person, "eugo-staff")
    realm.ask("DELETE", f"/users/{person.key}/groups/{realm.groups['vision-lab']}")
    until(lambda: is_signed_in(browser, hub) and not model_of(hub, person)["admin"], seconds=10)
    assert ask(hub, "/users", token).status_code == 403
    assert entry_of(hub, person) == ("acme", {"viewer"}, set())
    left = ours(hub, token)
    assert not {each for each in left if "create" in each or "vision-lab" in each}


def test_what_is_taken_away_is_gone_in_tokens_whose_owner_is_at_home(hub, realm, browser):
    person = realm.add(is_operator=True)
    sign_in(browser, hub, person)
    token = token_of(hub, person)
    realm.operator("DELETE", person)
    until(lambda: ask(hub, "/users", token).status_code == 403, seconds=10)
    assert ask(hub, "/user", token).status_code == 200


def test_who_moves_to_another_organization_moves_here(hub, realm, browser, jane):
    sign_in(browser, hub, jane)
    realm.change(jane, attributes={"org": ["umbrella"]})
    realm.roles("POST", jane, "eugo-lead")
    until(lambda: is_signed_in(browser, hub) and entry_of(hub, jane)[0] == "umbrella")
    assert entry_of(hub, jane)[1] == {"admin", "member"}
    assert "custom:eugo:terminate!group=organization:umbrella" in ours(hub, token_of(hub, jane))


def test_refresh_tokens_that_are_good_once_carry_somebody_through_the_day(
    hub, realm, browser, jane
):
    """Eight tabs ask at the same moment, again and again; each token is still used once."""
    sign_in(browser, hub, jane)
    first = state_of(hub, jane)["refresh_token"]

    def is_open(_tab):
        answer = requests.get(
            f"{hub.url}/hub/home", cookies=browser.cookies, timeout=30, allow_redirects=False
        )
        return answer.status_code == 200

    with ThreadPoolExecutor(8) as tabs:
        while realm.events("REFRESH_TOKEN", jane) < 5:
            assert all(tabs.map(is_open, range(8)))
    assert realm.events("REFRESH_TOKEN_ERROR", jane) == 0
    assert first != state_of(hub, jane)["refresh_token"]
    stolen = refreshed(realm, first)
    assert (stolen.status_code, stolen.json()["error"]) == (400, "invalid_grant")


def refreshed(realm, token):
    """Use a refresh token as the hub would."""
    return requests.post(
        f"{realm.endpoints}/token",
        data={"grant_type": "refresh_token", "refresh_token": token},
        auth=(CLIENT, CLIENT_SECRET),
        timeout=30,
    )


# Being put out


def test_who_is_disabled_is_out_and_back_when_they_are_not(hub, realm, browser, jane):
    sign_in(browser, hub, jane)
    token = token_of(hub, jane)
    realm.change(jane, enabled=False)
    until(lambda: not is_signed_in(browser, hub), seconds=10)
    assert ask(hub, "/user", token).status_code == 403
    page = sign_in(browser, hub, jane)
    assert page.url.startswith(realm.issuer)
    assert "disabled" in page.text
    assert not is_signed_in(browser, hub)
    realm.change(jane, enabled=True)
    assert sign_in(browser, hub, jane).url == f"{hub.url}/hub/home"


def test_whose_account_is_deleted_is_out(hub, realm, browser, jane):
    sign_in(browser, hub, jane)
    token = token_of(hub, jane)
    realm.ask("DELETE", f"/users/{jane.key}")
    until(lambda: ask(hub, "/user", token).status_code == 403, seconds=10)
    assert not is_signed_in(browser, hub)


def test_whose_session_ended_unheard_signs_in_again(hub, realm, browser, jane):
    """The refresh finds out, also where no back-channel reaches the hub."""
    with realm.changed_client(attributes={"backchannel.logout.url": ""}):
        sign_in(browser, hub, jane)
        token = token_of(hub, jane)
        realm.ask("POST", f"/users/{jane.key}/logout")
        until(lambda: not is_signed_in(browser, hub), seconds=10)
    assert ask(hub, "/user", token).status_code == 403
    assert not was_told(hub, jane)
    assert sign_in(browser, hub, jane).url == f"{hub.url}/hub/home"
    assert ask(hub, "/user", token).status_code == 200


# Out


def test_out_here_is_out_at_keycloak_with_no_question_asked(hub, realm, browser, jane):
    sign_in(browser, hub, jane)
    assert len(realm.sessions(jane)) == 1
    page = browser.get(f"{hub.url}/hub/logout", timeout=30)
    (there,) = [each.url for each in page.history if each.url.startswith(realm.issuer)]
    assert "id_token_hint=" in there
    assert (page.status_code, urlsplit(page.url).path) == (200, "/hub/login")
    assert page.url.startswith(hub.url)
    assert realm.sessions(jane) == []
    assert not is_signed_in(browser, hub)
    assert form_of(begin(browser, hub)) is not None


def test_of_two_browsers_the_one_that_signs_out_is_out_at_keycloak(
    hub, realm, browser, other_browser, jane
):
    sign_in(browser, hub, jane)
    (older,) = realm.sessions(jane)
    sign_in(other_browser, hub, jane)
    (newer,) = set(realm.sessions(jane)) - {older}
    page = browser.get(f"{hub.url}/hub/logout", timeout=30)
    assert page.url.startswith(hub.url)  # with no question asked
    assert realm.sessions(jane) == [newer]


def test_an_id_token_that_has_expired_signs_somebody_out_all_the_same(hub, realm, browser, jane):
    realm.server.ask("PUT", f"/{realm.name}", {"accessTokenLifespan": 4})
    try:
        sign_in(browser, hub, jane)
        out = browser.get(f"{hub.url}/hub/logout", timeout=30, allow_redirects=False)
    finally:
        realm.server.ask("PUT", f"/{realm.name}", {"accessTokenLifespan": 300})
    (hint,) = parse_qs(urlsplit(out.headers["Location"]).query)["id_token_hint"]
    said = jwt.decode(hint, options={"verify_signature": False})
    ends = datetime.fromtimestamp(said["exp"], UTC)
    until(lambda: SystemClock().now() > ends)
    page = browser.get(out.headers["Location"], timeout=30)
    assert page.url.startswith(hub.url)
    assert realm.sessions(jane) == []


def test_who_got_stuck_is_asked_by_keycloak_and_out(hub, realm, browser, jane):
    """Without a sign-in here there is no ID token, so Keycloak asks; that is its right."""
    sign_in(browser, hub, jane)
    forget_hub(browser)
    asked = browser.get(f"{hub.url}/hub/logout?everywhere=1", timeout=30)
    assert len(realm.sessions(jane)) == 1
    page = confirmed(browser, asked)
    assert page.url.startswith(f"{hub.url}/hub/")
    assert realm.sessions(jane) == []


def confirmed(browser, page):
    """Say yes on Keycloak's page that asks whether somebody wants to sign out."""
    hidden = re.search(r'name="session_code" value="([^"]*)"', page.text)
    filled = {"session_code": hidden[1], "confirmLogout": "Logout"}
    return browser.post(form_of(page), data=filled, timeout=30)


@pytest.mark.parametrize("way", ["everywhere", "this session", "themselves"])
def test_out_at_keycloak_is_out_here_at_once(hub, realm, browser, other_browser, jane, way):
    other = realm.add()
    sign_in(browser, hub, jane)
    sign_in(other_browser, hub, other)
    token = token_of(hub, jane)
    match way:
        case "everywhere":
            realm.ask("POST", f"/users/{jane.key}/logout")
        case "this session":
            realm.ask("DELETE", f"/sessions/{realm.sessions(jane)[0]}")
        case _:
            confirmed(browser, browser.get(f"{realm.endpoints}/logout", timeout=30))
    until(lambda: was_told(hub, jane), seconds=5)
    assert not is_signed_in(browser, hub)
    assert ask(hub, "/user", token).status_code == 403
    assert is_signed_in(other_browser, hub)
    assert sign_in(browser, hub, jane).url == f"{hub.url}/hub/home"


def test_out_at_keycloak_stops_workspaces_if_that_is_wanted(hub, realm, browser, jane):
    sign_in(browser, hub, jane)
    assert hub.api("POST", f"/users/{jane.name}/server").status_code in {201, 202}
    until(lambda: model_of(hub, jane)["servers"][""]["ready"])
    realm.ask("POST", f"/users/{jane.key}/logout")
    until(lambda: not model_of(hub, jane)["servers"])


def test_no_secret_stands_in_the_log(hub, realm, browser, jane):
    """The hub logs at its most talkative, and meets all of Keycloak's tokens here."""
    codes = [
        parse_qs(urlsplit(each.url).query).get("code", [None])[0]
        for each in sign_in(browser, hub, jane).history
    ]
    states = [state_of(hub, jane)]
    until(
        lambda: (
            is_signed_in(browser, hub)
            and state_of(hub, jane)["refresh_token"] != states[0]["refresh_token"]
        )
    )
    states.append(state_of(hub, jane))
    browser.get(f"{hub.url}/hub/logout", timeout=30)
    sign_in(browser, hub, jane)
    realm.ask("POST", f"/users/{jane.key}/logout")
    until(lambda: was_told(hub, jane))
    log = hub.log
    assert f"User logged in: {jane.name}" in log
    kept = [
        state[name] for state in states for name in ("id_token", "access_token", "refresh_token")
    ]
    spent = [code for code in codes if code]
    assert spent
    # Whatever is signed begins so; a shorter beginning is found in random names, too.
    for secret in ("eyJhbGciOi", CLIENT_SECRET, PASSWORD, *kept, *spent):
        assert secret not in log, secret
