"""Signing in: whose account, what it makes of them, and how soon what changes there holds here."""

import asyncio
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest
from traitlets.config import Config

from eugospawner import settings
from eugospawner.authenticator import AccountTaken, EugoAuthenticator, to_rule
from eugospawner.oidc.relying import ProviderRefused, Response
from eugospawner.oidc.tokens import TokenRefused
from eugospawner.policy import roles
from eugospawner.policy.errors import ConfigError, SignInError
from eugospawner.store import upgrade
from scripts.local import seed
from tests.factories.providers import SECRET, FakeProvider
from tests.factories.tokens import CLIENT, ISSUER, NOON

SAMPLE = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"
CALLBACK = "https://hub.example.org/hub/oauth_callback"
RULES = [
    {"claim": "org", "gives": "organization"},
    {"claim": "groups", "gives": "group", "prefix": "/eugo/"},
    {"claim": "roles", "gives": "role", "values": {"lead": "admin", "staff": "member"}},
    {"claim": "roles", "gives": "platform-admin", "values": {"operator": "platform-admin"}},
]
JANE = {
    "preferred_username": "Jane",
    "org": "acme",
    "groups": ["/eugo/vision-lab"],
    "roles": ["staff"],
}


@pytest.fixture
def provider():
    return FakeProvider(people={"1": dict(JANE), "2": {"preferred_username": "jane"}})


@pytest.fixture(scope="session")
def sown(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    upgrade(f"sqlite:///{path}")
    asyncio.run(seed.sow(f"sqlite:///{path}", SAMPLE, NOON - timedelta(hours=1)))
    return path


@pytest.fixture
def configured(sown, tmp_path, provider):
    path = tmp_path / "store.sqlite"
    path.write_bytes(sown.read_bytes())

    def make(**changes):
        config = Config()
        config.EugoAuthenticator = Config(
            {
                "issuer": ISSUER,
                "client_id": CLIENT,
                "client_secret": SECRET,
                "oauth_callback_url": CALLBACK,
                "memberships": RULES,
                "catalog_file": str(SAMPLE),
                "store_url": f"sqlite:///{path}",
                "now": lambda: provider.now,
            }
            | changes
        )

        class Authenticator(EugoAuthenticator):
            async def _send(self, request):
                return await provider(request)

        return Authenticator(config=config)

    return make


@pytest.fixture
async def authenticator(configured):
    made = configured()
    yield made
    await (await made.store()).close()


class User:
    """As much of the hub's as is asked for."""

    def __init__(self, model):
        self.name, self.state = model["name"], model["auth_state"]
        self.saved = 0

    async def get_auth_state(self):
        await asyncio.sleep(0)
        return self.state

    async def save_auth_state(self, state):
        self.saved += 1
        self.state = state


async def sign_in(authenticator, provider, subject="1"):
    words = {"nonce": "nonce", "code_verifier": "v" * 43}
    url = await authenticator.party.authorization_url(
        redirect_uri=CALLBACK, state="s", nonce=words["nonce"], verifier=words["code_verifier"]
    )
    code, _ = provider.sign_in(url, subject)
    handler = SimpleNamespace(
        sign_in_state=lambda: words,
        get_argument=lambda _: code,
        invitation=str,
        find_user=lambda _: None,
    )
    return await authenticator.authenticate(handler)


async def person(authenticator, name):
    changes = await (await authenticator.store()).changes.since(0)
    read = settings.load(SAMPLE, {(each.section, each.key): each.document for each in changes})
    return read.directory.people.get(name)


async def test_who_signs_in_is_enrolled_as_the_provider_says(authenticator, provider):
    model = await sign_in(authenticator, provider)
    assert (model["name"], model["admin"]) == ("jane", False)
    found = await person(authenticator, "jane")
    assert (found.organization, found.roles, found.groups) == (
        "acme", (roles.MEMBER,), {"vision-lab"},
    )  # fmt: skip
    store = await authenticator.store()
    assert await store.identities.username_by(ISSUER, "session-of-1") == "jane"


async def test_a_name_that_is_given_to_somebody_else_opens_no_account(authenticator, provider):
    await sign_in(authenticator, provider)
    with pytest.raises(AccountTaken, match="somebody else's account"):
        await sign_in(authenticator, provider, "2")
    provider.people["1"]["preferred_username"] = "jane-smith"
    assert (await sign_in(authenticator, provider))[
        "name"
    ] == "jane"  # the account is the subject's


async def test_a_role_that_is_taken_away_is_gone_at_the_next_refresh(authenticator, provider):
    provider.people["1"]["roles"] = ["operator", "lead"]
    model = await sign_in(authenticator, provider)
    assert model["admin"] is True
    assert (await person(authenticator, "jane")).roles == (roles.ADMIN,)
    provider.people["1"]["roles"] = []
    provider.now += timedelta(minutes=5)
    again = await authenticator.refresh_user(User(model))
    assert again["admin"] is False  # not None: the hub would keep it
    assert (await person(authenticator, "jane")).roles == (roles.VIEWER,)


async def test_who_is_no_more_there_has_to_sign_in_again(authenticator, provider):
    model = await sign_in(authenticator, provider)
    provider.end_session("1")
    provider.now += timedelta(minutes=5)
    assert await authenticator.refresh_user(User(model)) is False


async def test_while_the_provider_is_away_people_stay_for_the_grace_and_no_longer(
    authenticator, provider
):
    user = User(await sign_in(authenticator, provider))
    provider.is_down = True
    for minutes, stays in ((5, True), (60, True), (61, False)):
        provider.now = NOON + timedelta(minutes=minutes)
        assert await authenticator.refresh_user(user) is stays
    provider.is_down = False
    assert (await authenticator.refresh_user(user))["name"] == "jane"


async def test_a_browser_that_asks_ten_times_at_once_spends_one_refresh_token(
    authenticator, provider
):
    user = User(await sign_in(authenticator, provider))
    provider.now += timedelta(minutes=5)
    answers = await asyncio.gather(*(authenticator.refresh_user(user) for _ in range(10)))
    assert [answer is True for answer in answers].count(False) == 1
    assert False not in answers
    assert user.saved == 1
    provider.now += timedelta(minutes=5)
    assert await authenticator.refresh_user(user)


async def test_a_spent_refresh_token_is_not_lost_when_the_store_fails(
    authenticator, provider, monkeypatch
):
    user = User(await sign_in(authenticator, provider))
    provider.now += timedelta(minutes=5)
    store = await authenticator.store()
    await store.close()
    model = await authenticator.refresh_user(user)
    assert (model["name"], model["admin"]) == ("jane", None)  # they stay what they were
    assert user.state["refresh_token"] == model["auth_state"]["refresh_token"]
    monkeypatch.setattr(authenticator._store, "_task", None)  # the store is there again
    provider.now += timedelta(minutes=5)
    assert (await authenticator.refresh_user(user))["admin"] is False


async def test_who_has_no_tokens_here_signs_in(authenticator):
    for state in (None, {}, {"access_token": "of another authenticator"}):
        user = User({"name": "jane", "auth_state": state})
        assert await authenticator.refresh_user(user) is False


@pytest.mark.parametrize(
    "name",
    [
        None,
        "",
        7,
        True,
        ["jane"],
        {"a": 1},
        "a/b",
        "ja\u202ene",
        "ja\0ne",
        "ｊane",
        "a" * 600,
        "jane\n",
    ],
)
async def test_a_name_that_can_be_none_lets_nobody_in(authenticator, provider, name):
    provider.people["1"]["preferred_username"] = name
    with pytest.raises(SignInError):
        await sign_in(authenticator, provider)


@pytest.mark.parametrize(
    ("said", "good"),
    [(True, True), (False, False), (None, False), ("true", False), (1, False)],
)
async def test_an_address_is_a_name_only_if_it_is_verified(configured, provider, said, good):
    made = configured(username_claim="email")
    provider.people["1"] |= {"email": "Jane@Example.org", "email_verified": said}
    if good:
        assert (await sign_in(made, provider))["name"] == "jane@example.org"
    else:
        with pytest.raises(SignInError, match="not verified your e-mail"):
            await sign_in(made, provider)
    await (await made.store()).close()


async def test_without_rules_admins_say_what_people_are(configured, provider):
    made = configured(memberships=[])
    made.admin_users = {"jane"}
    assert (await sign_in(made, provider))["admin"] is True
    assert await person(made, "jane") is None
    await (await made.store()).close()


async def test_odd_claims_let_in_with_the_least_and_are_in_the_audit(authenticator, provider):
    provider.people["1"] |= {"org": "initech-2", "groups": "x" * 9000, "roles": {"operator": True}}
    model = await sign_in(authenticator, provider)
    assert model["admin"] is False
    found = await person(authenticator, "jane")
    assert (found.organization, found.roles) == ("", (roles.VIEWER,))
    lines = await (await authenticator.store()).audit.lines(about="people.jane")
    assert [each.action for each in lines] == ["sign-in", "change"]
    assert "gives nothing" in lines[1].reason
    # Also at the next sign-in, which changes nothing any more.
    await sign_in(authenticator, provider)
    (line, *_) = await (await authenticator.store()).audit.lines(about="people.jane")
    assert (line.action, len(line.detail["doubts"])) == ("sign-in", 3)


async def test_groups_that_were_left_out_are_told_to_whom_they_concern(authenticator, provider):
    del provider.people["1"]["groups"]
    provider.people["1"]["hasgroups"] = True
    with pytest.raises(SignInError, match="too many"):
        await sign_in(authenticator, provider)


async def test_what_is_not_believed_lets_nobody_in(authenticator, provider):
    provider.lies = {"aud": "other"}
    with pytest.raises(TokenRefused):
        await sign_in(authenticator, provider)
    provider.lies = {}
    provider.answers["/token"] = Response(status=400, body={"error": "invalid_grant"})
    with pytest.raises(ProviderRefused):
        await sign_in(authenticator, provider)


async def test_whoever_the_provider_lets_in_is_let_in(authenticator, provider):
    model = await sign_in(authenticator, provider)
    assert await authenticator.check_allowed("jane", model)


@pytest.mark.parametrize(
    "setting", ["issuer", "client_id", "client_secret", "catalog_file", "store_url", "now"]
)
def test_a_missing_setting_is_named(configured, setting):
    with pytest.raises(ConfigError, match=rf"EugoAuthenticator\.{setting} is not set"):
        configured(**{setting: None if setting == "now" else ""})


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        ({}, "claim"),
        ({"claim": "groups"}, "gives"),
        ({"claim": "", "gives": "group"}, "claim"),
        ({"claim": 7, "gives": "group"}, "claim"),
        ({"claim": "a..b", "gives": "group"}, "claim"),
        ({"claim": "a", "gives": "everything"}, "gives"),
        ({"claim": "a", "gives": "group", "prefix": 7}, "prefix"),
        ({"claim": "a", "gives": "group", "values": ["x"]}, "values"),
        ({"claim": "a", "gives": "group", "values": {"x": 7}}, "values"),
        ({"claim": "a", "gives": "group", "value": {}}, "value"),
    ],
)
def test_a_rule_that_is_none_is_named_with_the_remedy(rule, named):
    with pytest.raises(ConfigError, match=rf"memberships\[3\]\.{named} "):
        to_rule(3, rule)


def test_a_claim_with_dots_in_its_name_is_written_as_a_list():
    assert to_rule(0, {"claim": ["https://x.y/roles"], "gives": "role"}).claim == (
        "https://x.y/roles",
    )
    assert to_rule(0, {"claim": "realm_access.roles", "gives": "role"}).claim == (
        "realm_access",
        "roles",
    )


def test_a_map_of_names_would_move_people_to_others_accounts(configured):
    with pytest.raises(ConfigError, match="username_map"):
        configured(username_map={"jane": "ada"})
