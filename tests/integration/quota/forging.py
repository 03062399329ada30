"""What forgers send to a service, and from where, as browsers tell of it."""

from __future__ import annotations

import base64
import html
import itertools
import json
import re
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest
from tornado.web import create_signed_value

from hub_services.common.web import Auth, cookie_secret

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.quota.servers import Answer, Running

FORM = "application/x-www-form-urlencoded"
WRITES = ("POST", "PUT", "PATCH", "DELETE")
#: What a page of another site may send without asking first (Fetch: CORS-safelisted).
SIMPLE = (FORM, "text/plain", "text/plain;application/json")
STRANGER = "https://evil.example"


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """
    What a route does.

    Attributes:
        path: Below the pages' prefix.
        form: Fields of a page's form.
        body: JSON of an operation, beside *form*.
        content: Media type and bytes of what goes on as it comes; its token stands in the query.
        changes: Whether anything is another afterwards.
        revised: Whether the form must be of the newest settings.
    """

    method: str
    path: str
    form: Mapping[str, str] | None = None
    body: Any = None
    content: tuple[str, bytes] | None = None
    changes: bool = True
    revised: bool = False


def surroundings() -> Iterator[dict[str, str]]:
    """Yield what a browser says of where a request comes from; the last are of one that says nothing."""
    for site, mode in itertools.product(
        ("cross-site", "same-site", "none", "same-origin"), ("navigate", "no-cors", "cors")
    ):
        said = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": mode}
        yield said | ({"Origin": STRANGER} if site in {"cross-site", "same-site"} else {})
    yield {"Origin": STRANGER, "Referer": f"{STRANGER}/"}
    yield {"Origin": "null"}
    yield {}


SURROUNDINGS = tuple(surroundings())


@pytest.fixture(autouse=True)
def tidy() -> Iterator[None]:
    """End the thread that JupyterHub asks who somebody is in, when it is about to give them another token."""
    yield
    auth = Auth.instance()
    if hasattr(auth, "_thread_loop"):
        auth._pool.shutdown()
        auth._thread_loop.close()


@dataclass(frozen=True, slots=True)
class Session:
    """Somebody's cookies, and the token that pages give them."""

    cookies: Mapping[str, str]
    token: str

    def planted(self, token: str) -> dict[str, str]:
        """Return the cookies after somebody who can set some has set the one of the token."""
        return {**self.cookies, "_xsrf": token}


def signed_in(service: Running, token: str, number: int = 0) -> Session:
    """Return the session of whoever *token* is, who has a page open: its first, or that of an address without one."""
    name = f"service-{service.service}"
    signed = create_signed_value(cookie_secret("service"), name, token).decode()
    cookies = {name: signed, "jupyterhub-session-id": f"{number:032x}"}
    answer = service.ask("GET", "", token=None, headers=carrying(cookies), api=False)
    assert answer.status == (404 if service.service == "workspaces" else 200)
    given = SimpleCookie(answer.headers["Set-Cookie"])["_xsrf"].value
    return Session({**cookies, "_xsrf": given}, given)


def carrying(cookies: Mapping[str, str]) -> dict[str, str]:
    return {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}


def of_the_hub() -> str:
    """Return a token as the hub's own pages have it: for another path, signed by another secret."""
    signed = create_signed_value(b"the hub's", "_xsrf", b"00:ada")
    return base64.urlsafe_b64encode(signed).decode().rstrip("=")


def forged(service: Running, victim: Session) -> dict[str, tuple[Mapping[str, str], str | None]]:
    """Return what a forger has: cookies that the victim's browser sends, and a token."""
    bob = signed_in(service, "t-bob").token
    elsewhere = signed_in(service, "t-ada", number=1).token
    return {
        "no token": (victim.cookies, None),
        "an empty token": (victim.cookies, ""),
        "a wrong token": (victim.cookies, "x" * len(victim.token)),
        "a token that was cut": (victim.cookies, victim.token[:-1]),
        "Bob's": (victim.cookies, bob),
        "Bob's, planted": (victim.planted(bob), bob),
        "of another session": (victim.cookies, elsewhere),
        "of another session, planted": (victim.planted(elsewhere), elsewhere),
        "the hub's": (victim.cookies, of_the_hub()),
        "the hub's, planted": (victim.planted(of_the_hub()), of_the_hub()),
        "planted and equal": (victim.planted("x"), "x"),
        "no cookie": ({}, None),
        "no cookie, and the victim's": ({}, victim.token),
        "the token's cookie alone": ({"_xsrf": victim.token}, victim.token),
    }


def send(
    service: Running,
    deed: Deed,
    cookies: Mapping[str, str],
    token: str | None,
    around: Mapping[str, str],
    *,
    kind: str | None = None,
) -> Answer:
    """Send *deed* as a browser does; *token* in the form, and in a header where there is none."""
    headers, path = {**carrying(cookies), **around}, deed.path
    if deed.content is not None:
        declared, body = deed.content
        headers["Content-Type"] = kind or declared
        if token is not None:
            path += f"{'&' if '?' in path else '?'}{urlencode({'_xsrf': token})}"
    elif deed.form is not None:
        fields = dict(deed.form) | ({} if token is None else {"_xsrf": token})
        body, headers["Content-Type"] = urlencode(fields).encode(), kind or FORM
    else:
        body = None if deed.body is None else json.dumps(deed.body).encode()
        headers["Content-Type"] = kind or "application/json"
        headers |= {} if token is None else {"X-XSRFToken": token}
    return service.ask(deed.method, path, body, token=None, headers=headers, api=False)


def said(answer: Answer) -> str:
    """Return a refusal's sentence."""
    if "json" in answer.headers["Content-Type"]:
        return answer.body["detail"]
    return html.unescape(re.sub(r"<[^>]*>", " ", answer.text))


def refused_whoever_forges(service: Running, victim: Session, deed: Deed) -> None:
    """Try *deed* with every token that is not the victim's, from every kind of place: all are turned away."""
    for number, (what, (cookies, token)) in enumerate(forged(service, victim).items()):
        for around in SURROUNDINGS[number % 5 :: 5]:
            answer = send(service, deed, cookies, token, around)
            assert answer.status == 401, (what, around)
    for kind in SIMPLE:
        answer = send(service, deed, victim.cookies, None, {"Origin": STRANGER}, kind=kind)
        assert answer.status == 401, kind
