"""A hub under test: the demo on the run's cluster, asked through its REST API."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

import pytest

from eugospawner.store import open_store
from tests import patience
from tests.integration.demo import demos

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eugospawner.store import Store, Workspace
    from tests.conftest import Kubectl

_Found = TypeVar("_Found")

#: Images of the sample catalog as the tests' cluster has them: one stands for JupyterLab as the
#: base image does, the other for a program that does nothing and is there at once.
PYTORCH = "registry.example/eugo/pytorch:2026.11"
LIGHT = "registry.example/eugo/minimal-notebook:2026.11"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the hub said: status and JSON, if it was any."""

    status: int
    body: Any

    @property
    def message(self) -> str:
        return str(self.body["message"])


@dataclass(frozen=True, slots=True)
class Hub:
    """A running hub, and the cluster behind it."""

    demo: demos.Demo
    kubectl: Kubectl

    def ask(self, method: str, path: str, body: object = None) -> Answer:
        """Ask the hub API as the admin service; bytes are sent as they are."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.demo.ready['url']}/hub/api{path}",
            data=data,
            headers={"Authorization": f"token {self.demo.ready['admin_token']}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
                text = answer.read()
                return Answer(answer.status, json.loads(text) if text.strip() else None)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, json.loads(error.read() or "null"))

    def new_user(self) -> str:
        """Make a user whom no other test knows."""
        name = f"user-{uuid4().hex[:8]}"
        assert self.ask("POST", f"/users/{name}").status == 201
        return name

    def start(self, user: str, server: str = "", **words: object) -> Answer:
        """Ask for a workspace."""
        path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
        return self.ask("POST", path, {"user_options": words})

    def start_light(self, user: str, server: str = "", **words: object) -> Answer:
        """Ask for a workspace in which nothing will be done, on the tests' own cluster."""
        return self.start(user, server, image=LIGHT, **words)

    def stop(self, user: str, server: str = "") -> Answer:
        """Stop a workspace; with a name, and forget it."""
        path = f"/users/{user}/servers/{server}" if server else f"/users/{user}/server"
        return self.ask("DELETE", path)

    def server(self, user: str, server: str = "") -> dict[str, Any]:
        """Return the hub's view of a workspace; empty if it has none."""
        servers = self.ask("GET", f"/users/{user}?include_stopped_servers").body["servers"]
        found: dict[str, Any] = servers.get(server, {})
        return found

    def until(self, holds: Callable[[], object], otherwise: str, seconds: float = 90) -> None:
        """Return once *holds*; fail with *otherwise* if it never does."""
        patience.eventually(
            holds, lambda: f"{otherwise}\n{demos.log_of(self.demo.data)[-3000:]}", seconds=seconds
        )

    def until_ready(self, user: str, server: str = "") -> None:
        """Return once the workspace runs."""
        self.until(lambda: self.server(user, server).get("ready"), f"{user} does not start")

    def until_told(self, user: str, words: str, server: str = "") -> str:
        """Return the first message of a start under way that has *words* in it."""
        place = f"servers/{server}" if server else "server"
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.demo.ready['url']}/hub/api/users/{user}/{place}/progress",
            headers={"Authorization": f"token {self.demo.ready['admin_token']}"},
        )
        told: list[str] = []
        with urllib.request.urlopen(request, timeout=90) as answer:  # noqa: S310
            for line in answer:
                if line.startswith(b"data:"):
                    told.append(json.loads(line[5:])["message"])
                    if words in told[-1]:
                        return told[-1]
        pytest.fail(f"nothing with {words!r} in {told}")

    def objects(self, kind: str, user: str) -> list[dict[str, Any]]:
        """Return the objects of *kind* that belong to *user*'s workspaces."""
        return [
            each
            for each in self.kubectl.objects(kind, "eugo")
            if user in json.dumps(each["metadata"])
        ]

    def sessions(self, user: str) -> list[tuple[int | None, str | None]]:
        """Return what the store knows of the user's sessions, newest first: share, why it ended."""

        found = self._look(lambda store: store.sessions.history(user))
        return [(each.granted_percent, each.end_reason) for each in found]

    def workspace(self, user: str, server: str = "") -> Workspace:
        """Return what the store knows of a workspace."""
        found = self._look(lambda store: store.workspaces.of_owner(user))
        (one,) = (each for each in found if each.server == server)
        return one

    def _look(self, question: Callable[[Store], Awaitable[_Found]]) -> _Found:
        async def look() -> _Found:
            store = await open_store(f"sqlite:///{self.demo.data / 'store.sqlite'}")
            try:
                return await question(store)
            finally:
                await store.close()

        # In a thread, for the test may have a loop of its own.
        with ThreadPoolExecutor(1) as thread:
            return thread.submit(lambda: asyncio.run(look())).result()

    def opens(self, user: str) -> bool:
        """Tell whether the workspace's own server answers through the proxy."""
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{self.demo.ready['url']}/user/{user}/api/status",
            headers={"Authorization": f"token {self.demo.ready['admin_token']}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
                return "kernels" in json.loads(answer.read())
        except (OSError, ValueError):
            return False

    def run_inside(self, user: str, *command: str, server: str = "") -> str:
        """Run a command in a workspace of the user; return what it printed."""
        pod = f"jupyter-{user}--{server}" if server else f"jupyter-{user}"
        return self.kubectl("exec", "-n", "eugo", pod, "-c", "notebook", "--", *command).stdout
