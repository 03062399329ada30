"""
Forged requests at the hub's own doors: what another site has somebody's browser send changes nothing.

As `tests/integration/quota/test_forgery.py`, at each address that is ours and takes more than a look: they are read
from the hub's tables, and one that is new needs a row here. Those of signing in and out are tried on a hub that has a
provider. Source: F109, F110; OWASP ASVS 4.0 V4.2.2; Back-Channel Logout 1.0, 2.8; promise 8.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import itertools
import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import requests
from jupyterhub import apihandlers, handlers
from tornado.web import RequestHandler

from eugospawner import doors
from eugospawner.authenticator import EugoAuthenticator
from eugospawner.handlers import install
from hub_services.common.clock import SystemClock
from tests.factories.tokens import ISSUER, claims, logout_claims, signed
from tests.integration.hub.hubs import LIGHT
from tests.integration.hub.test_entitlements import asked
from tests.integration.quota import test_forgery as at_quota
from tests.integration.quota.test_forgery import SIMPLE, SURROUNDINGS, WRITES, Session, carrying
from tests.integration.sso import conftest as sso
from tests.integration.sso import test_sign_in as signing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tests.integration.hub.hubs import Hub

#: A provider, and a hub where people sign in there.
server, door = sso.server, sso.hub
mixed = at_quota.mixed

CALLBACK = "/services/quota/oauth_callback"
AUTHORIZE = f"client_id=service-quota&redirect_uri={CALLBACK}&response_type=code&state=x"
WAITS = {"profile": "gpu-a100-1x"}
#: As a form, and as a script of a page sends them.
NAVIGATES = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "navigate"}
FETCHES = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Mode": "cors"}


class Address(NamedTuple):
    """A line of the hub's table, and a method that is no look."""

    pattern: str
    method: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """
    What an address does.

    Attributes:
        path: Below the hub, with the name of whoever does it.
        form: Fields, if it is a form; else *body* is sent as JSON.
        before: What there must be.
        waits: Whether a start must wait for a GPU then.
        status: Of the answer to an honest request.
        changes: Whether anything is another afterwards.
    """

    path: str
    form: Mapping[str, str] | None = None
    body: Any = None
    before: Callable[[Hub, str], object] = lambda _hub, _user: None
    waits: bool = False
    status: frozenset[int] = frozenset({200, 201, 202, 204, 302, 303})
    changes: bool = True


def there_is(hub: Hub, user: str) -> None:
    """Have there be a server that does not run."""
    assert hub.ask("PUT", f"/users/{user}/servers/mine").status == 201


def one_runs(hub: Hub, user: str) -> None:
    assert hub.start_light(user).status in {201, 202}
    hub.until_ready(user)


def one_waits(hub: Hub, user: str, name: str = "") -> None:
    """Have a start be under way until it is cancelled: the one A100 is `taken`."""
    url = f"{hub.demo.ready['url']}/hub/api/users/{user}/servers/{name}"
    body = {"user_options": {**IMAGE, **WAITS}}
    token = {"Authorization": f"token {hub.demo.ready['admin_token']}"}
    with a_browser() as script, contextlib.suppress(requests.Timeout):
        script.post(url, json=body, headers=token, timeout=1)  # the answer would take ten seconds
    hub.until(lambda: hub.server(user, name).get("pending") == "spawn", "nothing is under way")


IMAGE = {"image": LIGHT}
ROWS: dict[Address, Deed] = {
    Address(r"/spawn", "POST"): Deed(path="spawn", form=IMAGE),
    Address(r"/spawn/([^/]+)", "POST"): Deed(path="spawn/{user}", form=IMAGE),
    Address(r"/spawn/([^/]+)/([^/]+)", "POST"): Deed(path="spawn/{user}/mine", form=IMAGE),
    Address(r"/spawn-pending/([^/]+)", "POST"): Deed(
        path="spawn-pending/{user}", form={}, before=one_waits, waits=True
    ),
    Address(r"/spawn-pending/([^/]+)/([^/]+)", "POST"): Deed(
        path="spawn-pending/{user}/mine", form={},
        before=lambda hub, user: one_waits(hub, user, "mine"), waits=True,
    ),
    Address(r"/api/users/([^/]+)/server", "POST"): Deed(
        path="api/users/{user}/server", body={"user_options": IMAGE}
    ),
    Address(r"/api/users/([^/]+)/server", "PUT"): Deed(
        path="api/users/{user}/server", status=frozenset({409}), changes=False  # it is always there
    ),
    Address(r"/api/users/([^/]+)/server", "PATCH"): Deed(
        path="api/users/{user}/server", body={"user_options": IMAGE}
    ),
    Address(r"/api/users/([^/]+)/server", "DELETE"): Deed(
        path="api/users/{user}/server", before=one_runs
    ),
    Address(r"/api/users/([^/]+)/servers/([^/]*)", "POST"): Deed(
        path="api/users/{user}/servers/mine", body={"user_options": IMAGE}
    ),
    Address(r"/api/users/([^/]+)/servers/([^/]*)", "PUT"): Deed(
        path="api/users/{user}/servers/mine"
    ),
    Address(r"/api/users/([^/]+)/servers/([^/]*)", "PATCH"): Deed(
        path="api/users/{user}/servers/mine", body={"user_options": IMAGE}, before=there_is
    ),
    Address(r"/api/users/([^/]+)/servers/([^/]*)", "DELETE"): Deed(
        path="api/users/{user}/servers/mine", body={"remove": True}, before=there_is
    ),
    Address(r"/api/users/([^/]+)/activity", "POST"): Deed(
        path="api/users/{user}/activity",
        body={"servers": {"mine": {"last_activity": "2026-01-01T00:00:00Z"}}}, before=there_is,
    ),
    Address(r"/api/oauth2/authorize", "POST"): Deed(
        path=f"api/oauth2/authorize?{AUTHORIZE}", form={"scopes": "access:services!service=quota"}
    ),
    Address(r"/eugo/preflight/([^/]+)/?", "POST"): Deed(
        path="eugo/preflight/{user}", form=IMAGE, changes=False
    ),
    Address(r"/eugo/preflight/([^/]+)/([^/]+)", "POST"): Deed(
        path="eugo/preflight/{user}/mine", form=IMAGE, changes=False
    ),
    Address(r"/eugo/request-access", "POST"): Deed(
        path="eugo/request-access", form={"owner": "bob", "server": ""}
    ),
    # One of the operations stands for all: the address and its guard are the same.
    Address(r"/eugo/workspaces/([^/]+)/([^/]+)/([a-z-]+)", "POST"): Deed(
        path="eugo/workspaces/{user}/_/stop", form={}, before=one_runs
    ),
    **{
        # Nothing runs there that could be asked: an answer to programs.
        Address(r"/user/(?P<user_name>[^/]+)(?P<user_path>/.*)?", method): Deed(
            path="user/{user}/api/kernels", body={}, status=frozenset({424}), changes=False
        )
        for method in ("POST", "PATCH", "DELETE")
    },
}  # fmt: skip


class Attempt(NamedTuple):
    """What a forger has: cookies that a browser sends, and a token."""

    cookies: Mapping[str, str]
    token: str | None


def visited(browser: requests.Session, url: str, path: str = "/hub/") -> Session:
    """Open the page *url*, and return what the browser has below *path* then."""
    assert browser.get(url, timeout=30).ok
    cookies = {each.name: each.value for each in browser.cookies if path.startswith(each.path)}
    return Session(cookies, cookies["_xsrf"])


def a_browser() -> requests.Session:
    browser = requests.Session()
    browser.trust_env = False
    return browser


def sign_in(hub: Hub, user: str) -> tuple[Session, Session, Session]:
    """Return somebody's session: before they signed in, afterwards, and at the service."""
    url, password = hub.demo.ready["url"], hub.demo.ready["users"][1]["password"]
    with a_browser() as browser:
        before = visited(browser, f"{url}/hub/login")
        form = {"username": user, "password": password, "_xsrf": before.token}
        answer = browser.post(f"{url}/hub/login?next=/hub/token", data=form, timeout=30)
        assert answer.url == f"{url}/hub/token"
        return (
            before,
            visited(browser, f"{url}/hub/token"),
            visited(browser, f"{url}/services/quota/", "/services/quota/"),
        )


def attempts_on(
    victim: Session, other: Session, elsewhere: Session, **more: str
) -> dict[str, Attempt]:
    """
    Return what somebody may try who does not have the victim's token.

    Args:
        other: Somebody else's session.
        elsewhere: Another of the victim's own.
        more: Tokens from elsewhere, by what they are.
    """
    strange = {"somebody else's": other.token, "of another session": elsewhere.token, **more}
    return {
        "no token": Attempt(victim.cookies, None),
        "an empty token": Attempt(victim.cookies, ""),
        "a wrong token": Attempt(victim.cookies, "x" * len(victim.token)),
        "a token that was cut": Attempt(victim.cookies, victim.token[:-1]),
        "planted and equal": Attempt(victim.planted("x"), "x"),
        **{what: Attempt(victim.cookies, token) for what, token in strange.items()},
        **{
            f"{what}, planted": Attempt(victim.planted(token), token)
            for what, token in strange.items()
        },
        "no cookie": Attempt({}, None),
        "no cookie, and the victim's": Attempt({}, victim.token),
        "the token's cookie alone": Attempt({"_xsrf": victim.token}, victim.token),
    }


@pytest.fixture(scope="module")
def taken(hub: Hub) -> Iterator[None]:
    """Somebody holds the A100."""
    holder = hub.new_user()
    hub.start_light(holder, **WAITS)
    hub.until_ready(holder)
    yield
    hub.stop(holder)


@pytest.fixture(scope="module")
def mallory(hub: Hub) -> Session:
    _, session, _ = sign_in(hub, hub.new_user())
    return session


@pytest.fixture
def line() -> Iterator[requests.Session]:
    """A connection that carries no cookies but those of each request."""
    with a_browser() as session:
        session.cookies.set_policy(_NoCookies())
        yield session


class _NoCookies(requests.cookies.cookielib.DefaultCookiePolicy):
    def set_ok(self, *_: object) -> bool:
        return False

    return_ok = set_ok


def send(
    line: requests.Session,
    url: str,
    method: str,
    deed: Deed,
    attempt: Attempt,
    around: Mapping[str, str],
    *,
    kind: str | None = None,
) -> requests.Response:
    """Send *deed* as a browser does; the token in the form, and in a header where there is none."""
    headers = {**carrying(attempt.cookies), **around}
    token = {} if attempt.token is None else {"_xsrf": attempt.token}
    sent: dict[str, Any] = {"json": deed.body} if deed.body is not None else {}
    if deed.form is not None:
        sent = {"data": {**deed.form, **token}}
    elif token:
        headers["X-XSRFToken"] = token["_xsrf"]
    headers |= {} if kind is None else {"Content-Type": kind}
    return line.request(method, url, headers=headers, timeout=90, allow_redirects=False, **sent)


def said(answer: requests.Response) -> str:
    """Return a refusal's sentence; empty: there is none."""
    if "json" in answer.headers["Content-Type"]:
        return answer.json()["message"]
    found = re.search(r'<div class="error">(.*?)</div>', answer.text, re.DOTALL)
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", found[1])).split()) if found else ""


def is_there(hub: Hub, user: str) -> tuple[object, ...]:
    """Return what a deed of *user* could change: servers, codes and tokens, and what is on record."""
    servers = hub.ask("GET", f"/users/{user}?include_stopped_servers").body["servers"]
    keys = ("ready", "pending", "started", "last_activity")
    seen = [(name, *(each[key] for key in keys)) for name, each in servers.items()]
    audit = asyncio.run(asked(hub, lambda store: store.audit.lines()))
    database = f"file:{hub.demo.data / 'hub.sqlite'}?mode=ro"
    with contextlib.closing(sqlite3.connect(database, uri=True)) as hubs:
        codes, options = (
            hubs.execute(f"{query} where user_id = users.id and users.name = ?", [user]).fetchall()
            for query in (
                "select code from oauth_codes, users",
                "select spawners.name, user_options from spawners, users",
            )
        )
    return (
        seen, codes, options,
        len(hub.ask("GET", f"/users/{user}/tokens").body["api_tokens"]),
        [each.id for each in audit if each.actor == user],
    )  # fmt: skip


@pytest.mark.cluster
@pytest.mark.parametrize(
    "address", ROWS, ids=lambda each: f"{each.method} {ROWS[each].path.partition('?')[0]}"
)
def test_nothing_is_done_that_was_forged_and_what_is_honest_is(
    hub, user, mallory, line, address, request, mixed
):
    deed = ROWS[address]
    if deed.waits:
        request.getfixturevalue("taken")
    signed_out, victim, at_service = sign_in(hub, user)
    _, elsewhere, _ = sign_in(hub, user)
    more = {"from before they signed in": signed_out.token, "the service's": at_service.token}
    url = f"{hub.demo.ready['url']}/hub/{deed.path.format(user=user)}"
    deed.before(hub, user)
    before = is_there(hub, user)
    attempts = attempts_on(victim, mallory, elsewhere, **more)
    for (what, attempt), around in mixed(attempts.items()):
        answer = send(line, url, address.method, deed, attempt, around)
        assert (answer.status_code, bool(said(answer))) == (403, True), (what, around)
    for kind in SIMPLE:
        attempt = Attempt(victim.cookies, None)
        answer = send(line, url, address.method, deed, attempt, {}, kind=kind)
        assert (answer.status_code, bool(said(answer))) == (403, True), kind
    assert is_there(hub, user) == before
    honest = Attempt(victim.cookies, victim.token)
    if deed.body and address.method == "POST" and deed.changes:
        for kind in SIMPLE[:2]:  # the hub takes the third for JSON
            answer = send(line, url, address.method, deed, honest, FETCHES, kind=kind)
            assert answer.status_code == 403, kind
    around = FETCHES if deed.form is None else NAVIGATES
    answer = send(line, url, address.method, deed, honest, around)
    assert answer.status_code in deed.status, answer.text
    assert (is_there(hub, user) != before) == deed.changes
    hub.stop(user, "mine")


@pytest.mark.cluster
def test_nobody_is_signed_in_as_somebody_else(hub, mallory, mixed):
    """A forged sign-in has the victim work in the forger's account."""
    url = f"{hub.demo.ready['url']}/hub/login"
    form = {"username": hub.new_user(), "password": hub.demo.ready["users"][1]["password"]}
    deed = Deed(path="login", form=form)
    with a_browser() as browser:
        victim = visited(browser, url)
        browser.cookies.clear()
        browser.headers["User-Agent"] = "Another/1.0"
        other = visited(browser, url)
    with a_browser() as line:
        line.cookies.set_policy(_NoCookies())
        attempts = attempts_on(victim, other, mallory)
        attempts.pop("the token's cookie alone")  # this is all that they have
        # Before anybody is signed in, JupyterHub's token is of address and browser, which are the same here.
        attempts.pop("no cookie, and the victim's")
        for (what, attempt), around in mixed(attempts.items()):
            answer = send(line, url, "POST", deed, attempt, around)
            assert answer.status_code == 403, (what, around)
            assert "jupyterhub-hub-login" not in answer.headers.get("Set-Cookie", ""), what
        honest = Attempt(victim.cookies, victim.token)
        answer = send(line, url, "POST", deed, honest, NAVIGATES)
    assert answer.status_code == 302
    assert "jupyterhub-hub-login" in answer.headers["Set-Cookie"]


def writing(table: list[tuple[Any, ...]]) -> Iterator[tuple[str, type, str]]:
    """Yield the addresses of *table* that are ours and take more than a look, with class and method."""
    for pattern, handler, *_ in table:
        for method in WRITES:
            does = getattr(handler, method.lower())
            if handler.__module__.startswith("eugospawner.") and does is not getattr(
                RequestHandler, method.lower()
            ):
                yield pattern, handler, method


def test_every_address_that_does_something_has_a_row():
    install()
    settings = dict.fromkeys(("client_id", "client_secret", "store_url"), "x") | {
        "catalog_file": str(sso.CATALOG)
    }
    authenticator = EugoAuthenticator(issuer=ISSUER, now=SystemClock().now, **settings)
    tables = [*handlers.default_handlers, *apihandlers.default_handlers]
    assert {Address(pattern, method) for pattern, _, method in writing(tables)} == ROWS.keys()
    assert {
        (handler, method) for _, handler, method in writing(authenticator.get_handlers(None))
    } == {(doors.Invited, "POST"), (doors.BackChannelLogout, "POST")}


def at_the_provider(door: sso.Hub, server: sso.Server, subject: str = "1") -> Session:
    """Return the session of somebody who signed in through the provider."""
    server.subject = subject
    with a_browser() as browser:
        assert signing.sign_in(browser, door).ok
        return visited(browser, f"{door.url}/hub/token")


def is_in(line: requests.Session, door: sso.Hub, session: Session) -> bool:
    headers = carrying(session.cookies)
    answer = line.get(f"{door.url}/hub/home", headers=headers, timeout=30, allow_redirects=False)
    return answer.status_code == 200


def test_nobody_is_made_to_accept_an_invitation(door, server, line, mixed):
    """Of the forger's organization, which would see what they do."""
    server.reset()
    signing.invite(door, "forged")
    deed = Deed(path="eugo/invitation", form={"token": "forged-token"})
    url = f"{door.url}/hub/{deed.path}"
    other = at_the_provider(door, server, "3")
    elsewhere, victim = at_the_provider(door, server), at_the_provider(door, server)
    attempts = attempts_on(victim, other, elsewhere)
    for (what, attempt), around in mixed(attempts.items()):
        answer = send(line, url, "POST", deed, attempt, around)
        assert (answer.status_code, bool(said(answer))) == (403, True), (what, around)
        assert "eugo-invitation" not in answer.headers.get("Set-Cookie", ""), (what, around)
    honest = Attempt(victim.cookies, victim.token)
    answer = send(line, url, "POST", deed, honest, NAVIGATES)
    assert (answer.status_code, "eugo-invitation" in answer.headers["Set-Cookie"]) == (302, True)


def test_only_the_provider_s_own_word_signs_somebody_out(door, server, line):
    """Its door asks for no token of ours, so it is the provider's signature that has to hold."""
    server.reset()
    victim = at_the_provider(door, server)
    seconds = int(server.fake.now.timestamp())
    right = {"iss": server.issuer, "sub": "1", "iat": seconds, "exp": seconds + 120, "jti": "x"}
    body, seal = signed(logout_claims(**right)).rsplit(".", 1)
    words = {
        "none": {},
        "empty": {"logout_token": ""},
        "no token": {"logout_token": "x"},
        "a token to sign in": {"logout_token": signed(claims(**right))},
        "of another provider": {"logout_token": signed(logout_claims(**right | {"iss": "x"}))},
        "not sealed": {"logout_token": f"{body}.{seal[::-1]}"},
    }
    for (what, form), cookies, around in itertools.product(
        words.items(), (victim.cookies, {}), SURROUNDINGS
    ):
        deed = Deed(path="oidc/backchannel-logout", form=form)
        attempt = Attempt(cookies, victim.token)
        answer = send(line, f"{door.url}/hub/{deed.path}", "POST", deed, attempt, around)
        assert (answer.status_code, answer.json()) == (400, {"error": "invalid_request"}), what
    assert is_in(line, door, victim)
    assert signing.logout(door, server, jti="forgery").status_code == 200
    assert not is_in(line, door, victim)


def test_a_stranger_s_way_back_signs_nobody_in_wherever_it_comes_from(door, server, line):
    """And whoever is signed in stays who they are."""
    server.reset()
    victim = at_the_provider(door, server)
    server.subject = "3"
    with a_browser() as forger:
        back = signing.walk(forger, door)
    for cookies, around in itertools.product((victim.cookies, {}), SURROUNDINGS):
        headers = {**carrying(cookies), **around}
        answer = line.get(back, headers=headers, timeout=30, allow_redirects=False)
        assert (answer.status_code, signing.help_of(answer)) == (400, "invalid_state")
        assert "jupyterhub-hub-login" not in answer.headers.get("Set-Cookie", "")
    assert is_in(line, door, victim)
