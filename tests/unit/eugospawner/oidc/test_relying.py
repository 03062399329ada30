"""Signing in at a provider that is honest, away, or not; and being asked after again (F108)."""

from urllib.parse import parse_qs, urlsplit

import pytest

from eugospawner.oidc.relying import (
    ProviderRefused,
    ProviderUnavailable,
    RelyingParty,
    Response,
)
from eugospawner.oidc.tokens import Flaw, TokenRefused
from eugospawner.policy.errors import SignInError
from tests.factories.providers import SECRET, FakeProvider, a_document
from tests.factories.tokens import CLIENT, ISSUER, claims, logout_claims, signed

HUB = "https://hub.example.org/hub/oauth_callback"
VERIFIER = "v" * 43


@pytest.fixture
def provider():
    return FakeProvider()


@pytest.fixture
def party(provider):
    return RelyingParty(
        ISSUER,
        client_id=CLIENT,
        client_secret=SECRET,
        scopes=["profile", "openid"],
        http=provider,
        now=lambda: provider.now,
        elapsed=lambda: 0.0,
    )


async def ask(party, **changes):
    words = {"redirect_uri": HUB, "state": "state", "nonce": "nonce", "verifier": VERIFIER}
    return await party.authorization_url(**words | changes)


async def grant(party, provider, **changes):
    code, _ = provider.sign_in(await ask(party))
    words = {"redirect_uri": HUB, "nonce": "nonce", "verifier": VERIFIER}
    return await party.redeem(code, **words | changes)


async def test_somebody_is_sent_to_sign_in_with_all_that_protects_them(party, provider):
    url = await ask(party)
    query = parse_qs(urlsplit(url).query)
    assert url.startswith(f"{ISSUER}/auth?")
    assert query["scope"] == ["openid profile"]
    assert query["code_challenge_method"] == ["S256"]
    assert VERIFIER not in url
    assert provider.sign_in(url)[1] == "state"


async def test_a_code_is_good_for_who_signed_in(party, provider):
    found = await grant(party, provider)
    assert (found.subject, found.session) == ("1", "session-of-1")
    assert found.claims["name"] == "Jane"
    assert found.refresh_token is not None


async def test_who_we_are_is_said_in_the_body_where_that_is_wanted(provider, party):
    provider.document = a_document(token_endpoint_auth_methods_supported=["client_secret_post"])
    assert (await grant(party, provider)).subject == "1"
    posted = next(each for each in provider.asked if each.form)
    assert "Authorization" not in posted.headers


async def test_a_code_is_good_once(party, provider):
    code, _ = provider.sign_in(await ask(party))
    words = {"redirect_uri": HUB, "nonce": "nonce", "verifier": VERIFIER}
    await party.redeem(code, **words)
    with pytest.raises(ProviderRefused, match="invalid_grant"):
        await party.redeem(code, **words)


@pytest.mark.parametrize(
    "changes", [{"verifier": "w" * 43}, {"redirect_uri": "https://evil.example/"}]
)
async def test_a_stolen_code_is_of_no_use(party, provider, changes):
    with pytest.raises(ProviderRefused):
        await grant(party, provider, **changes)


async def test_the_answer_to_another_sign_in_is_refused(party, provider):
    with pytest.raises(TokenRefused) as caught:
        await grant(party, provider, nonce="another")
    assert caught.value.flaw is Flaw.NONCE


@pytest.mark.parametrize(
    ("lies", "flaw"),
    [
        ({"iss": "https://evil.example"}, Flaw.ISSUER),
        ({"aud": "other"}, Flaw.AUDIENCE),
        ({"azp": "other"}, Flaw.AUTHORIZED_PARTY),
        ({"exp": 1}, Flaw.EXPIRED),
        ({"iat": 2**40}, Flaw.NOT_YET_VALID),
        ({"at_hash": "x"}, Flaw.ACCESS_TOKEN_HASH),
        ({"sub": "2"}, Flaw.SUBJECT),  # the user info says 1
        ({"sub": "jané"}, Flaw.SUBJECT),
    ],
)
async def test_what_a_provider_says_wrongly_is_not_believed(party, provider, lies, flaw):
    provider.lies = lies
    with pytest.raises(TokenRefused) as caught:
        await grant(party, provider)
    assert caught.value.flaw is flaw


async def test_the_user_info_may_say_more_and_not_otherwise_who_it_is(party, provider):
    provider.people["1"] = {"name": "Jane", "groups": ["a"], "iss": "https://evil", "sid": "other"}
    found = await grant(party, provider)
    assert (found.claims["iss"], found.session, found.claims["groups"]) == (
        ISSUER, "session-of-1", ["a"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("path", "answer", "error"),
    [
        ("/token", Response(status=500, body=None), ProviderUnavailable),
        ("/token", Response(status=503, body={}), ProviderUnavailable),
        ("/token", Response(status=429, body={}), ProviderUnavailable),
        # The hub is refused, not whoever signs in: their session goes on for its grace.
        ("/token", Response(status=401, body={"error": "invalid_client"}), ProviderUnavailable),
        ("/token", Response(status=400, body={"error": "invalid_grant"}), ProviderRefused),
        ("/token", Response(status=200, body="text"), ProviderUnavailable),
        ("/token", Response(status=200, body={}), ProviderRefused),
        ("/token", Response(status=200, body={"token_type": "mac"}), ProviderRefused),
        ("/token", Response(status=200, body={"token_type": "Bearer"}), ProviderRefused),
        (
            "/token",
            Response(status=200, body={"token_type": "bearer", "access_token": "a"}),
            ProviderRefused,
        ),
        (
            "/token",
            Response(
                status=200, body={"token_type": "bearer", "access_token": "a", "id_token": ["x"]}
            ),
            ProviderRefused,
        ),
        ("/me", Response(status=401, body=None), ProviderRefused),
        ("/me", Response(status=502, body=None), ProviderUnavailable),
        ("/me", Response(status=200, body=[]), ProviderUnavailable),
        ("/me", Response(status=200, body={}), TokenRefused),
        ("/me", Response(status=200, body={"sub": 1}), TokenRefused),
        ("/me", Response(status=200, body={"sub": "2"}), TokenRefused),
        ("/certs", Response(status=200, body={"keys": []}), TokenRefused),
        ("/certs", Response(status=500, body=None), ProviderUnavailable),
    ],
)
async def test_no_is_one_thing_and_no_answer_another(party, provider, path, answer, error):
    url = await ask(party)
    provider.answers[path] = answer
    code, _ = provider.sign_in(url)
    with pytest.raises(error):
        await party.redeem(code, redirect_uri=HUB, nonce="nonce", verifier=VERIFIER)


async def test_neither_errors_nor_values_repeat_what_is_secret(party, provider):
    found = await grant(party, provider)
    for secret in (found.access_token, found.id_token, found.refresh_token, "Jane"):
        assert secret not in repr(found)
    with pytest.raises(SignInError) as caught:
        await grant(party, provider, verifier="x")
    assert "canary" not in str(caught.value)
    assert "code-" not in str(caught.value)


# Asked again


async def test_what_changed_is_known_at_the_next_refresh(party, provider):
    first = await grant(party, provider)
    provider.people["1"] = {"name": "Jane", "groups": ["b"]}
    second = await party.refresh(first)
    assert second.claims["groups"] == ["b"]
    assert second.refresh_token not in {None, first.refresh_token}
    with pytest.raises(ProviderRefused):
        await party.refresh(first)  # its token was spent
    assert (await party.refresh(second)).subject == "1"


async def test_a_provider_that_does_not_rotate_is_asked_with_the_same_token(party, provider):
    provider.rotates = False
    first = await grant(party, provider)
    second = await party.refresh(first)
    assert second.refresh_token == first.refresh_token
    assert second.access_token != first.access_token


async def test_without_a_refresh_token_the_user_info_is_asked(party, provider):
    provider.refreshes = False
    first = await grant(party, provider)
    provider.people["1"] = {"groups": ["c"]}
    assert (await party.refresh(first)).claims["groups"] == ["c"]
    provider.end_session("1")
    with pytest.raises(ProviderRefused):
        await party.refresh(first)


async def test_where_nothing_can_be_asked_one_signs_in_again(party, provider):
    provider.refreshes = False
    provider.document = a_document(userinfo_endpoint=None)
    found = await grant(party, provider)
    with pytest.raises(ProviderRefused, match="asked again"):
        await party.refresh(found)


async def test_whose_session_is_over_is_refused_and_who_cannot_be_asked_is_not(party, provider):
    found = await grant(party, provider)
    provider.is_down = True
    with pytest.raises(ProviderUnavailable):
        await party.refresh(found)
    provider.is_down = False
    provider.end_session("1")
    with pytest.raises(ProviderRefused):
        await party.refresh(found)


async def test_a_refreshed_token_about_somebody_else_is_refused(party, provider):
    found = await grant(party, provider)
    provider.lies = {"sub": "2"}
    with pytest.raises(TokenRefused) as caught:
        await party.refresh(found)
    assert caught.value.flaw is Flaw.SUBJECT


# Out again


async def test_one_is_sent_to_sign_out_there_too(party):
    url = await party.logout_url("the-token", return_to="https://hub/bye", state="s")
    query = parse_qs(urlsplit(url).query)
    assert url.startswith(f"{ISSUER}/logout?")
    assert query == {
        "id_token_hint": ["the-token"], "client_id": [CLIENT],
        "post_logout_redirect_uri": ["https://hub/bye"], "state": ["s"],
    }  # fmt: skip
    assert "id_token_hint" not in await party.logout_url(None, return_to="https://hub", state="s")


async def test_whoever_cannot_be_signed_out_there_is_signed_out_here(party, provider):
    provider.is_down = True
    assert await party.logout_url("t", return_to="https://hub", state="s") is None


async def test_a_provider_without_it_has_no_address_for_signing_out(party, provider):
    provider.document = a_document(end_session_endpoint=None)
    assert await party.logout_url("t", return_to="https://hub", state="s") is None


async def test_a_word_of_logout_is_read_by_the_same_keys(party):
    found = await party.read_logout_token(signed(logout_claims()))
    assert (found.session, found.identifier) == ("s-1", "j-1")
    for forged in (signed(claims()), signed(logout_claims(), number=1), "x.y.z"):
        with pytest.raises(TokenRefused):
            await party.read_logout_token(forged)


# RFC 9207


@pytest.mark.parametrize(
    ("always", "said", "good"),
    [
        (False, None, True),
        (False, ISSUER, True),
        (False, "https://evil.example", False),
        (True, ISSUER, True),
        (True, None, False),
        (True, f"{ISSUER}/", False),
    ],
)
async def test_an_answer_of_another_provider_is_not_mixed_up(party, provider, always, said, good):
    provider.document = a_document(authorization_response_iss_parameter_supported=always)
    if good:
        await party.check_issuer(said)
    else:
        with pytest.raises(ProviderRefused, match="another provider"):
            await party.check_issuer(said)
