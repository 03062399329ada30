"""A real hub and a provider that lies if it is told to, both on this machine."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from eugospawner.oidc.relying import ProviderUnavailable, Request
from eugospawner.store import upgrade
from hub_services.common.clock import SystemClock
from scripts.local import ports, seed
from tests.factories.providers import SECRET, FakeProvider, a_document

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
CATALOG = ROOT / "helm-values" / "catalog.yaml"
TOKEN = "t" * 32
_PATIENCE = 60


class _Anything(web.RequestHandler):
    """Hands every request to the fake, and signs in who the browser says it is."""

    def check_xsrf_cookie(self) -> None:
        """Accept everything."""

    async def get(self) -> None:
        await self._answer(None)

    async def post(self) -> None:
        form = {name: values[-1].decode() for name, values in self.request.body_arguments.items()}
        await self._answer(form)

    async def _answer(self, form: dict[str, str] | None) -> None:
        server: Server = self.settings["server"]
        url = f"{server.issuer}{self.request.uri}"
        if self.request.path == "/auth":
            server.visited.append(url)
            code, state = server.fake.sign_in(url, server.subject)
            back = parse_qs(urlsplit(url).query)["redirect_uri"][0]
            self.redirect(f"{back}?code={code}&state={state}&iss={server.issuer}")
            return
        try:
            answer = await server.fake(Request(url=url, headers=self.request.headers, form=form))
        except ProviderUnavailable:
            self.set_status(503)
            return
        self.set_status(answer.status)
        self.set_header("Content-Type", "application/json")
        if answer.body is not None:
            import json  # noqa: PLC0415 - here alone

            self.finish(json.dumps(answer.body))


@dataclass
class Server:
    """The provider, at an address; *subject* signs in next."""

    fake: FakeProvider = field(default_factory=FakeProvider)
    subject: str = "1"
    visited: list[str] = field(default_factory=list)
    issuer: str = ""

    def start(self) -> None:
        self.loop = asyncio.new_event_loop()
        ready = threading.Event()

        def serve() -> None:
            asyncio.set_event_loop(self.loop)
            sockets = bind_sockets(0, "127.0.0.1")
            self.issuer = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
            self._http = HTTPServer(web.Application([(r"/.*", _Anything)], server=self))
            self._http.add_sockets(sockets)
            ready.set()
            self.loop.run_forever()

        self._thread = threading.Thread(target=serve, daemon=True)
        self._thread.start()
        assert ready.wait(10)
        self.reset()

    def reset(self) -> None:
        """Have it be honest, and Jane be who signs in."""
        document = {
            key: value.replace("https://login.example.org/realms/acme", self.issuer)
            if isinstance(value, str)
            else value
            for key, value in a_document().items()
        }
        jane = {
            "preferred_username": "jane", "org": "acme", "groups": ["/eugo/vision-lab"],
            "roles": ["staff"],
        }  # fmt: skip
        self.fake = FakeProvider(
            people={
                "1": jane,
                "2": {"preferred_username": "jane"},
                "3": {**jane, "preferred_username": "omar"},
            },
            document=document,
            issuer=self.issuer,
            now=SystemClock().now(),
        )
        self.subject = "1"

    def stop(self) -> None:
        async def end() -> None:
            self._http.stop()
            await self._http.close_all_connections()

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(10)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()


@dataclass
class Hub:
    """The hub's process."""

    url: str
    folder: Path
    process: subprocess.Popen[bytes]

    def api(self, method: str, path: str, **keywords: Any) -> requests.Response:
        """Ask its API as a script that may do everything to people."""
        return requests.request(
            method, f"{self.url}/hub/api{path}", headers={"Authorization": f"token {TOKEN}"},
            timeout=30, **keywords,
        )  # fmt: skip

    def later(self, duration: timedelta) -> None:
        """Move the authenticator's clock."""
        (self.folder / "later").write_text(str(duration.total_seconds()))

    @property
    def log(self) -> str:
        """All that it has written."""
        return (self.folder / "log").read_text()


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    started = Server()
    started.start()
    yield started
    started.stop()


@contextlib.contextmanager
def signing_in(folder: Path, url: str, *, issuer: str, secret: str, config: Path) -> Iterator[Hub]:
    """Run a hub at *url* that signs people in at *issuer*, on a store with the demo's people."""
    store = f"sqlite:///{folder / 'store.sqlite'}"
    upgrade(store)
    asyncio.run(seed.sow(store, CATALOG, SystemClock().now()))
    (folder / "later").write_text("0")
    environment = {
        **os.environ, "SSO_FOLDER": str(folder), "SSO_URL": url, "SSO_TOKEN": TOKEN,
        "SSO_ISSUER": issuer, "SSO_SECRET": secret, "SSO_CATALOG": str(CATALOG),
        "JUPYTERHUB_CRYPT_KEY": "00" * 32, "PYTHONPATH": str(ROOT), "NO_PROXY": "*",
    }  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "--debug", "--config", str(config)],
            cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        _wait_for(url, process, folder)
        yield Hub(url=url, folder=folder, process=process)
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def hub(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    (port,) = ports.choose(1)
    with signing_in(
        tmp_path_factory.mktemp("hub"),
        f"http://127.0.0.1:{port}",
        issuer=server.issuer,
        secret=SECRET,
        config=Path(__file__).with_name("hub_config.py"),
    ) as running:
        yield running


def _wait_for(url: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    end = time.monotonic() + _PATIENCE
    while time.monotonic() < end and process.poll() is None:
        try:
            if requests.get(f"{url}/hub/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.1)
    raise AssertionError((folder / "log").read_text())


@pytest.fixture(autouse=True)
def honest(request: pytest.FixtureRequest) -> None:
    """Begin each test with an honest provider and clocks that agree."""
    request.getfixturevalue("server").reset()
    request.getfixturevalue("hub").later(timedelta())


@pytest.fixture
def browser() -> Iterator[requests.Session]:
    """Yield a browser without scripts."""
    with requests.Session() as session:
        session.trust_env = False
        yield session
