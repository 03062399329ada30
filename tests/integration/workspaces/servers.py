"""The workspaces service on a port of this machine, and a hub that starts and stops as it is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp
from tornado import web

from eugospawner.slugs import slug_of
from eugospawner.source import Source
from hub_services.common.hub import Hub
from hub_services.common.newest import Newest
from hub_services.common.serving import Place
from hub_services.workspaces.__main__ import make_app, make_sweeper
from hub_services.workspaces.anchors import AnchorFile
from hub_services.workspaces.auditing import Auditing
from hub_services.workspaces.ending import Terminator
from hub_services.workspaces.office import Office
from hub_services.workspaces.relay import Relay
from tests.factories.sessions import a_demand
from tests.integration.quota.servers import TOKENS, Running
from tests.unit.hub_services.reaper.worlds import a_new_session
from tests.unit.hub_services.workspaces.fakes import FakeCluster

if TYPE_CHECKING:
    from pathlib import Path


@dataclass
class HubState:
    """What the hub was asked, and how it answers."""

    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    #: Status and message instead of doing it.
    refuses: tuple[int, str] | None = None
    servers: set[tuple[str, str]] = field(default_factory=set)


class Servers(web.RequestHandler):
    """Starts and stops servers, which the store then knows."""

    async def _do(self, method: str, owner: str, server: str) -> None:
        running: Any = self.settings["hub"]
        state: HubState = running.hub_state
        token = self.request.headers.get("Authorization", "").partition(" ")[2]
        body = json.loads(self.request.body or b"{}")
        name = "service" if token == "service" else TOKENS.get(token, {}).get("name", "")
        state.asked.append((method, f"{owner}/{server}", name, body))
        if state.refuses is not None:
            status, message = state.refuses
            self.set_status(status)
            self.finish({"status": status, "message": message})
            return
        if method == "DELETE" and server and (owner, server) not in state.servers:
            self.set_status(404)
            self.finish({"status": 404, "message": "no such server"})
            return
        await (running.started if method == "POST" else running.stopped)(owner, server, body)
        self.set_status(201 if method == "POST" else 204)

    async def post(self, owner: str, server: str = "") -> None:
        await self._do("POST", owner, server)

    async def delete(self, owner: str, server: str = "") -> None:
        await self._do("DELETE", owner, server)


@dataclass
class Workspaces(Running):
    """The service in a thread of its own, until `stop`."""

    service: str = "workspaces"
    anchor: Path | None = None
    hub_state: HubState = field(default_factory=HubState)
    cluster: FakeCluster = field(default_factory=FakeCluster)
    woken: int = 0
    _started: int = 0

    def hub_doors(self) -> list[Any]:
        return [
            (r"/hub/api/users/([^/]+)/servers/([^/]+)", Servers),
            (r"/hub/api/users/([^/]+)/server", Servers),
        ]

    async def application(self) -> web.Application:
        self._session = aiohttp.ClientSession()
        newest = Newest(Source(self.catalog, kinds={}, images={}), self.opened)
        office = Office(
            newest=newest, open_store=self.opened, clock=self.clock, slug=slug_of,
            relay=Relay(self._session, url=self.hub_url), wake=self._wake,
        )  # fmt: skip
        self.auditing = Auditing(
            newest=newest, open_store=self.opened, clock=self.clock,
            anchors=None if self.anchor is None else AnchorFile(self.anchor),
        )  # fmt: skip
        self.terminator = Terminator(
            cluster=self.cluster,
            hub=Hub(self._session, url=self.hub_url, token="service"),
            open_store=self.opened, clock=self.clock, is_held=lambda: True,
        )  # fmt: skip
        self.sweeper = make_sweeper(self.terminator.sweep_once, self.clock, lambda: self.silence)
        return make_app(
            Place(url="", prefix=self.prefix), office=office, auditing=self.auditing,
            sweeper=self.sweeper, store=self.opened,
        )  # fmt: skip

    async def close(self) -> None:
        await self._session.close()

    def _wake(self) -> None:
        self.woken += 1

    async def started(self, owner: str, server: str, body: Any) -> None:
        """Have the store know what the hub does when it starts a server."""
        from eugospawner.records import wish_of  # noqa: PLC0415 - as the hub has it

        self._started += 1
        words = body.get("user_options") or {}
        session = a_new_session(
            id=f"session-{self._started}", owner=owner, workspace=server, actor=owner,
            project=words.get("project") or f"personal-{owner}", admitted_at=self.clock.now(),
            profile=words.get("profile", "notebook-cpu-small"), queue=words.get("queue", "default"),
        )  # fmt: skip
        await self.store.sessions.open(
            session, a_demand(session, zone="Europe/Berlin"), wish=wish_of(words)
        )
        await self.store.sessions.bind(session.id, granted_percent=0, at=self.clock.now())
        self.hub_state.servers.add((owner, server))

    async def stopped(self, owner: str, server: str, body: Any) -> None:
        """Have the store know what the hub does when it stops or removes a server."""
        found = await self.store.workspaces.get(owner, server)
        if found is not None and found.session_id is not None:
            await self.store.sessions.end(found.session_id, reason="stopped", at=self.clock.now())
        if body.get("remove"):
            self.hub_state.servers.discard((owner, server))
            await self.store.workspaces.remove(owner, server, actor="hub", at=self.clock.now())

    def sweep(self) -> Any:
        """Go on with what is to end."""
        return self.run(self.terminator.sweep_once())
