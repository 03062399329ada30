"""A provider's keys and tokens, good ones and forged ones."""

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

ISSUER = "https://login.example.org/realms/acme"
CLIENT = "eugo"
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
NONCE = "n-0S6_WzA2Mj"
LOGOUT = "http://schemas.openid.net/event/backchannel-logout"


@cache
def private_key(kind: str, number: int = 0) -> Any:
    """Return a private key of *kind*; the same one for the same *number*."""
    makers = {
        "RSA": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
        "short RSA": lambda: rsa.generate_private_key(65537, 1024),  # noqa: S505 - to be refused
        "P-256": lambda: ec.generate_private_key(ec.SECP256R1()),
        "P-384": lambda: ec.generate_private_key(ec.SECP384R1()),
        "P-521": lambda: ec.generate_private_key(ec.SECP521R1()),
        "Ed25519": ed25519.Ed25519PrivateKey.generate,
    }
    assert number >= 0
    return makers[kind]()


def jwk(kind: str, number: int = 0, **changes: Any) -> dict[str, Any]:
    """Return the public key of *kind* as a provider publishes it; `None` takes a member away."""
    algorithm = {"RSA": "RS256", "short RSA": "RS256", "Ed25519": "EdDSA"}.get(kind, "ES256")
    maker = jwt.get_algorithm_by_name(algorithm)
    document = json.loads(maker.to_jwk(private_key(kind, number).public_key()))
    document |= {"kid": f"{kind}-{number}", "use": "sig"} | changes
    document.pop("key_ops", None)
    return {key: value for key, value in document.items() if value is not None}


def claims(**changes: Any) -> dict[str, Any]:
    """Return what a good ID token says; `None` takes a claim away."""
    now = int(NOON.timestamp())
    said = {
        "iss": ISSUER,
        "sub": "248289761001",
        "aud": CLIENT,
        "exp": now + 300,
        "iat": now,
        "nonce": NONCE,
    } | changes
    return {key: value for key, value in said.items() if value is not None}


def logout_claims(**changes: Any) -> dict[str, Any]:
    """Return what a good logout token says; `None` takes a claim away."""
    return claims(**{"nonce": None, "jti": "j-1", "sid": "s-1", "events": {LOGOUT: {}}} | changes)


def signed(
    said: dict[str, Any] | bytes,
    kind: str = "RSA",
    number: int = 0,
    *,
    algorithm: str = "RS256",
    **header: Any,
) -> str:
    """
    Return *said*, signed, whatever it is: a library's encoder would refuse some of it.

    Args:
        header: Changes of the header; `None` takes a member away.
    """
    payload = said if isinstance(said, bytes) else json.dumps(said).encode()
    members = {"alg": algorithm, "typ": "JWT", "kid": f"{kind}-{number}"} | header
    head = {key: value for key, value in members.items() if value is not None}
    text = f"{encoded(head)}.{encoded(payload)}"
    maker = jwt.get_algorithm_by_name(algorithm)
    return f"{text}.{encoded(maker.sign(text.encode(), private_key(kind, number)))}"


def encoded(document: object) -> str:
    """Return *document* as a part of a token; bytes as they are."""
    raw = document if isinstance(document, bytes) else json.dumps(document).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def forged_with_public_key(said: dict[str, Any], kind: str = "RSA") -> str:
    """Return *said* with an HMAC whose secret is the provider's public key, which all know."""
    secret = (
        private_key(kind).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    text = f"{encoded({'alg': 'HS256', 'kid': f'{kind}-0', 'typ': 'JWT'})}.{encoded(said)}"
    return f"{text}.{encoded(hmac.digest(secret, text.encode(), 'sha256'))}"


def hash_of(access_token: str, digest: str = "sha256") -> str:
    """Return the `at_hash` of *access_token*."""
    whole = hashlib.new(digest, access_token.encode()).digest()
    return encoded(whole[: len(whole) // 2])


@dataclass
class FakeKeySet:
    """Keys behind an address that may fail; counts how often it was asked."""

    document: Any = field(default_factory=lambda: {"keys": [jwk("RSA")]})
    error: Exception | None = None
    asked: int = 0

    async def __call__(self) -> Any:
        self.asked += 1
        if self.error is not None:
            raise self.error
        return self.document
