"""A provider in memory: it signs people in, refreshes with rotation, and lies if it is told to."""

import base64
import hashlib
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qs, unquote_plus, urlsplit

from eugospawner.oidc.provider import WELL_KNOWN
from eugospawner.oidc.relying import ProviderUnavailable, Request, Response
from tests.factories.tokens import CLIENT, ISSUER, NOON, claims, hash_of, jwk, signed

SECRET = "s&cret: =ü"


def a_document(**changes: Any) -> dict[str, Any]:
    """Return a discovery document; `None` takes a member away."""
    document = {
        "issuer": ISSUER,
        "authorization_endpoint": f"{ISSUER}/auth",
        "token_endpoint": f"{ISSUER}/token",
        "userinfo_endpoint": f"{ISSUER}/me",
        "jwks_uri": f"{ISSUER}/certs",
        "end_session_endpoint": f"{ISSUER}/logout",
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
    } | changes
    return {key: value for key, value in document.items() if value is not None}


@dataclass
class FakeProvider:
    """
    Attributes:
        people: What is said of each subject, beside what every token says.
        lies: Claims of the ID token in place of the right ones.
        answers: Whole answers by the end of the address, in place of the right ones.
        is_down: Whether nobody answers.
    """

    people: dict[str, dict[str, Any]] = field(default_factory=lambda: {"1": {"name": "Jane"}})
    document: dict[str, Any] = field(default_factory=a_document)
    now: datetime = NOON
    issuer: str = ISSUER
    lies: dict[str, Any] = field(default_factory=dict)
    answers: dict[str, Response] = field(default_factory=dict)
    is_down: bool = False
    rotates: bool = True
    refreshes: bool = True
    asked: list[Request] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _access: dict[str, str] = field(default_factory=dict)
    _refresh: dict[str, str] = field(default_factory=dict)

    def sign_in(self, url: str, subject: str = "1") -> tuple[str, str]:
        """Do what somebody does at the authorization *url*; return code and state."""
        query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        assert url.startswith(self.document["authorization_endpoint"])
        assert query["response_type"] == "code"
        assert query["client_id"] == CLIENT
        code = f"code-{len(self._codes)}"
        self._codes[code] = query | {"subject": subject}
        return code, query["state"]

    def end_session(self, subject: str) -> None:
        """Have nothing that was granted to *subject* be good any more."""
        for held in (self._access, self._refresh):
            for token in [token for token, owner in held.items() if owner == subject]:
                del held[token]

    async def __call__(self, request: Request) -> Response:
        """Answer."""
        self.asked.append(request)
        if self.is_down:
            message = "The identity provider does not answer"
            raise ProviderUnavailable(message)
        path = request.url.removeprefix(self.issuer)
        if path in self.answers:
            return self.answers[path]
        match path:
            case _ if path == WELL_KNOWN:
                return Response(status=200, body=self.document)
            case "/certs":
                return Response(status=200, body={"keys": [jwk("RSA")]})
            case "/token":
                return self._tokens(request)
            case "/me":
                token = request.headers["Authorization"].removeprefix("Bearer ")
                subject = self._access.get(token)
                if subject is None:
                    return Response(status=401, body={"error": "invalid_token"})
                return Response(status=200, body={"sub": subject, **self.people[subject]})
            case _:
                return Response(status=404, body=None)

    def _tokens(self, request: Request) -> Response:
        form = dict(request.form or {})
        if not self._knows(request, form):
            return Response(status=401, body={"error": "invalid_client"})
        if form["grant_type"] == "authorization_code":
            asked = self._codes.pop(form["code"], None)
            if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
                return _no_grant()
            digest = hashlib.sha256(form["code_verifier"].encode()).digest()
            challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
            if challenge != asked["code_challenge"]:
                return _no_grant()
            return self._grant(asked["subject"], nonce=asked["nonce"], before=None)
        subject = self._refresh.get(form["refresh_token"])
        if subject is None:
            return _no_grant()
        return self._grant(subject, nonce=None, before=form["refresh_token"])

    def _knows(self, request: Request, form: dict[str, str]) -> bool:
        if "client_secret_basic" in self.document["token_endpoint_auth_methods_supported"]:
            encoded = request.headers["Authorization"].removeprefix("Basic ")
            name, _, secret = base64.b64decode(encoded).decode().partition(":")
            return (unquote_plus(name), unquote_plus(secret)) == (CLIENT, SECRET)
        return (form["client_id"], form["client_secret"]) == (CLIENT, SECRET)

    def _grant(self, subject: str, *, nonce: str | None, before: str | None) -> Response:
        number = len(self.asked)
        access = f"access-{number}"
        self._access[access] = subject
        seconds = int(self.now.timestamp())
        said = claims(
            **{
                "iss": self.issuer, "sub": subject, "nonce": nonce, "iat": seconds, "exp": seconds + 300,
                "sid": f"session-of-{subject}", "at_hash": hash_of(access), **self.lies,
            }
        )  # fmt: skip
        body = {"access_token": access, "token_type": "Bearer", "id_token": signed(said)}
        if self.refreshes and (before is None or self.rotates):
            if before is not None:
                del self._refresh[before]
            self._refresh[f"refresh-{number}"] = subject
            body["refresh_token"] = f"refresh-{number}"
        return Response(status=200, body=body)


def _no_grant() -> Response:
    return Response(status=400, body={"error": "invalid_grant", "error_description": "canary-55"})
