"""
Tokens: the provider's signed words, and all that must hold before one of them is believed.

Pure: keys and the time are given. Nothing of a token is looked at before its algorithm is one of
those that are allowed and its signature fits a key of the provider; a token that is refused is named by
what is wrong with it and never by its content. Source: OpenID Connect Core 1.0 §§2, 3.1.3.6, 3.1.3.7
and 12.2; OpenID Connect Back-Channel Logout 1.0 §§2.4 and 2.6; RFC 7515; RFC 8725 (JWT best practice).
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import math
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import jwt

from eugospawner.policy.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from eugospawner.oidc.keys import Key

#: Signatures by a private key of the provider. "none" is no signature, and HS* would be one by anybody who
#: knows the key, which for the provider's keys is everybody.
ALGORITHMS: Final = frozenset(
    ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
)
#: How far the provider's clock and ours may be apart.
SKEW: Final = timedelta(minutes=5)
#: Providers with hundreds of groups come to some ten thousand characters.
LARGEST_TOKEN: Final = 128 * 1024
_LONGEST_SUBJECT: Final = 255
_PARTS: Final = 3
_LOGOUT_EVENT: Final = "http://schemas.openid.net/event/backchannel-logout"
#: Digest of an access token's hash, by the algorithm of the ID token.
_DIGESTS: Final = {"256": "sha256", "384": "sha384", "512": "sha512", "EdDSA": "sha512"}


class Flaw(StrEnum):
    """What is wrong with a token."""

    MALFORMED = "malformed"
    TOO_LARGE = "too-large"
    ALGORITHM = "algorithm"
    CRITICAL = "critical-header"
    KIND = "kind"
    UNKNOWN_KEY = "unknown-key"
    SIGNATURE = "signature"
    ISSUER = "issuer"
    AUDIENCE = "audience"
    AUTHORIZED_PARTY = "authorized-party"
    EXPIRED = "expired"
    NOT_YET_VALID = "not-yet-valid"
    NONCE = "nonce"
    ACCESS_TOKEN_HASH = "access-token-hash"  # noqa: S105 - the name of a flaw
    SUBJECT = "subject"
    EVENT = "event"
    IDENTIFIER = "identifier"


class TokenRefused(SignInError):
    """A token of the provider that is not believed."""

    def __init__(self, flaw: Flaw, detail: str) -> None:
        super().__init__(f"{detail} [{flaw}]")
        self.flaw = flaw


@dataclass(frozen=True, slots=True)
class Header:
    """What a token says of its signature; nobody has vouched for it yet."""

    algorithm: str
    key_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """
    What a token must say.

    Attributes:
        issuer: Exactly as the provider's own document names it.
        client_id: Who we are to the provider.
        now: Aware.
        skew: How far the clocks may be apart.
    """

    issuer: str
    client_id: str
    now: datetime
    skew: timedelta = SKEW


@dataclass(frozen=True, slots=True, kw_only=True)
class LogoutToken:
    """
    A provider's word that somebody signed out.

    Attributes:
        subject: Who; `None`: only the session is named.
        session: The provider's session; `None`: all of the subject's.
        identifier: Unique among the provider's tokens, against replays.
        expires_at: Seconds since 1970 until which a replay would be believed.
    """

    subject: str | None
    session: str | None
    identifier: str
    expires_at: float


def header_of(token: object) -> Header:
    """
    Return what an unverified *token* says of its signature.

    Raises:
        TokenRefused: It is no signed token, or not of an algorithm that is allowed.
    """
    if not isinstance(token, str) or token.count(".") != _PARTS - 1:
        raise TokenRefused(Flaw.MALFORMED, "The token is no signed JWT")
    if len(token) > LARGEST_TOKEN:
        raise TokenRefused(Flaw.TOO_LARGE, f"The token has more than {LARGEST_TOKEN} characters")
    try:
        header = jwt.get_unverified_header(token)
    except (jwt.PyJWTError, ValueError, RecursionError) as error:
        raise TokenRefused(Flaw.MALFORMED, "The token's header cannot be read") from error
    algorithm, key_id = header.get("alg"), header.get("kid")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise TokenRefused(
            Flaw.ALGORITHM, "The token is not signed by an algorithm that is allowed"
        )
    if "crit" in header or "b64" in header:
        raise TokenRefused(Flaw.CRITICAL, "The token asks for extensions that nobody here knows")
    if key_id is not None and not isinstance(key_id, str):
        raise TokenRefused(Flaw.MALFORMED, "The token's key is named by something that is no text")
    return Header(algorithm=algorithm, key_id=key_id)


def read_id_token(
    token: str,
    key: Key,
    expected: Expected,
    *,
    nonce: str | None,
    access_token: str | None,
) -> Mapping[str, Any]:
    """
    Return the claims of an ID token, after every check.

    Args:
        nonce: The one that was sent; `None`: none was, as when a token is refreshed.
        access_token: That came with it; `None`: none did.

    Raises:
        TokenRefused: Anything is not as it must be.
    """
    claims = _verified(token, key, kinds={"JWT"})
    _check_where_from(claims, expected)
    subject_of(claims)
    _check_times(claims, expected)
    if nonce is not None:
        said = claims.get("nonce")
        if not isinstance(said, str) or not hmac.compare_digest(said.encode(), nonce.encode()):
            raise TokenRefused(Flaw.NONCE, "The token is not the answer to this sign-in")
    if "at_hash" in claims:
        _check_access_token(claims["at_hash"], access_token, header_of(token).algorithm)
    return claims


def read_logout_token(token: str, key: Key, expected: Expected) -> LogoutToken:
    """
    Return what a logout token says, after every check; whether it is a replay is for its keeper.

    Raises:
        TokenRefused: Anything is not as it must be.
    """
    claims = _verified(token, key, kinds={"JWT", "LOGOUT+JWT"})
    _check_where_from(claims, expected)
    _check_times(claims, expected)
    events = claims.get("events")
    if not isinstance(events, dict) or not isinstance(events.get(_LOGOUT_EVENT), dict):
        raise TokenRefused(Flaw.EVENT, "The token is not about signing out")
    if "nonce" in claims:  # else an ID token could be passed off as one
        raise TokenRefused(Flaw.NONCE, "A logout token has no nonce, and this one has")
    identifier, session = claims.get("jti"), claims.get("sid")
    if not isinstance(identifier, str) or not identifier:
        raise TokenRefused(Flaw.IDENTIFIER, "The logout token has no identifier")
    if session is not None and (not isinstance(session, str) or not session):
        raise TokenRefused(Flaw.SUBJECT, "The logout token's session is no text")
    subject = subject_of(claims) if "sub" in claims else None
    if subject is None and session is None:
        raise TokenRefused(Flaw.SUBJECT, "The logout token names neither a subject nor a session")
    return LogoutToken(
        subject=subject,
        session=session,
        identifier=identifier,
        expires_at=_seconds(claims, "exp") + expected.skew.total_seconds(),
    )


def subject_of(claims: Mapping[str, Any]) -> str:
    """
    Return whom *claims* are about, by the provider's own unchanging name.

    Raises:
        TokenRefused: That is no such name: 1 to 255 visible ASCII characters.
    """
    subject = claims.get("sub")
    if (
        not isinstance(subject, str)
        or not 0 < len(subject) <= _LONGEST_SUBJECT
        or not subject.isascii()
        or not subject.isprintable()
    ):
        raise TokenRefused(Flaw.SUBJECT, "The token's subject is no name")
    return subject


def _verified(token: str, key: Key, *, kinds: set[str]) -> Mapping[str, Any]:
    header = header_of(token)
    if not key.fits(header.algorithm):
        raise TokenRefused(Flaw.UNKNOWN_KEY, "The token's key is not one for its algorithm")
    kind = jwt.get_unverified_header(token).get("typ")
    if kind is not None and str(kind).upper().removeprefix("APPLICATION/") not in kinds:
        raise TokenRefused(Flaw.KIND, "The token is of another kind than is wanted here")
    try:
        payload = jwt.api_jws.decode(token, key.value, algorithms=[header.algorithm])
    except jwt.InvalidSignatureError as error:
        raise TokenRefused(Flaw.SIGNATURE, "The token's signature is not the provider's") from error
    except (jwt.PyJWTError, ValueError, TypeError) as error:
        raise TokenRefused(Flaw.MALFORMED, "The token cannot be read") from error
    return _object(payload)


def _object(payload: bytes) -> Mapping[str, Any]:
    try:
        claims = json.loads(payload, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise TokenRefused(Flaw.MALFORMED, "The token's claims are no JSON") from error
    if not isinstance(claims, dict):
        raise TokenRefused(Flaw.MALFORMED, "The token's claims are no object")
    return claims


def _no_number(text: str) -> None:
    message = f"{text} is no number"
    raise ValueError(message)


def _check_where_from(claims: Mapping[str, Any], expected: Expected) -> None:
    if claims.get("iss") != expected.issuer:
        raise TokenRefused(Flaw.ISSUER, "The token is another provider's")
    said = claims.get("aud")
    audiences = [said] if isinstance(said, str) else said
    if not isinstance(audiences, list) or not all(isinstance(each, str) for each in audiences):
        raise TokenRefused(Flaw.AUDIENCE, "The token's audience is no list of names")
    if expected.client_id not in audiences:
        raise TokenRefused(Flaw.AUDIENCE, "The token is for another application")
    party = claims.get("azp")
    if party is not None and party != expected.client_id:
        raise TokenRefused(Flaw.AUTHORIZED_PARTY, "The token was issued to another application")
    if party is None and len(set(audiences)) > 1:
        message = "The token is for several applications and does not say to which it was issued"
        raise TokenRefused(Flaw.AUTHORIZED_PARTY, message)


def _check_times(claims: Mapping[str, Any], expected: Expected) -> None:
    now, skew = expected.now.timestamp(), expected.skew.total_seconds()
    if now >= _seconds(claims, "exp") + skew:
        raise TokenRefused(Flaw.EXPIRED, "The token has expired")
    begins = [_seconds(claims, "iat")]
    if "nbf" in claims:
        begins.append(_seconds(claims, "nbf"))
    if max(begins) > now + skew:
        message = f"The token is of the future: clocks are more than {expected.skew} apart"
        raise TokenRefused(Flaw.NOT_YET_VALID, message)


def _seconds(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenRefused(Flaw.MALFORMED, f"The token's time {name!r} is no number")
    try:
        seconds = float(value)
    except OverflowError:
        seconds = math.inf
    if not math.isfinite(seconds):
        raise TokenRefused(Flaw.MALFORMED, f"The token's time {name!r} is no time")
    return seconds


def _check_access_token(said: object, access_token: str | None, algorithm: str) -> None:
    """Compare the hash of the access token: the left half of its digest (Core 3.1.3.6)."""
    if access_token is not None:
        name = _DIGESTS.get(algorithm[2:]) or _DIGESTS[algorithm]
        digest = hashlib.new(name, access_token.encode()).digest()
        half = base64.urlsafe_b64encode(digest[: len(digest) // 2]).rstrip(b"=").decode()
        if isinstance(said, str) and hmac.compare_digest(said.encode(), half.encode()):
            return
    raise TokenRefused(Flaw.ACCESS_TOKEN_HASH, "The access token is not the one of this ID token")
