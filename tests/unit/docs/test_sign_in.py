"""The pages on signing in: each setting, gift, check and page as the code has it, and examples that work (F107 to F110)."""

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jupyterhub.app import JupyterHub
from traitlets.config import Config

from eugospawner import doors
from eugospawner.authenticator import EugoAuthenticator, to_rule
from eugospawner.oidc.mapping import (
    LONGEST_VALUE,
    MOST_VALUES,
    Gift,
    Known,
    Membership,
    membership_of,
)
from eugospawner.oidc.tokens import ALGORITHMS, LARGEST_TOKEN, Flaw
from eugospawner.policy.errors import ConfigError
from eugospawner.policy.roles import BUILTIN
from eugospawner.store.identities import REMEMBERED
from hub_services.common.clock import SystemClock

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
REFERENCE = (DOCS / "reference" / "sign-in.md").read_text("utf-8")
HOW_TO = (DOCS / "howto" / "sign-in.md").read_text("utf-8")
REQUIRED = {
    "issuer": "https://login.example.org",
    "client_id": "eugo",
    "client_secret": "secret",
    "catalog_file": str(ROOT / "helm-values" / "catalog.yaml"),
    "store_url": "sqlite:///store.sqlite",
    "now": SystemClock().now,
}
#: Those that OAuthenticator and JupyterHub have, and that do something here.
INHERITED = {
    "oauth_callback_url", "scope", "username_claim", "auth_refresh_age", "auth_refresh_strict",
    "refresh_pre_spawn", "manage_roles", "enable_auth_state", "admin_users", "blocked_users",
    "login_service", "auto_login", "http_request_kwargs", "any_allow_config", "client_id",
    "client_secret",
}  # fmt: skip
OF_THE_HUB = {"JupyterHub.shutdown_on_logout"}
KNOWN = Known(organizations={"acme"}, groups={"vision-lab"})


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OAUTH_CLIENT_ID", "OAUTH_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)


def made(**settings: Any) -> EugoAuthenticator:
    config = Config()
    config.EugoAuthenticator = Config(REQUIRED | settings)
    return EugoAuthenticator(config=config)


def section(title: str, text: str = REFERENCE) -> str:
    """Return what stands below a heading, up to the next one."""
    _, _, rest = text.partition(f"\n{title}\n")
    assert rest, title
    return re.split(r"^#+ ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def rows(title: str, first: str) -> dict[str, list[str]]:
    """Return the rows of the table below a heading whose head begins with *first*, by their first cell."""
    tables = re.findall(r"(?:^\|.*\|\n)+", section(title), re.MULTILINE)
    (table,) = (each for each in tables if each.startswith(f"| {first} |"))
    found = {}
    for line in table.splitlines()[2:]:
        key, *cells = (each.strip() for each in line.strip("|").split(" | "))
        assert key.strip("`") not in found
        found[key.strip("`")] = cells
    return found


SETTINGS = rows("## Settings", "setting")


# --- the reference ---


def test_the_reference_has_every_setting_that_does_something_and_no_other() -> None:
    own = set(EugoAuthenticator.class_own_traits(config=True))
    assert set(SETTINGS) == own | INHERITED | OF_THE_HUB
    assert set(EugoAuthenticator.class_traits(config=True)) >= own | INHERITED


@pytest.mark.parametrize("name", SETTINGS)
def test_a_default_is_that_of_the_class(name: str) -> None:
    default = SETTINGS[name][1]
    if default == "required":
        with pytest.raises(ConfigError, match=rf"EugoAuthenticator\.{name} is not set"):
            made(**{name: None if name == "now" else ""})
        return
    said = set() if default == "`set()`" else ast.literal_eval(default.strip("`"))
    if name in OF_THE_HUB:
        assert said == JupyterHub.class_traits()[name.partition(".")[2]].default_value
    else:
        assert said == getattr(made(), name)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_example_is_python(name: str) -> None:
    example = SETTINGS[name][3]
    if example not in {"none", "see below"}:
        ast.parse(example.strip("`"), mode="eval")


def test_what_is_said_to_do_nothing_is_a_setting_that_stands_in_no_row() -> None:
    (named,) = re.findall(
        r"^What else OAuthenticator has.*?\n\n", REFERENCE, re.DOTALL | re.MULTILINE
    )
    names = set(re.findall(r"`(\w+)`", named)) - {"manage_groups"}
    assert len(names) == 13
    assert names <= set(EugoAuthenticator.class_traits(config=True)) - set(SETTINGS)


def test_the_parts_of_a_rule_are_those_that_are_taken() -> None:
    parts = set(rows("## Rules", "part"))
    whole = {"claim": "a", "gives": "role", "prefix": "b", "values": {"c": "d"}}
    assert parts == set(whole)
    assert to_rule(0, whole).values == {"c": "d"}


def test_the_reference_has_every_gift() -> None:
    gifts = rows("## Rules", "gift")
    assert list(gifts) == [str(each) for each in Gift]


def test_what_somebody_without_a_role_is_stands_beside_the_gift() -> None:
    rule = to_rule(0, {"claim": "roles", "gives": "role"})
    (role,) = membership_of({}, (rule,), KNOWN).roles
    assert f"`{role}`" in rows("## Rules", "gift")["role"][2]


def test_bounds_are_those_of_the_code() -> None:
    assert f"more than {MOST_VALUES} texts or one of more than {LONGEST_VALUE} ch" in REFERENCE
    assert f"remembered for {REMEMBERED.days} days" in REFERENCE
    assert str(LARGEST_TOKEN) in rows("### Of tokens", "flaw")["too-large"][0]


def test_the_reference_has_every_check() -> None:
    checks = rows("### Of tokens", "flaw")
    assert set(checks) == {str(each) for each in Flaw}
    assert set(re.findall(r"\b(?:[REP]S\d{3}|EdDSA)\b", checks["algorithm"][0])) == ALGORITHMS


def test_the_reference_has_every_page_as_people_see_it() -> None:
    helps = [each for each in vars(doors).values() if isinstance(each, doors.Help)]
    told = {key: (int(cells[0]), cells[1]) for key, cells in rows("## Pages", "key").items()}
    assert told == {each.key: (each.status, each.title) for each in helps}
    for each in helps:
        assert f"| {each.title} |" in HOW_TO


def test_the_reference_has_every_address() -> None:
    handlers = made().get_handlers(None)
    assert set(rows("## Addresses", "address")) == {path.lstrip("/") for path, _ in handlers}


# --- the how-to ---


def blocks(language: str, text: str = HOW_TO) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


PYTHON = blocks("python")
SECTIONS = dict(re.findall(r"^## (.+?)\n(.*?)(?=^## |\Z)", HOW_TO, re.MULTILINE | re.DOTALL))
PROVIDERS = ("Keycloak", "Microsoft Entra ID", "Okta", "Google")


def assigned(block: str) -> Iterator[tuple[str, Any]]:
    """Yield what a block sets: names as in ``c.EugoAuthenticator.issuer``, and literals."""
    for statement in ast.parse(block).body:
        assert isinstance(statement, ast.Assign)
        (target,) = statement.targets
        yield ast.unparse(target).removeprefix("c."), ast.literal_eval(statement.value)


def memberships() -> list[list[dict[str, Any]]]:
    found = [value for block in PYTHON for name, value in assigned(block) if "members" in name]
    values = [yaml.safe_load(each)["hub"]["config"] for each in blocks("yaml")]
    return found + [each["EugoAuthenticator"]["memberships"] for each in values]


def test_there_are_examples_to_try() -> None:
    assert len(PYTHON) == 6
    assert len(memberships()) == 6
    assert len(blocks("json")) == len(PROVIDERS)


@pytest.mark.parametrize("block", PYTHON)
def test_a_block_sets_what_the_reference_has(block: str) -> None:
    compile(block, "jupyterhub_config.py", "exec")
    for name, _ in assigned(block):
        known = name.removeprefix("EugoAuthenticator.") in SETTINGS
        assert known or name == "JupyterHub.authenticator_class"


@pytest.mark.parametrize("block", PYTHON)
def test_the_hub_starts_with_a_block(block: str) -> None:
    words = {name.rpartition(".")[2]: value for name, value in assigned(block)}
    words.pop("authenticator_class", None)
    assert made(**words).party.provider.issuer == words.get("issuer", REQUIRED["issuer"])


@pytest.mark.parametrize("listed", memberships())
def test_rules_are_rules_and_give_what_there_is(listed: list[dict[str, Any]]) -> None:
    for number, each in enumerate(listed):
        rule = to_rule(number, each)
        if rule.gives is Gift.ROLE:
            assert rule.values
            assert set(rule.values.values()) <= set(BUILTIN)
        if rule.gives is Gift.PLATFORM_ADMIN:
            assert set((rule.values or {}).values()) == {"platform-admin"}


def test_python_and_yaml_say_the_same() -> None:
    first = dict(assigned(PYTHON[0]))
    (values,) = blocks("yaml")
    config = yaml.safe_load(values)["hub"]["config"]
    flat = {f"{part}.{name}": each for part in config for name, each in config[part].items()}
    assert flat == first


def claims_and_settings(provider: str) -> tuple[dict[str, Any], dict[str, Any]]:
    (claims,) = blocks("json", SECTIONS[provider])
    (block,) = blocks("python", SECTIONS[provider])
    return json.loads(claims), {name.rpartition(".")[2]: each for name, each in assigned(block)}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_claims_of_a_provider_become_what_its_rules_say(provider: str) -> None:
    claims, settings = claims_and_settings(provider)
    rules = [to_rule(number, each) for number, each in enumerate(settings["memberships"])]
    found = membership_of(claims, rules, KNOWN)
    groups = frozenset() if provider == "Google" else frozenset({"vision-lab"})
    assert found == Membership(
        organization="acme",
        roles=("member",),
        groups=groups,
        manages=frozenset(),
        is_platform_admin=provider == "Keycloak",
        says=frozenset({"organization", "role"} | ({"groups"} if groups else set())),
        doubts=(),
    )


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_claims_of_a_provider_have_the_issuer_and_a_name(provider: str) -> None:
    claims, settings = claims_and_settings(provider)
    authenticator = made(**settings)
    assert claims["iss"] == settings["issuer"]
    assert authenticator.name_in(claims) == claims[settings["username_claim"]]


def test_a_stranger_at_google_may_start_nothing() -> None:
    _, settings = claims_and_settings("Google")
    rules = [to_rule(number, each) for number, each in enumerate(settings["memberships"])]
    found = membership_of({"email": "mallory@example.org"}, rules, KNOWN)
    assert (found.organization, found.roles) == ("", ("viewer",))


def test_addresses_are_those_of_the_hub() -> None:
    paths = {path for path, _ in made().get_handlers(None)}
    named = set(re.findall(r"`https://HUB/hub(/[\w/-]*)`", HOW_TO))
    assert named - {"/"} <= paths
    assert "/oidc/backchannel-logout" in named
