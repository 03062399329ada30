"""
Provider: who vouches for people, known by its issuer alone (OpenID Connect Discovery 1.0).

The document at the issuer's well-known address says where everything else is. It is believed only if it
names that very issuer, and if nothing of it would send a secret over an open line. Source: Discovery
§§3 and 4.3; RFC 9207 (mix-up); RP-Initiated Logout 1.0 §2.1.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from eugospawner.oidc.kept import Kept
from eugospawner.oidc.keys import KeyRing
from eugospawner.oidc.tokens import ALGORITHMS, Flaw, TokenRefused, header_of
from eugospawner.policy.errors import ConfigError, SignInError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eugospawner.oidc.keys import Key

WELL_KNOWN: Final = "/.well-known/openid-configuration"


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """
    Where a provider has what.

    Attributes:
        issuer: As it names itself in its tokens.
        end_session_endpoint: Where people sign out of it; `None`: it offers no such thing.
        takes_basic: Whether we say who we are in a header (else in the body).
        names_issuer: Whether its answers in the browser carry `iss` (RFC 9207).
    """

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str | None
    jwks_uri: str
    end_session_endpoint: str | None
    takes_basic: bool
    names_issuer: bool


def check_issuer(issuer: str) -> str:
    """
    Return *issuer*, if it can be one.

    Raises:
        ConfigError: It cannot.
    """
    try:
        _address("EugoAuthenticator.issuer", issuer)
    except SignInError as error:
        message = f"{error}; write the provider's address, such as https://login.example.org"
        raise ConfigError(message) from error
    if urlsplit(issuer).query:
        message = f"EugoAuthenticator.issuer: {issuer!r} has a query; an issuer has none"
        raise ConfigError(message)
    return issuer


def to_metadata(document: object, issuer: str) -> Metadata:
    """
    Return what the discovery *document* of *issuer* says.

    Raises:
        SignInError: It is no such document, another issuer's, or nothing to rely on; the field is named.
    """
    if not isinstance(document, dict):
        message = "The identity provider's configuration is no JSON object"
        raise SignInError(message)
    said = document.get("issuer")
    if said != issuer:
        hint = ""
        if isinstance(said, str) and said.rstrip("/") == issuer.rstrip("/"):
            hint = f": set EugoAuthenticator.issuer to {said!r}, with its very slash"
        message = f"The identity provider names another issuer than {issuer!r}{hint}"
        raise SignInError(message)
    algorithms = document.get("id_token_signing_alg_values_supported")
    if isinstance(algorithms, list) and ALGORITHMS.isdisjoint(filter(_is_text, algorithms)):
        message = (
            "The identity provider signs by none of the algorithms that are allowed: have it sign "
            "with RS256 or ES256"
        )
        raise SignInError(message)
    methods = document.get("token_endpoint_auth_methods_supported")
    return Metadata(
        issuer=issuer,
        authorization_endpoint=_required(document, "authorization_endpoint"),
        token_endpoint=_required(document, "token_endpoint"),
        userinfo_endpoint=_optional(document, "userinfo_endpoint"),
        jwks_uri=_required(document, "jwks_uri"),
        end_session_endpoint=_optional(document, "end_session_endpoint"),
        takes_basic=not isinstance(methods, list) or "client_secret_basic" in methods,
        names_issuer=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _required(document: Mapping[str, Any], name: str) -> str:
    if document.get(name) is None:
        message = f"The identity provider's configuration has no {name}"
        raise SignInError(message)
    return _address(name, document[name])


def _optional(document: Mapping[str, Any], name: str) -> str | None:
    return None if document.get(name) is None else _address(name, document[name])


def _address(name: str, value: object) -> str:
    """Return *value*, an absolute address over TLS; on this machine it may do without."""
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        host = "" if parts is None else parts.hostname or ""
        is_odd = parts is None or parts.username is not None or bool(parts.fragment)
        is_open = parts is None or parts.scheme != "https"
        if parts is not None:
            _ = parts.port
    except ValueError:
        host, is_odd, is_open = "", True, True
    if not host or is_odd or not isinstance(value, str) or value != value.strip():
        message = f"{name}: {value!r:.200} is no address"
        raise SignInError(message)
    if is_open and not (value.startswith("http://") and _is_here(host)):
        message = f"{name}: {value!r:.200} does not begin with https://"
        raise SignInError(message)
    return value


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class Provider:
    """
    One provider, asked as seldom as can be.

    Args:
        fetch: Returns the JSON at an address; raises `SignInError`.
        elapsed: Seconds of a clock that only goes forward.
    """

    def __init__(
        self,
        issuer: str,
        *,
        fetch: Callable[[str], Awaitable[object]],
        elapsed: Callable[[], float],
    ) -> None:
        self.issuer = check_issuer(issuer)

        async def metadata() -> Metadata:
            return to_metadata(await fetch(self.issuer.rstrip("/") + WELL_KNOWN), self.issuer)

        async def keys() -> object:
            return await fetch((await self.metadata()).jwks_uri)

        self._metadata = Kept(metadata, elapsed=elapsed)
        self._keys = KeyRing(keys, elapsed=elapsed)

    async def metadata(self) -> Metadata:
        """
        Return where the provider has what.

        Raises:
            SignInError: It was never known, and the provider does not answer or is not to be relied on.
        """
        return await self._metadata.get()

    async def key_of(self, token: object) -> Key:
        """
        Return the key that an unverified *token* says it is signed by.

        Raises:
            SignInError: The provider does not answer.
            TokenRefused: It has no such key, or the token is none.
        """
        header = header_of(token)
        key = await self._keys.find(header.key_id, header.algorithm)
        if key is None:
            raise TokenRefused(Flaw.UNKNOWN_KEY, "The token is signed by no key of the provider")
        return key
