"""Tokens of a hostile provider, of a thief, and of somebody who forges: none is believed."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.oidc import tokens
from eugospawner.oidc.keys import to_keys
from eugospawner.oidc.tokens import SKEW, Expected, Flaw, TokenRefused
from tests.factories.tokens import (
    CLIENT,
    ISSUER,
    LOGOUT,
    NONCE,
    NOON,
    claims,
    encoded,
    forged_with_public_key,
    hash_of,
    jwk,
    logout_claims,
    signed,
)

EXPECTED = Expected(issuer=ISSUER, client_id=CLIENT, now=NOON)
SKEW_SECONDS = int(SKEW.total_seconds())
NOW = int(NOON.timestamp())
SIGNERS = [
    ("RSA", "RS256"), ("RSA", "RS384"), ("RSA", "RS512"), ("RSA", "PS256"), ("RSA", "PS384"),
    ("RSA", "PS512"), ("P-256", "ES256"), ("P-384", "ES384"), ("P-521", "ES512"),
    ("Ed25519", "EdDSA"),
]  # fmt: skip


def key(kind="RSA", **changes):
    (only,) = to_keys({"keys": [jwk(kind, **changes)]})
    return only


def read(token, *, kind="RSA", expected=EXPECTED, nonce=NONCE, access_token=None):
    return tokens.read_id_token(token, key(kind), expected, nonce=nonce, access_token=access_token)


def flaw_of(token, **keywords):
    with pytest.raises(TokenRefused) as caught:
        read(token, **keywords)
    return caught.value.flaw


@pytest.mark.parametrize(("kind", "algorithm"), SIGNERS)
def test_a_good_token_is_believed_whatever_signs_it(kind, algorithm):
    said = claims(name="Jane")
    assert read(signed(said, kind, algorithm=algorithm), kind=kind) == said


def test_all_algorithms_that_are_allowed_are_tried_here():
    assert {algorithm for _, algorithm in SIGNERS} == tokens.ALGORITHMS


@pytest.mark.parametrize(("kind", "algorithm"), SIGNERS)
@pytest.mark.parametrize("other", ["RSA", "P-256", "P-384", "P-521", "Ed25519"])
def test_a_key_of_another_kind_verifies_nothing(kind, algorithm, other):
    if kind != other:
        flaw = flaw_of(signed(claims(), kind, algorithm=algorithm), kind=other)
        assert flaw is Flaw.UNKNOWN_KEY


def test_an_unsigned_token_is_refused():
    for algorithm in ("none", "None", "NONE", "nOnE", "", None, 1, ["RS256"], "HS256", "RS1"):
        head = encoded({"alg": algorithm, "kid": "RSA-0"})
        for signature in ("", encoded(b"x")):
            flaw = flaw_of(f"{head}.{encoded(claims())}.{signature}")
            assert flaw in {Flaw.ALGORITHM, Flaw.MALFORMED}


@pytest.mark.parametrize("kind", ["RSA", "P-256", "Ed25519"])
def test_a_token_whose_secret_is_the_public_key_is_refused(kind):
    """RFC 8725, 2.1."""
    assert flaw_of(forged_with_public_key(claims(), kind), kind=kind) is Flaw.ALGORITHM


def test_a_signature_of_somebody_else_is_refused():
    assert flaw_of(signed(claims(), number=1, kid="RSA-0")) is Flaw.SIGNATURE
    token = signed(claims())
    head, _, signature = token.split(".")
    forged = f"{head}.{encoded(claims(sub='root'))}.{signature}"
    assert flaw_of(forged) is Flaw.SIGNATURE
    assert flaw_of(f"{head}.{token.split('.')[1]}.") is Flaw.SIGNATURE


@pytest.mark.parametrize(
    "token",
    [
        "", "a.b", "a.b.c", "a.b.c.d.e", "..", b"a.b.c", None, 7, ["a.b.c"],
        f"{encoded(b'{')}.e30.", f"{encoded([])}.e30.", f"{encoded(b'[' * 50_000)}.e30.e30",
        f"{encoded({'alg': 'RS256', 'kid': 7})}.e30.e30", "é.é.é", "\0.\0.\0",
    ],
)  # fmt: skip
def test_what_is_no_token_is_refused_as_that(token):
    assert flaw_of(token) in {Flaw.MALFORMED, Flaw.ALGORITHM}


def test_a_claim_of_a_megabyte_is_not_even_verified():
    assert flaw_of(signed(claims(groups=["x" * 1_000_000]))) is Flaw.TOO_LARGE
    assert read(signed(claims(groups=["x" * 40_000])))["groups"]


@pytest.mark.parametrize(
    "header", [{"crit": ["exp"]}, {"crit": []}, {"b64": False, "crit": ["b64"]}]
)
def test_extensions_that_nobody_knows_are_not_ignored(header):
    head = encoded({"alg": "RS256", "kid": "RSA-0"} | header)
    assert flaw_of(f"{head}.{encoded(claims())}.{encoded(b'x')}") in {
        Flaw.CRITICAL, Flaw.MALFORMED,
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["at+jwt", "logout+jwt", "application/at+jwt", "JWE", 7])
def test_a_token_that_was_made_for_something_else_is_refused(kind):
    assert flaw_of(signed(claims(), typ=kind)) in {Flaw.KIND, Flaw.MALFORMED}


@pytest.mark.parametrize("kind", ["JWT", "jwt", None])
def test_a_token_may_say_that_it_is_one(kind):
    assert read(signed(claims(), typ=kind))


@pytest.mark.parametrize("payload", [b"[]", b'"text"', b"null", b"{", b"\xff", b"[" * 60_000,
                                     b'{"exp": NaN}', b'{"exp": Infinity}'])  # fmt: skip
def test_signed_nonsense_is_nonsense(payload):
    assert flaw_of(signed(payload)) in {Flaw.MALFORMED, Flaw.ISSUER}


#: Every kind of JSON value where a text or a number is expected.
ODD = [
    None,
    True,
    7,
    1.5,
    "",
    "x",
    [],
    ["x"],
    [7],
    {},
    {"a": 1},
    "\u202eugo",
    "еugo",
    " eugo",
    "EUGO",
]


@pytest.mark.parametrize("value", [*ODD, ISSUER + "/", ISSUER.upper(), [ISSUER], f"{ISSUER}\0"])
def test_only_the_very_issuer_is_believed(value):
    assert flaw_of(signed(claims(iss=value))) in {Flaw.ISSUER, Flaw.MALFORMED}


@pytest.mark.parametrize("value", [*ODD, [CLIENT, 7], {CLIENT: 1}, ["other"]])
def test_a_token_for_another_application_is_refused(value):
    assert flaw_of(signed(claims(aud=value))) is Flaw.AUDIENCE


@pytest.mark.parametrize(
    ("audience", "party", "good"),
    [
        ([CLIENT], None, True),
        (CLIENT, CLIENT, True),
        ([CLIENT, "other"], CLIENT, True),
        ([CLIENT, "other"], None, False),
        ([CLIENT, CLIENT], None, True),
        (CLIENT, "other", False),
        ([CLIENT, "other"], "other", False),
        (CLIENT, [CLIENT], False),
        (CLIENT, "", False),
        (CLIENT, 7, False),
    ],
)
def test_a_token_that_was_issued_to_another_application_is_refused(audience, party, good):
    token = signed(claims(aud=audience, azp=party))
    if good:
        assert read(token)
    else:
        assert flaw_of(token) is Flaw.AUTHORIZED_PARTY


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"exp": NOW - SKEW_SECONDS + 1, "iat": NOW - 900}, None),
        ({"exp": NOW - SKEW_SECONDS}, Flaw.EXPIRED),
        ({"exp": 0}, Flaw.EXPIRED),
        ({"exp": -1e300}, Flaw.EXPIRED),
        ({"iat": NOW + SKEW_SECONDS}, None),
        ({"iat": NOW + SKEW_SECONDS + 1}, Flaw.NOT_YET_VALID),
        ({"nbf": NOW + SKEW_SECONDS + 1}, Flaw.NOT_YET_VALID),
        ({"nbf": NOW}, None),
        ({"exp": NOW + 0.5}, None),
        ({"exp": 10**400}, Flaw.MALFORMED),
    ],
)
def test_a_token_holds_from_its_issue_to_its_end_give_or_take_the_skew(changes, flaw):
    token = signed(claims(**changes))
    if flaw is None:
        assert read(token)
    else:
        assert flaw_of(token) is flaw


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", [True, "1732449600", [], {}, [NOW]])
def test_a_time_that_is_no_number_is_refused(name, value):
    token = signed(json.dumps(claims() | {name: value}).encode())
    assert flaw_of(token) is Flaw.MALFORMED


@pytest.mark.parametrize("name", ["iss", "sub", "aud", "exp", "iat", "nonce"])
def test_what_must_be_there_is_there(name):
    with pytest.raises(TokenRefused):
        read(signed(claims(**{name: None})))


@pytest.mark.parametrize("value", [*ODD, NONCE[:-1], NONCE + "x", [NONCE]])
def test_a_token_that_answers_another_sign_in_is_refused(value):
    assert flaw_of(signed(claims(nonce=value))) is Flaw.NONCE


def test_a_refreshed_token_has_no_nonce():
    assert read(signed(claims(nonce=None)), nonce=None)


@pytest.mark.parametrize(
    ("kind", "algorithm", "digest"),
    [
        ("RSA", "RS256", "sha256"),
        ("RSA", "PS384", "sha384"),
        ("P-521", "ES512", "sha512"),
        ("Ed25519", "EdDSA", "sha512"),
    ],
)
def test_the_access_token_is_the_one_that_was_issued_with_it(kind, algorithm, digest):
    said = claims(at_hash=hash_of("token", digest))
    token = signed(said, kind, algorithm=algorithm)
    assert read(token, kind=kind, access_token="token") == said
    for other in ("another", "", None):
        assert flaw_of(token, kind=kind, access_token=other) is Flaw.ACCESS_TOKEN_HASH


@pytest.mark.parametrize("value", [value for value in ODD if value is not None])
def test_a_hash_that_is_none_is_refused(value):
    assert flaw_of(signed(claims(at_hash=value)), access_token="token") is Flaw.ACCESS_TOKEN_HASH


@pytest.mark.parametrize(
    "value",
    [True, 7, "", [], {}, ["x"], "a" * 256, "jané", "а", "a\0", "a\nb", "\u202eroot", "\x7f"],
)
def test_a_subject_is_a_name_of_the_provider_and_nothing_that_looks_like_one(value):
    token = signed(json.dumps(claims() | {"sub": value}).encode())
    assert flaw_of(token) is Flaw.SUBJECT


# Logout tokens


def read_logout(token, expected=EXPECTED):
    return tokens.read_logout_token(token, key(), expected)


def test_a_good_logout_token_names_who_and_which_session():
    found = read_logout(signed(logout_claims()))
    assert (found.subject, found.session, found.identifier) == ("248289761001", "s-1", "j-1")
    assert found.expires_at == NOW + 300 + SKEW_SECONDS
    assert read_logout(signed(logout_claims(sub=None), typ="logout+jwt")).subject is None
    assert read_logout(signed(logout_claims(sid=None))).session is None


@pytest.mark.parametrize(
    ("changes", "flaw"),
    [
        ({"events": None}, Flaw.EVENT),
        ({"events": {}}, Flaw.EVENT),
        ({"events": {LOGOUT: True}}, Flaw.EVENT),
        ({"events": [LOGOUT]}, Flaw.EVENT),
        ({"nonce": NONCE}, Flaw.NONCE),
        ({"jti": None}, Flaw.IDENTIFIER),
        ({"jti": ""}, Flaw.IDENTIFIER),
        ({"sub": None, "sid": None}, Flaw.SUBJECT),
        ({"sid": 7}, Flaw.SUBJECT),
        ({"sid": ""}, Flaw.SUBJECT),
        ({"iss": "https://evil.example"}, Flaw.ISSUER),
        ({"aud": "other"}, Flaw.AUDIENCE),
        ({"exp": NOW - 900}, Flaw.EXPIRED),
        ({"exp": None}, Flaw.MALFORMED),
        ({"iat": NOW + 900}, Flaw.NOT_YET_VALID),
    ],
)
def test_what_is_no_logout_token_signs_nobody_out(changes, flaw):
    with pytest.raises(TokenRefused) as caught:
        read_logout(signed(logout_claims(**changes)))
    assert caught.value.flaw is flaw


def test_neither_kind_of_token_passes_for_the_other():
    assert flaw_of(signed(logout_claims(), typ="logout+jwt")) is Flaw.KIND
    assert flaw_of(signed(logout_claims())) is Flaw.NONCE
    with pytest.raises(TokenRefused):
        read_logout(signed(claims()))


def test_a_refusal_says_nothing_of_what_the_token_says():
    secret = "canary-7391"
    for token in (
        signed(claims(sub=secret, iss=secret)),
        signed(claims(nonce=secret, aud=secret)),
        f"{encoded({'alg': 'none', 'kid': secret})}.{encoded({'sub': secret})}.",
    ):
        with pytest.raises(TokenRefused) as caught:
            read(token)
        assert secret not in str(caught.value)


@given(st.text(max_size=200) | st.binary(max_size=200) | st.none() | st.integers())
def test_no_text_at_all_makes_anything_else_than_a_refusal(token):
    with pytest.raises(TokenRefused):
        read(token)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(
    st.sampled_from(["iss", "aud", "azp", "nonce", "sub", "exp", "iat", "nbf", "at_hash"]),
    json_values,
)
def test_a_claim_of_any_kind_of_json_is_either_right_or_refused(name, value):
    token = signed(json.dumps(claims() | {name: value}).encode())
    try:
        found = read(token, access_token="token")
    except TokenRefused:
        return
    assert found["iss"] == ISSUER
    assert CLIENT in ([found["aud"]] if isinstance(found["aud"], str) else found["aud"])
    assert found["nonce"] == NONCE
    assert found.get("azp") in {None, CLIENT}
    assert isinstance(found["sub"], str)
    assert found.get("at_hash", hash_of("token")) == hash_of("token")
    later = replace(EXPECTED, now=NOON + timedelta(days=365 * 300))
    if isinstance(found["exp"], int) and found["exp"] < later.now.timestamp() - SKEW_SECONDS:
        assert flaw_of(token, expected=later, access_token="token") is Flaw.EXPIRED
