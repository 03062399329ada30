"""A hub API on loopback, which answers as JupyterHub 6.1 does, with faults switched on by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

TOKEN = "the-token"


@dataclass
class FakeHub:
    """Users and their servers; `url` is set while it runs."""

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    scopes: tuple[str, ...] = ("list:users", "read:servers", "read:users:name")
    url: str = ""
    #: What a page holds at most, whatever is asked for (`api_page_max_limit`).
    page_limit: int = 200
    #: Leaves out what the token may not see, without a word.
    hides_servers: bool = False
    #: Answers all requests so.
    status: int = 200
    talks_nonsense: bool = False
    #: Whoever is asked about, this user is what comes back.
    answers_about: str = ""
    requests: list[str] = field(default_factory=list)

    def add(self, owner: str, name: str = "", *, pending: str | None = None, ready: bool = True):
        """Give *owner* a server."""
        self.users.setdefault(owner, {})[name] = {
            "name": name,
            "pending": pending,
            "ready": ready and not pending,
            "stopped": not (ready or pending),
        }

    async def run(self) -> AsyncIterator[FakeHub]:
        """Answer until closed."""
        app = web.Application(middlewares=[self._faults])
        app.router.add_get("/hub/api/user", self._whoami)
        app.router.add_get("/hub/api/users", self._list)
        app.router.add_get("/hub/api/users/{name}", self._one)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hub/api"
        try:
            yield self
        finally:
            await runner.cleanup()

    @web.middleware
    async def _faults(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        if self.talks_nonsense:
            return web.Response(text="<html>Bad gateway</html>")
        if self.status >= 400:
            said = {"status": self.status, "message": "No."}
            return web.json_response(said, status=self.status)
        if request.headers.get("Authorization") != f"token {TOKEN}":
            return web.json_response({"status": 403, "message": "Forbidden"}, status=403)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _whoami(self, _request: web.Request) -> web.Response:
        return web.json_response({"kind": "service", "name": "reaper", "scopes": self.scopes})

    async def _list(self, request: web.Request) -> web.Response:
        offset = int(request.query.get("offset", 0))
        limit = min(int(request.query.get("limit", 50)), self.page_limit)
        names = [name for name, servers in self.users.items() if servers]
        end = offset + limit
        items = [self._model(name) for name in names[offset:end]]
        if "jupyterhub-pagination" not in request.headers.get("Accept", ""):
            return web.json_response(items)
        following = {"offset": end, "limit": limit, "url": "…"} if end < len(names) else None
        paging = {"offset": offset, "limit": limit, "total": len(names), "next": following}
        return web.json_response({"items": items, "_pagination": paging})

    async def _one(self, request: web.Request) -> web.Response:
        name = self.answers_about or request.match_info["name"]
        if name not in self.users:
            return web.json_response({"status": 404, "message": "Not Found"}, status=404)
        return web.json_response(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        servers = {} if self.hides_servers else {"servers": self.users[name]}
        return {"kind": "user", "name": name, **servers}
