"""
Keys: the provider's public keys, as it publishes them (RFC 7517).

Keys that nobody here could use, such as secrets, short ones and those for encryption, are left out. A
token that is signed by a key which is not known makes them be fetched again, at most twice a minute,
so that neither a change of keys nor a storm of forged tokens does harm. If the provider does not answer,
keys that were known stay known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from eugospawner.oidc.kept import Kept
from eugospawner.policy.errors import SignInError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

_LEAST_RSA_BITS: Final = 2048
#: Key type, and curve if it matters, of an algorithm's first letters or its name.
_KINDS: Final = {
    "RS": ("RSA", None),
    "PS": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", None),
}
_MOST_KEYS: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """
    A public key for signatures.

    Attributes:
        name: Its `kid`; `None`: it has none.
        algorithm: The only one that it is for; `None`: any of its kind.
        value: As PyJWT takes it.
    """

    name: str | None
    kind: str
    curve: str | None
    algorithm: str | None
    value: Any

    def fits(self, algorithm: str) -> bool:
        """Whether signatures of *algorithm* can be by this key."""
        kind, curve = _KINDS.get(algorithm) or _KINDS.get(algorithm[:2]) or ("", None)
        return (
            self.kind == kind
            and curve in {None, self.curve}
            and self.algorithm in {None, algorithm}
        )


def to_keys(document: object) -> tuple[Key, ...]:
    """
    Return the usable keys of a JSON Web Key Set.

    Raises:
        SignInError: *document* is none.
    """
    listed = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(listed, list):
        message = "The provider's keys are no JSON Web Key Set"
        raise SignInError(message)
    return tuple(_usable(listed[:_MOST_KEYS]))


def _usable(listed: list[Any]) -> Iterator[Key]:
    for each in listed:
        if not isinstance(each, dict) or each.get("use", "sig") != "sig":
            continue
        name, kind, algorithm = each.get("kid"), each.get("kty"), each.get("alg")
        if kind not in {"RSA", "EC", "OKP"} or not isinstance(name, str | None):
            continue
        if not isinstance(algorithm, str | None):
            continue
        public = {key: value for key, value in each.items() if key not in {"alg", "key_ops"}}
        try:
            value = jwt.PyJWK.from_dict(public, _ANY_OF[kind]).key
        except (jwt.PyJWTError, ValueError, TypeError, KeyError):
            continue  # a key of tomorrow is no reason to refuse those of today
        if isinstance(value, RSAPublicKey) and value.key_size < _LEAST_RSA_BITS:
            continue
        if not hasattr(value, "public_bytes"):
            continue  # a private key was published: whatever it signs, anybody may have signed
        yield Key(name=name, kind=kind, curve=each.get("crv"), algorithm=algorithm, value=value)


_ANY_OF: Final = {"RSA": "RS256", "EC": "ES256", "OKP": "EdDSA"}


def choose(keys: tuple[Key, ...], name: str | None, algorithm: str) -> Key | None:
    """
    Return the key that signs with *algorithm* under *name*; `None`: it is not among them.

    A token that names no key is of the only one that fits; of several, none is guessed.
    """
    fitting = [key for key in keys if key.fits(algorithm) and name in {None, key.name}]
    if name is None and len(fitting) > 1:
        return None
    return fitting[0] if fitting else None


class KeyRing:
    """
    The keys of one provider.

    Args:
        fetch: Returns the key set's JSON; raises `SignInError`.
        elapsed: Seconds of a clock that only goes forward.
    """

    def __init__(
        self, fetch: Callable[[], Awaitable[object]], *, elapsed: Callable[[], float]
    ) -> None:
        async def keys() -> tuple[Key, ...]:
            return to_keys(await fetch())

        self._kept = Kept(keys, elapsed=elapsed)

    async def find(self, name: str | None, algorithm: str) -> Key | None:
        """
        Return the key of a token, fetched if need be; `None`: the provider has none such.

        Raises:
            SignInError: No key was ever fetched, and the provider does not answer.
        """
        keys = await self._kept.get(enough=lambda known: choose(known, name, algorithm) is not None)
        return choose(keys, name, algorithm)
