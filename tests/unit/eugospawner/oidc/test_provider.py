"""The provider's own document: who may say where our secrets go."""

import pytest

from eugospawner.oidc.kept import PATIENCE, TIME_TO_LIVE
from eugospawner.oidc.provider import WELL_KNOWN, Metadata, Provider, check_issuer, to_metadata
from eugospawner.oidc.tokens import Flaw, TokenRefused
from eugospawner.policy.errors import ConfigError, SignInError
from tests.factories.providers import a_document
from tests.factories.tokens import ISSUER, claims, jwk, signed


def test_the_document_says_where_everything_is():
    assert to_metadata(a_document(), ISSUER) == Metadata(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/auth",
        token_endpoint=f"{ISSUER}/token",
        userinfo_endpoint=f"{ISSUER}/me",
        jwks_uri=f"{ISSUER}/certs",
        end_session_endpoint=f"{ISSUER}/logout",
        takes_basic=True,
        names_issuer=False,
    )


def test_what_a_provider_need_not_have_may_be_absent():
    least = to_metadata(
        a_document(
            userinfo_endpoint=None,
            end_session_endpoint=None,
            id_token_signing_alg_values_supported=None,
            token_endpoint_auth_methods_supported=None,
        ),
        ISSUER,
    )
    assert (least.userinfo_endpoint, least.end_session_endpoint) == (None, None)
    assert least.takes_basic  # Discovery, 3: the default
    post = a_document(token_endpoint_auth_methods_supported=["client_secret_post"])
    assert not to_metadata(post, ISSUER).takes_basic


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
def test_what_must_be_there_is_named_if_it_is_not(name):
    with pytest.raises(SignInError, match=f"has no {name}"):
        to_metadata(a_document(**{name: None}), ISSUER)


@pytest.mark.parametrize(
    "name",
    [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "userinfo_endpoint",
        "end_session_endpoint",
    ],
)
@pytest.mark.parametrize(
    "value",
    [
        "http://login.example.org/x", "ftp://login.example.org", "//login.example.org", "/token", "",
        "https://", "https:///x", "https://user:secret@login.example.org", "https://a/#x", 7, [], {},
        True, " https://a", "https://a:99999999/", "javascript:alert(1)", "http://127.0.0.1.evil.example/",
        "http://localhost.evil.example", "https://[::1", "HTTP://evil.example",
    ],
)  # fmt: skip
def test_no_secret_goes_over_an_open_line_or_nowhere(name, value):
    with pytest.raises(SignInError, match=name):
        to_metadata(a_document(**{name: value}), ISSUER)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "[::1]", "localhost"])
def test_on_this_machine_it_may_do_without_tls(host):
    issuer = f"http://{host}:3000"
    document = a_document(issuer=issuer, token_endpoint=f"{issuer}/token")
    assert to_metadata(document, issuer).token_endpoint == f"{issuer}/token"


@pytest.mark.parametrize("said", [ISSUER.upper(), "https://evil.example", None, 7, [ISSUER], ""])
def test_another_issuer_s_document_is_not_believed(said):
    with pytest.raises(SignInError, match="names another issuer"):
        to_metadata(a_document(issuer=said), ISSUER)


def test_a_missing_slash_is_named_with_the_remedy():
    with pytest.raises(SignInError, match=r"set EugoAuthenticator.issuer to 'https.*acme/'"):
        to_metadata(a_document(issuer=f"{ISSUER}/"), ISSUER)


@pytest.mark.parametrize("algorithms", [["none"], ["HS256"], [], [7, None, []]])
def test_a_provider_that_signs_by_nothing_that_holds_is_named(algorithms):
    with pytest.raises(SignInError, match="RS256 or ES256"):
        to_metadata(a_document(id_token_signing_alg_values_supported=algorithms), ISSUER)


@pytest.mark.parametrize("document", [None, [], "x", 7])
def test_what_is_no_document_is_told(document):
    with pytest.raises(SignInError, match="no JSON object"):
        to_metadata(document, ISSUER)


@pytest.mark.parametrize(
    "issuer", ["", "login.example.org", "http://login.example.org", f"{ISSUER}?a=b"]
)
def test_an_issuer_that_can_be_none_is_refused_at_the_start(issuer):
    with pytest.raises(ConfigError, match=r"EugoAuthenticator\.issuer"):
        check_issuer(issuer)


class Web:
    """What stands at some addresses."""

    def __init__(self):
        self.pages = {
            ISSUER + WELL_KNOWN: a_document(),
            f"{ISSUER}/certs": {"keys": [jwk("RSA")]},
        }
        self.asked = []
        self.seconds = 0.0

    async def fetch(self, address):
        self.asked.append(address)
        if address not in self.pages:
            message = f"{address} does not answer"
            raise SignInError(message)
        return self.pages[address]


@pytest.fixture
def web():
    return Web()


@pytest.fixture
def provider(web):
    return Provider(ISSUER, fetch=web.fetch, elapsed=lambda: web.seconds)


async def test_the_document_is_read_once_an_hour(provider, web):
    for _ in range(3):
        await provider.metadata()
    assert web.asked == [ISSUER + WELL_KNOWN]
    web.seconds += TIME_TO_LIVE.total_seconds()
    web.pages[ISSUER + WELL_KNOWN] = a_document(token_endpoint=f"{ISSUER}/new")
    assert (await provider.metadata()).token_endpoint == f"{ISSUER}/new"


async def test_a_document_that_became_another_s_is_not_taken_over(provider, web):
    before = await provider.metadata()
    web.seconds += TIME_TO_LIVE.total_seconds()
    web.pages[ISSUER + WELL_KNOWN] = a_document(issuer="https://evil.example")
    assert await provider.metadata() == before


async def test_a_key_is_found_through_the_document(provider, web):
    key = await provider.key_of(signed(claims()))
    assert key.name == "RSA-0"
    assert web.asked == [ISSUER + WELL_KNOWN, f"{ISSUER}/certs"]


async def test_a_key_that_is_nobody_s_is_refused(provider):
    with pytest.raises(TokenRefused) as caught:
        await provider.key_of(signed(claims(), number=1))
    assert caught.value.flaw is Flaw.UNKNOWN_KEY


async def test_what_is_no_token_asks_nobody(provider, web):
    with pytest.raises(TokenRefused):
        await provider.key_of("no token")
    assert not web.asked


async def test_while_the_provider_is_away_it_is_asked_twice_a_minute(provider, web):
    web.pages.clear()
    for _ in range(120):
        with pytest.raises(SignInError):
            await provider.metadata()
        web.seconds += 0.5
    assert len(web.asked) == 60 / PATIENCE.total_seconds()
