"""A real Keycloak, an organization's realm in it, and a real hub that signs people in there."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import requests
from requests.cookies import RequestsCookieJar

from eugospawner.store import upgrade
from hub_services.common.clock import SystemClock
from scripts.local import keycloak, ports, seed
from scripts.local.environment import Environment
from scripts.local.trouble import Trouble
from tests.integration.keycloak.keycloaks import CLIENT_SECRET, Realm, running, until
from tests.integration.sso.conftest import CATALOG, ROOT, TOKEN, Hub

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
    folder = tmp_path_factory.mktemp("hub")
    store = f"sqlite:///{folder / 'store.sqlite'}"
    upgrade(store)
    asyncio.run(seed.sow(store, CATALOG, SystemClock().now()))
    (folder / "later").write_text("0")
    environment = {
        **os.environ, "SSO_FOLDER": str(folder), "SSO_URL": realm.hub, "SSO_TOKEN": TOKEN,
        "SSO_ISSUER": realm.issuer, "SSO_SECRET": CLIENT_SECRET, "SSO_CATALOG": str(CATALOG),
        "JUPYTERHUB_CRYPT_KEY": "00" * 32, "PYTHONPATH": str(ROOT), "NO_PROXY": "*",
    }  # fmt: skip
    config = Path(__file__).with_name("hub_config.py")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--debug", "--config", str(config)],
            cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    found = Hub(url=realm.hub, folder=folder, process=process)
    try:
        until(lambda: process.poll() is not None or _is_up(found.url), seconds=60)
        assert process.poll() is None, found.log
        yield found
    finally:
        process.terminate()
        process.wait(30)


def _is_up(url: str) -> bool:
    try:
        return requests.get(f"{url}/hub/health", timeout=5).ok
    except requests.ConnectionError:
        return False


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
