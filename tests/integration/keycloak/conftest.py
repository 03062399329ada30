"""A real Keycloak, an organization's realm in it, and a real hub that signs people in there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from requests.cookies import RequestsCookieJar

from scripts.local import keycloak, ports
from scripts.local.environment import Environment
from scripts.local.trouble import Trouble
from tests.integration.keycloak.keycloaks import CLIENT_SECRET, Realm, running
from tests.integration.sso.conftest import ROOT, Hub, signing_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.keycloak.keycloaks import Keycloak, Person


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Keycloak]:
    environment = Environment(ROOT)
    if missing := keycloak.lacking(environment.share):
        pytest.skip(missing)
    try:
        keycloak.install(environment)
    except Trouble as trouble:
        pytest.skip(f"Keycloak could not be had: {trouble}")
    with running(environment.share, tmp_path_factory.mktemp("keycloak")) as started:
        yield started


@pytest.fixture(scope="session")
def realm(server: Keycloak) -> Realm:
    (port,) = ports.choose(1)
    made = Realm(server=server, hub=f"http://127.0.0.1:{port}")
    made.set_up()
    return made


@pytest.fixture(scope="session")
def hub(realm: Realm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    with signing_in(
        tmp_path_factory.mktemp("hub"),
        realm.hub,
        issuer=realm.issuer,
        secret=CLIENT_SECRET,
        config=Path(__file__).with_name("hub_config.py"),
    ) as running:
        yield running


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    """Yield a browser without scripts."""
    with new_browser() as session:
        yield session


@pytest.fixture
def other_browser() -> Iterator[requests.Session]:
    """Yield another, on another machine."""
    with new_browser() as session:
        yield session


def new_browser() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.cookies = Cookies()
    return session


class Cookies(RequestsCookieJar):
    """As browsers have it: the line to this machine is a safe one, for which Keycloak's cookies are."""

    def set_cookie(self, cookie, *arguments, **keywords):
        cookie.secure = False
        return super().set_cookie(cookie, *arguments, **keywords)


@pytest.fixture
def jane(realm: Realm) -> Person:
    """Somebody new there: of acme, in the vision lab, on the staff."""
    return realm.add()
