"""The provider's keys: which are used, when they are fetched, and what a storm does (nothing)."""

import asyncio
import json

import jwt
import pytest

from eugospawner.oidc.kept import PATIENCE, TIME_TO_LIVE
from eugospawner.oidc.keys import KeyRing, choose, to_keys
from eugospawner.policy.errors import SignInError
from tests.factories.tokens import FakeKeySet, jwk, private_key

KINDS = ["RSA", "P-256", "P-384", "P-521", "Ed25519"]


class Watch:
    def __init__(self):
        self.seconds = 1000.0

    def __call__(self):
        return self.seconds


@pytest.fixture
def watch():
    return Watch()


@pytest.fixture
def key_set():
    return FakeKeySet()


@pytest.fixture
def ring(key_set, watch):
    return KeyRing(key_set, elapsed=watch)


def names(keys):
    return [key.name for key in keys]


def test_keys_of_every_kind_are_read():
    keys = to_keys({"keys": [jwk(kind) for kind in KINDS]})
    assert names(keys) == [f"{kind}-0" for kind in KINDS]


@pytest.mark.parametrize("document", [None, [], "keys", 7, {}, {"keys": None}, {"keys": {}}])
def test_what_is_no_key_set_is_told(document):
    with pytest.raises(SignInError, match="no JSON Web Key Set"):
        to_keys(document)


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "key",
        {},
        {"kty": "RSA"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "secret"},
        jwk("short RSA"),
        jwk("RSA", use="enc"),
        jwk("RSA", kid=7),
        jwk("RSA", alg=["RS256"]),
        jwk("RSA", n="!"),
        jwk("P-256", crv="P-999"),
        jwk("P-256", x="AA"),
        json.loads(jwt.get_algorithm_by_name("RS256").to_jwk(private_key("RSA"))),
    ],
    ids=[
        "null",
        "a text",
        "empty",
        "only a kind",
        "a secret",
        "short",
        "for encryption",
        "named by a number",
        "of several algorithms",
        "no number",
        "an unknown curve",
        "not on its curve",
        "a private key",
    ],
)
def test_a_key_that_nobody_can_use_does_not_spoil_the_others(odd):
    assert names(to_keys({"keys": [odd, jwk("RSA", 1)]})) == ["RSA-1"]


def test_a_token_is_signed_by_the_key_that_it_names_and_no_other():
    keys = to_keys({"keys": [jwk("RSA"), jwk("RSA", 1), jwk("P-256")]})
    assert choose(keys, "RSA-1", "RS256").name == "RSA-1"
    assert choose(keys, "P-256-0", "RS256") is None
    assert choose(keys, "P-256-0", "ES384") is None
    assert choose(keys, "RSA-2", "RS256") is None


def test_of_several_keys_none_is_guessed():
    keys = to_keys({"keys": [jwk("RSA"), jwk("RSA", 1), jwk("P-256")]})
    assert choose(keys, None, "RS256") is None
    assert choose(keys, None, "ES256").name == "P-256-0"


def test_a_key_that_is_for_one_algorithm_is_for_no_other():
    keys = to_keys({"keys": [jwk("RSA", alg="RS256")]})
    assert choose(keys, "RSA-0", "RS256")
    assert choose(keys, "RSA-0", "PS256") is None


async def test_keys_are_fetched_once_and_again_when_they_are_old(ring, key_set, watch):
    for _ in range(5):
        assert (await ring.find("RSA-0", "RS256")).name == "RSA-0"
    assert key_set.asked == 1
    watch.seconds += TIME_TO_LIVE.total_seconds()
    key_set.document = {"keys": [jwk("RSA", 1)]}  # the first was withdrawn
    assert await ring.find("RSA-0", "RS256") is None
    assert key_set.asked == 2


async def test_a_new_key_is_known_as_soon_as_a_token_names_it(ring, key_set, watch):
    await ring.find("RSA-0", "RS256")
    watch.seconds += PATIENCE.total_seconds()
    key_set.document = {"keys": [jwk("RSA"), jwk("RSA", 1)]}
    assert (await ring.find("RSA-1", "RS256")).name == "RSA-1"
    assert key_set.asked == 2


async def test_a_storm_of_unknown_keys_asks_twice_a_minute(ring, key_set, watch):
    for number in range(600):
        watch.seconds += 0.1
        assert await ring.find(f"forged-{number}", "RS256") is None
    assert key_set.asked <= 3


async def test_of_many_at_once_one_asks(ring, key_set):
    found = await asyncio.gather(*(ring.find("RSA-0", "RS256") for _ in range(50)))
    assert {key.name for key in found} == {"RSA-0"}
    assert key_set.asked == 1


async def test_while_the_provider_is_away_known_keys_stay_known(ring, key_set, watch):
    await ring.find("RSA-0", "RS256")
    watch.seconds += 2 * TIME_TO_LIVE.total_seconds()
    for error in (SignInError("away"), None):
        key_set.error = error
        key_set.document = "no keys"
        assert (await ring.find("RSA-0", "RS256")).name == "RSA-0"
        watch.seconds += PATIENCE.total_seconds()


async def test_who_never_had_keys_says_so_and_asks_again_soon(ring, key_set, watch):
    key_set.error = SignInError("away")
    with pytest.raises(SignInError, match="away"):
        await ring.find("RSA-0", "RS256")
    key_set.error = None  # nobody asks so soon, and whoever wants to know is told the same
    with pytest.raises(SignInError, match="away"):
        await ring.find("RSA-0", "RS256")
    assert key_set.asked == 1
    key_set.error = None
    watch.seconds += PATIENCE.total_seconds()
    assert await ring.find("RSA-0", "RS256")
