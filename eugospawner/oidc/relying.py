"""
Relying: what this hub asks of a provider, and what it believes of the answers.

The Authorization Code flow with PKCE, state and nonce; refreshing with rotation; signing out there, too.
Nothing here knows a web framework: requests go through `Http`. An answer that says no and no answer at
all are two things: who was refused is out, who could not be asked may stay for a while.
Source: OpenID Connect Core 1.0 §§3.1 and 12; RFC 6749 §§4.1 and 6; RFC 7636 (PKCE); RFC 9207;
RP-Initiated Logout 1.0.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import quote_plus, urlencode

from eugospawner.oidc import tokens
from eugospawner.oidc.provider import Provider
from eugospawner.oidc.tokens import Expected, Flaw, TokenRefused
from eugospawner.policy.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime

    from eugospawner.oidc.provider import Metadata
    from eugospawner.oidc.tokens import LogoutToken

_FIRST_ERROR: Final = 400
_SERVER_ERROR: Final = 500
_TOO_MANY: Final = 429
_TIMEOUT: Final = 408


class ProviderUnavailable(SignInError):
    """The provider did not answer, or could not; nothing is known of what it would have said."""


class ProviderRefused(SignInError):
    """The provider said no: the code or the session is not good (any more)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request to the provider; a *form* makes it a POST."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    form: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """Status, and the body if it is JSON, else `None`."""

    status: int
    body: object


class Http(Protocol):
    """How requests are sent: over verified TLS, following no redirects, with a bound on size and time."""

    async def __call__(self, request: Request) -> Response:
        """Return the answer; raises `ProviderUnavailable`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """
    What a provider granted and said of somebody, all of it checked.

    Attributes:
        claims: Of the ID token, completed by those of the user info.
        session: The provider's name for their session there, if it says so.
        refresh_token: The one to use next; `None`: there is none.
    """

    subject: str
    claims: Mapping[str, Any] = field(repr=False)
    session: str | None
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)
    refresh_token: str | None = field(repr=False)


class RelyingParty:
    """
    This hub towards one provider.

    Args:
        scopes: Asked for; "openid" is among them whether or not it is named.
        now: What time it is.
        elapsed: Seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        issuer: str,
        *,
        client_id: str,
        client_secret: str,
        scopes: Sequence[str],
        http: Http,
        now: Callable[[], datetime],
        elapsed: Callable[[], float],
    ) -> None:
        self._client_id, self._client_secret = client_id, client_secret
        self._scopes = tuple(dict.fromkeys(("openid", *scopes)))
        self._http = http
        self._now = now
        self.provider = Provider(issuer, fetch=self._fetch, elapsed=elapsed)

    async def authorization_url(
        self, *, redirect_uri: str, state: str, nonce: str, verifier: str
    ) -> str:
        """
        Return where somebody signs in.

        Raises:
            SignInError: The provider is not known, and does not answer.
        """
        digest = hashlib.sha256(verifier.encode()).digest()
        words = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self._scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        return _with_query((await self.provider.metadata()).authorization_endpoint, words)

    async def check_issuer(self, said: str | None) -> None:
        """
        Return if the answer in the browser is this provider's, as far as it says (RFC 9207).

        Raises:
            SignInError: It is another's, or does not say so though it always does.
        """
        metadata = await self.provider.metadata()
        if said is None and not metadata.names_issuer:
            return
        if said != metadata.issuer:
            message = "The answer is another provider's than the one that was asked"
            raise ProviderRefused(message)

    async def redeem(self, code: str, *, redirect_uri: str, nonce: str, verifier: str) -> Grant:
        """
        Return what a *code* of a sign-in is good for.

        Raises:
            ProviderRefused: The code is not good, or was used.
            ProviderUnavailable: The provider does not answer.
            TokenRefused: What it says is not believed.
        """
        metadata = await self.provider.metadata()
        answer = await self._ask_for_tokens(
            metadata,
            {
                "grant_type": "authorization_code",
                "code": code,
                "redirect_uri": redirect_uri,
                "code_verifier": verifier,
            },
        )
        id_token, access_token = _text(answer, "id_token"), _text(answer, "access_token")
        claims = await self._read(id_token, nonce=nonce, access_token=access_token)
        return await self._completed(
            metadata,
            claims,
            id_token=id_token,
            access_token=access_token,
            refresh_token=_optional_text(answer, "refresh_token"),
        )

    async def refresh(self, before: Grant) -> Grant:
        """
        Return what the provider says of somebody now.

        Raises:
            ProviderRefused: They are to sign in again: their session there is over, or it was never to
                be refreshed.
            ProviderUnavailable: The provider does not answer.
            TokenRefused: What it says is not believed.
        """
        metadata = await self.provider.metadata()
        if before.refresh_token is None:
            if metadata.userinfo_endpoint is None:
                message = "The provider gave nothing by which it could be asked again"
                raise ProviderRefused(message)
            return await self._completed(
                metadata,
                before.claims,
                id_token=before.id_token,
                access_token=before.access_token,
                refresh_token=None,
            )
        words = {"grant_type": "refresh_token", "refresh_token": before.refresh_token}
        answer = await self._ask_for_tokens(metadata, words)
        access_token = _text(answer, "access_token")
        id_token, claims = _optional_text(answer, "id_token"), before.claims
        if id_token is not None:
            claims = await self._read(id_token, nonce=None, access_token=access_token)
            if tokens.subject_of(claims) != before.subject:
                raise TokenRefused(Flaw.SUBJECT, "The refreshed token is about somebody else")
        return await self._completed(
            metadata,
            claims,
            id_token=id_token or before.id_token,
            access_token=access_token,
            # A provider that does not rotate gives none: the one before stays good.
            refresh_token=_optional_text(answer, "refresh_token") or before.refresh_token,
        )

    async def logout_url(self, id_token: str | None, *, return_to: str, state: str) -> str | None:
        """Return where somebody signs out of the provider, too; `None`: it offers no such thing."""
        try:
            metadata = await self.provider.metadata()
        except SignInError:
            return None  # signed out here they are, whatever the provider does
        if metadata.end_session_endpoint is None:
            return None
        words = {
            "client_id": self._client_id,
            "post_logout_redirect_uri": return_to,
            "state": state,
        }
        hint = {} if id_token is None else {"id_token_hint": id_token}
        return _with_query(metadata.end_session_endpoint, hint | words)

    async def read_logout_token(self, token: str) -> LogoutToken:
        """
        Return what a logout token says, after every check but that for replays.

        Raises:
            SignInError: It is not believed, or the provider's keys cannot be had.
        """
        return tokens.read_logout_token(token, await self.provider.key_of(token), self._expected())

    async def _read(
        self, id_token: str, *, nonce: str | None, access_token: str
    ) -> Mapping[str, Any]:
        key = await self.provider.key_of(id_token)
        return tokens.read_id_token(
            id_token, key, self._expected(), nonce=nonce, access_token=access_token
        )

    def _expected(self) -> Expected:
        return Expected(issuer=self.provider.issuer, client_id=self._client_id, now=self._now())

    async def _completed(
        self,
        metadata: Metadata,
        claims: Mapping[str, Any],
        *,
        id_token: str,
        access_token: str,
        refresh_token: str | None,
    ) -> Grant:
        """Return the grant, with what the user info says beyond the ID token."""
        subject, info = tokens.subject_of(claims), dict[str, Any]()
        if metadata.userinfo_endpoint is not None:
            info = await self._user_info(metadata.userinfo_endpoint, access_token)
            said = info.get("sub")
            if not isinstance(said, str) or not hmac.compare_digest(
                said.encode(), subject.encode()
            ):
                raise TokenRefused(Flaw.SUBJECT, "The user info is about somebody else")
        session = claims.get("sid")
        return Grant(
            subject=subject,
            # The newer word on somebody is the user info's; who they are is the signed token's.
            claims={**claims, **info, **{name: claims[name] for name in _SIGNED if name in claims}},
            session=session if isinstance(session, str) else None,
            id_token=id_token,
            access_token=access_token,
            refresh_token=refresh_token,
        )

    async def _user_info(self, url: str, access_token: str) -> dict[str, Any]:
        request = Request(url=url, headers={"Authorization": f"Bearer {access_token}"})
        return _object(await self._sent(request), "The user info")

    async def _ask_for_tokens(
        self, metadata: Metadata, words: Mapping[str, str]
    ) -> Mapping[str, Any]:
        form, headers = dict(words), dict[str, str]()
        if metadata.takes_basic:
            # RFC 6749, 2.3.1: both are encoded as in a form before they are joined.
            pair = f"{quote_plus(self._client_id)}:{quote_plus(self._client_secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            form |= {"client_id": self._client_id, "client_secret": self._client_secret}
        request = Request(url=metadata.token_endpoint, headers=headers, form=form)
        answer = _object(await self._sent(request), "The answer for tokens")
        if str(answer.get("token_type", "")).lower() != "bearer":
            message = "The provider gave tokens of a kind that nobody here can use"
            raise ProviderRefused(message)
        return answer

    async def _fetch(self, url: str) -> object:
        try:
            return (await self._sent(Request(url=url))).body
        except ProviderRefused as error:
            # Of whoever signs in it knows nothing yet: the address is wrong, or the server is.
            message = f"The identity provider has nothing at {url} ({error})"
            raise ProviderUnavailable(message) from error

    async def _sent(self, request: Request) -> Response:
        response = await self._http(request)
        if response.status >= _SERVER_ERROR or response.status in {_TOO_MANY, _TIMEOUT}:
            message = f"The identity provider answers {response.status}"
            raise ProviderUnavailable(message)
        if response.status >= _FIRST_ERROR:
            refusal = _refusal(response)
            if any(each in refusal for each in _OURS):
                # It is the hub that is refused: an expired secret says nothing of whoever is signed in.
                raise ProviderUnavailable(refusal)
            raise ProviderRefused(refusal)
        return response


#: Claims in which nobody but the signed token is believed.
_SIGNED: Final = ("iss", "sub", "aud", "exp", "iat", "nonce", "sid", "azp")
#: What a token endpoint may say (RFC 6749, 5.2); anything else is not repeated.
_KNOWN_ERRORS: Final = frozenset(
    (
        "invalid_request", "invalid_client", "invalid_grant", "unauthorized_client",
        "unsupported_grant_type", "invalid_scope", "invalid_token", "insufficient_scope",
    )
)  # fmt: skip


#: What is wrong with the hub, not with a person.
_OURS: Final = frozenset({"invalid_client", "unauthorized_client"})


def _refusal(response: Response) -> str:
    said = response.body.get("error") if isinstance(response.body, dict) else None
    reason = said if isinstance(said, str) and said in _KNOWN_ERRORS else f"{response.status}"
    return f"The identity provider refuses: {reason}"


def _object(response: Response, what: str) -> dict[str, Any]:
    if not isinstance(response.body, dict):
        message = f"{what} is no JSON object"
        raise ProviderUnavailable(message)
    return response.body


def _text(answer: Mapping[str, Any], name: str) -> str:
    value = _optional_text(answer, name)
    if value is None:
        message = f"The identity provider gave no {name}: ask an admin whether 'openid' is allowed"
        raise ProviderRefused(message)
    return value


def _optional_text(answer: Mapping[str, Any], name: str) -> str | None:
    value = answer.get(name)
    return value if isinstance(value, str) and value else None


def _with_query(url: str, words: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(words)}"
