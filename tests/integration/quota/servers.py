"""The quota service on a port of this machine, and a hub that knows some tokens."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import json
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from jupyterhub.services.auth import HubOAuth
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from eugospawner import scopes
from eugospawner.links import hash_of
from eugospawner.slugs import slug_of
from eugospawner.source import Source
from eugospawner.store import open_store, upgrade
from eugospawner.store.invitations import Invitation
from hub_services.common.process import Opened
from hub_services.common.web import Auth, close_hub_connections
from hub_services.quota.__main__ import Settings, make_app, make_sweeper
from hub_services.quota.office import Office
from hub_services.quota.service import Swept
from scripts.local import seed

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator
    from pathlib import Path

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
PREFIX = "/services/quota/"
ACCESS = "access:services!service=quota"
ALSO = "access:services!service=workspaces"
EXPORT = "access:services!service=export"

#: Token → what the hub says of it.
TOKENS: dict[str, dict[str, Any]] = {
    "t-ada": {"kind": "user", "name": "ada", "admin": True, "scopes": [ACCESS, ALSO, EXPORT, "admin-ui"]},
    # An admin's token that was made for less.
    "t-ada-small": {"kind": "user", "name": "ada", "admin": True, "scopes": [ACCESS, ALSO, EXPORT]},
    "t-script": {
        "kind": "service", "name": "script", "admin": False,
        "scopes": ["access:services", "admin:users", "read:metrics"],
    },
    **{
        f"t-{name}": {
            "kind": "user", "name": name, "admin": False, "session_id": f"of-{name}",
            "scopes": [ACCESS, ALSO, EXPORT, *scopes.UNFILTERED],
        }
        for name in ("alice", "bob", "carol", "dave", "new")
    },
    # Bob's token for looking at what he uses, and Alice's that is good for her own project alone.
    "t-bob-small": {
        "kind": "user", "name": "bob", "admin": False, "session_id": None,
        "scopes": [ACCESS, ALSO, EXPORT, "custom:eugo:see-usage!user=bob"],
    },
    "t-alice-small": {
        "kind": "user", "name": "alice", "admin": False, "session_id": "of-another-service",
        "scopes": [ACCESS, ALSO, EXPORT, "custom:eugo:bind-plan!group=project:course"],
    },
    "t-nowhere": {"kind": "user", "name": "alice", "admin": False, "scopes": ["self"]},
}  # fmt: skip


class Clock:
    """Stands still."""

    ahead = timedelta()

    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time


class User(web.RequestHandler):
    """Who a token belongs to, as JupyterHub says it."""

    def get(self) -> None:
        if self.settings["hub"].is_down:
            self.set_status(503)
            return
        token = self.request.headers.get("Authorization", "").partition(" ")[2]
        model = TOKENS.get(token)
        if model is None or token in self.settings["hub"].revoked:
            self.set_status(403)
            self.finish({"message": "no"})
            return
        self.finish(model)


@dataclass
class Answer:
    """What was answered."""

    status: int
    headers: Any
    text: str

    @property
    def body(self) -> Any:
        return json.loads(self.text)


@dataclass
class Running:
    """The service in a thread of its own, until `stop`."""

    folder: Path
    catalog: Path
    store_url: str
    clock: Clock = field(default_factory=Clock)
    is_down: bool = False
    silence: timedelta = timedelta()
    mail: Any = None
    public_url: str = "https://hub.example.org"
    revoked: set[str] = field(default_factory=set)
    url: str = ""
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)
    store: Any = None
    sweeper: Any = None
    opened: Any = None
    service: str = "quota"

    @property
    def prefix(self) -> str:
        """Below which address of the hub it is."""
        return f"/services/{self.service}/"

    def __post_init__(self) -> None:
        ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(ready,), daemon=True)
        self._thread.start()
        assert ready.wait(30)

    def _serve(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._start())
        ready.set()
        self.loop.run_forever()

    async def _start(self) -> None:
        doors = [("/hub/api/user", User), *self.hub_doors()]
        hub = self.hub = HTTPServer(web.Application(doors, hub=self))
        sockets = bind_sockets(0, "127.0.0.1")
        hub.add_sockets(sockets)
        port = sockets[0].getsockname()[1]
        self.hub_url = f"http://127.0.0.1:{port}/hub/api"
        HubOAuth.clear_instance()
        Auth.clear_instance()
        auth = Auth.instance()
        auth.api_url = f"http://127.0.0.1:{port}/hub/api"
        auth.api_token = "service"
        auth.hub_prefix = "/hub/"
        auth.base_url = self.prefix
        auth.oauth_client_id = f"service-{self.service}"
        auth.access_scopes = {"access:services", f"access:services!service={self.service}"}
        self.opened = Opened(self.store_url)
        self.store = await self.opened()
        self.server = HTTPServer(await self.application())
        sockets = bind_sockets(0, "127.0.0.1")
        self.server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"

    def hub_doors(self) -> list[Any]:
        """Return what the hub has beside who somebody is."""
        return []

    async def application(self) -> web.Application:
        """Return the service."""
        office = Office(
            source=copy.copy(_source(self.catalog)),  # it replaces what it has, and mends nothing
            open_store=self.opened,
            clock=self.clock,
            slug=slug_of,
        )

        async def sweep() -> Swept:
            return Swept(acted=True, running=3, gpu_percent=75)

        self.sweeper = make_sweeper(sweep, self.clock, lambda: self.silence)
        settings = Settings(
            service_url="",
            prefix=PREFIX,
            database_url=self.store_url,
            catalog=self.catalog,
            namespace="eugo",
            unavailable={},
            public_url=self.public_url,
        )
        return make_app(
            settings, office=office, sweeper=self.sweeper, store=self.opened, mail=self.mail
        )

    async def close(self) -> None:
        """Close what the service opened beside its store."""

    def run(self, work: Awaitable[Any]) -> Any:
        """Return what *work* returns, run in the service's loop."""

        async def awaited() -> Any:
            return await work

        return asyncio.run_coroutine_threadsafe(awaited(), self.loop).result(30)

    def stop(self) -> None:
        """End it."""

        async def end() -> None:
            await self.close()
            for server in (self.server, self.hub):
                server.stop()
                await server.close_all_connections()
            # The hub is asked through connections that are kept open for the next request.
            await close_hub_connections()
            await self.opened.aclose()

        self.run(end())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(10)
        self.loop.close()

    def ask(
        self,
        method: str,
        path: str,
        body: object = None,
        *,
        token: str | None = "t-ada",  # noqa: S107 - a test's
        headers: dict[str, str] | None = None,
        api: bool = True,
    ) -> Answer:
        """Ask for *path* of the API, or of the pages; bytes are sent as they are."""
        sent = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.url}{self.prefix}{'api/v1' if api else ''}{path}", data=sent, method=method
        )
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            request.add_header(name, value)
        if token is not None:
            request.add_header("Authorization", f"token {token}")
        opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=30) as answer:
                return Answer(answer.status, answer.headers, answer.read().decode())
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read().decode())


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        return None


@cache
def _source(catalog: Path) -> Source:
    """Return the settings of the file, read once: it takes longer than the rest of a test."""
    return Source(catalog, kinds={}, images={})


def sow(catalog: Path, store_url: str) -> None:
    """Have the store say what the demo shows."""
    upgrade(store_url)
    asyncio.run(seed.sow(store_url, catalog, NOW - timedelta(hours=1)))
    asyncio.run(invite_somebody(store_url))


async def invite_somebody(store_url: str) -> None:
    """Have an invitation be open, whose id and token are known."""
    store = await open_store(store_url)
    invitation = Invitation(
        id="known",
        email="known@example.org",
        organization="acme",
        roles=("member",),
        quotas=(),
        created_by="alice",
        created_at=NOW,
        expires_at=NOW + timedelta(days=7),
    )
    await store.invitations.add(invitation, token_hash=hash_of("known-token"))
    await store.close()


@contextlib.contextmanager
def serving(
    folder: Path, catalog: Path, store_url: str, *, kind: type[Running] | None = None, **words: Any
) -> Iterator[Any]:
    """Run the service on a store that is there."""
    running = (kind or Running)(folder=folder, catalog=catalog, store_url=store_url, **words)
    try:
        yield running
    finally:
        running.stop()
