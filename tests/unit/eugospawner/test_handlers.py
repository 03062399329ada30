"""
The hub's doors, with a hub that is a few plain objects.

What is ours in the handlers is called as the hub calls it, below its permission check; the hub's
own parts (users, rows, the start itself) are fakes that keep what happened to them. That a real
hub really asks these handlers is for the browser tests to see.
"""

from __future__ import annotations

import asyncio
import inspect
import json
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, PrefixLoader
from jupyterhub import apihandlers, handlers
from jupyterhub._data import get_data_files
from jupyterhub.apihandlers.auth import OAuthAuthorizeHandler
from jupyterhub.apihandlers.users import (
    ActivityAPIHandler,
    SelfAPIHandler,
    UserServerAPIHandler,
)
from jupyterhub.handlers.base import UserUrlHandler
from jupyterhub.handlers.pages import HomeHandler, SpawnHandler, SpawnPendingHandler
from jupyterhub.spawner import SpawnException
from tornado import web
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from eugospawner import assets, form
from eugospawner.diagnosis import STEPS
from eugospawner.handlers import (
    AssetHandler,
    Drafts,
    PreflightHandler,
    WorkspacePendingHandler,
    WorkspaceServerAPIHandler,
    WorkspaceSpawnHandler,
    accept_offer,
    install,
    prefill,
    readable,
)
from eugospawner.judge import Circumstances, Verdict, judge
from eugospawner.policy.capacity import UNKNOWN_CLUSTER
from eugospawner.policy.errors import ConfigError, StoreError
from eugospawner.policy.quota import NOTHING_USED
from tests.factories import NOW, a_catalog, an_actor, some_accounts, some_volumes


class FakeSpawner:
    """A server of the hub: idle, refusing or starting, as its fields say."""

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.attempt: Any = None
        self.prefill: Any = None
        self.handler: Any = None
        self.pending: str | None = None
        self.ready = False
        self.refusal: Exception | None = None
        self.asked: list[dict[str, list[str]]] = []
        self._spawn_future: asyncio.Future[object] | None = None
        self.judged: list[object] = []

    async def judge(self, words: object, *, handler: Any, workspace: str) -> Verdict:
        assert handler.current_user.name == "alice"
        self.judged.append(words)
        return judge(
            words,
            Circumstances(
                revision=0,
                catalog=a_catalog(),
                accounts=some_accounts(),
                usage=NOTHING_USED,
                volumes=some_volumes(),
                cluster=UNKNOWN_CLUSTER,
                now=NOW,
            ),
            owner="alice",
            workspace=workspace,
            actor=an_actor(),
        )

    @property
    def active(self) -> bool:
        return self.pending is not None or self.ready

    def run_options_from_form(self, fields: dict[str, list[str]]) -> dict[str, object]:
        self.asked.append(fields)
        if self.refusal is not None:
            raise self.refusal
        return {"profile": "nb-cpu-2"}

    async def get_options_form(self) -> str:
        return f"form of {self.name or 'the default'}"


class FakeUser:
    """A user of the hub, with its rows and the servers made from them."""

    def __init__(self, name: str = "alice") -> None:
        self.name = self.escaped_name = name
        self.orm_spawners: dict[str, str] = {"": "row of "}
        self.spawners: dict[str, FakeSpawner] = {"": FakeSpawner()}
        self.db = self
        self.refusal: Exception | None = None

    def get_or_create_spawner(
        self, name: str, display_name: str, *, replace_failed: bool = False
    ) -> FakeSpawner:
        assert replace_failed
        self.orm_spawners.setdefault(name, f"row of {display_name}")
        spawner = self.spawners.setdefault(name, FakeSpawner(name))
        spawner.refusal = self.refusal
        return spawner

    def delete(self, row: str) -> None:
        (name,) = [name for name, each in self.orm_spawners.items() if each == row]
        del self.orm_spawners[name]

    def commit(self) -> None:
        """Nothing to write."""


class FakeHub:
    """What handlers have from the hub."""

    current_user: Any = None

    def __init__(self, user: FakeUser, body: bytes = b"", query: str = "") -> None:
        self.current_user = user
        self.application: Any = SimpleNamespace(settings={"hub": SimpleNamespace(base_url="/hub/")})
        self.request = HTTPServerRequest(
            start_line=RequestStartLine("POST", f"/hub/spawn/alice/mine{query}", "HTTP/1.1"),
            headers=HTTPHeaders(
                {"Host": "hub.example", "Content-Type": "application/x-www-form-urlencoded"}
            ),
            body=body,
            connection=SimpleNamespace(set_close_callback=lambda _: None),  # type: ignore[arg-type]
        )
        self.request._parse_body()
        self.status = 200
        self.headers: dict[str, Any] = {}
        self.went_to = ""
        self.page: dict[str, Any] = {}
        self.started: list[Any] = []
        self.stopped: list[str] = []
        self.start_error: Exception | None = None

    def find_user(self, name: str) -> Any:
        return self.current_user if name == self.current_user.name else None

    async def _check_named_server_request(self, *_: Any) -> None:
        """Every name is fine."""

    def _get_pending_url(self, user: FakeUser, server_name: str) -> str:
        return f"/hub/spawn-pending/{user.name}/{server_name}"

    async def _wrap_spawn_single_user(self, *arguments: Any) -> None:
        if self.start_error is not None:
            raise self.start_error
        user, server_name, *_, words = arguments
        user.spawners[server_name].pending = "spawn"
        self.started.append((server_name, words))

    async def stop_single_user(self, _user: FakeUser, server_name: str) -> None:
        self.stopped.append(server_name)

    def redirect(self, url: str, **_: Any) -> None:
        self.went_to = url

    def set_status(self, status: int, _reason: str | None = None) -> None:
        self.status = status

    def set_header(self, name: str, value: Any) -> None:
        self.headers[name] = value

    def finish(self, *_: Any) -> None:
        """The page is kept by `_render_form`."""


def _bare(method: Any) -> Any:
    """Return *method* below the hub's checks of who may call it."""
    return inspect.unwrap(method)


class Door(FakeHub, WorkspaceSpawnHandler):
    """The spawn page in a hub of fakes."""

    async def _render_form(self, for_user: Any, form: str, message: Any = "", _: Any = "") -> str:
        self.page = {"user": for_user, "form": form, "message": message}
        return form


async def send(door: Door, server_name: str = "mine") -> None:
    await _bare(WorkspaceSpawnHandler._post)(
        door, user_name="alice", server_name=server_name, display_name=server_name
    )


def refused(status: int = 403) -> SpawnException:
    return SpawnException("There is no such queue. [queue-unknown]", reason="x", status_code=status)


# The form's door


async def test_a_form_starts_the_server_of_its_address() -> None:
    door = Door(FakeUser(), b"profile=nb-cpu-2&_xsrf=secret&evil=1")
    await send(door)
    assert door.started == [("mine", {"profile": "nb-cpu-2"})]
    assert door.current_user.spawners["mine"].asked == [{"profile": ["nb-cpu-2"]}]
    assert "mine" in door.current_user.orm_spawners


async def test_a_refused_form_comes_back_as_the_form_of_its_own_server() -> None:
    user = FakeUser()
    user.refusal = refused(409)
    door = Door(user)
    await send(door)
    assert door.status == 409
    assert door.page["form"] == "form of mine"
    assert door.page["message"] == "There is no such queue. [queue-unknown]"


async def test_a_refused_first_start_leaves_no_server_behind() -> None:
    user = FakeUser()
    user.refusal = refused()
    await send(Door(user))
    assert set(user.orm_spawners) == {""}
    assert set(user.spawners) == {""}


async def test_a_refused_start_leaves_a_server_that_was_there_before() -> None:
    user = FakeUser()
    user.get_or_create_spawner("mine", "mine", replace_failed=True)
    user.refusal = refused()
    await send(Door(user))
    assert "mine" in user.orm_spawners


async def test_a_refusal_in_the_very_start_is_told_like_one_of_the_form() -> None:
    user = FakeUser()
    door = Door(user)
    door.start_error = refused(503)
    await send(door)
    assert (door.status, set(user.orm_spawners)) == (503, {""})


async def test_what_an_error_says_about_headers_is_kept() -> None:
    door = Door(FakeUser())
    door.start_error = web.HTTPError(429, "Too many users. Try again in 30 seconds.")
    door.start_error.headers = {"Retry-After": 30}  # type: ignore[attr-defined]
    await send(door)
    assert door.headers == {"Retry-After": 30}
    assert door.page["message"] == "Too many users. Try again in 30 seconds."


async def test_pressing_start_twice_starts_once() -> None:
    user = FakeUser()
    await send(Door(user))
    second = Door(user)
    await send(second)
    assert second.started == []
    assert second.went_to == "/hub/spawn-pending/alice/mine"


async def test_the_spawner_knows_who_asks_and_forgets_the_attempt_before() -> None:
    user = FakeUser()
    spawner = user.get_or_create_spawner("mine", "mine", replace_failed=True)
    spawner.attempt = object()
    door = Door(user)
    await send(door)
    assert spawner.handler is door
    assert spawner.attempt is None


async def test_the_display_name_of_the_address_names_the_server() -> None:
    user = FakeUser()
    await send(Door(user, query="?display_name=My%20First"))
    assert user.orm_spawners["mine"] == "row of My First"


async def test_a_store_that_is_down_is_a_503_in_words() -> None:
    user = FakeUser()
    user.refusal = StoreError("the database does not answer")
    with pytest.raises(web.HTTPError, match="the database does not answer") as error:
        await send(Door(user))
    assert error.value.status_code == 503
    assert set(user.orm_spawners) == {""}


async def test_nobody_else_s_server_is_found() -> None:
    door = Door(FakeUser("bob"))
    with pytest.raises(web.HTTPError) as error:
        await send(door)
    assert error.value.status_code == 404


async def test_the_offer_is_judged_as_if_it_had_been_typed() -> None:
    offer = json.dumps({"cpu": "16", "volumes": [{"claim": "a", "mount_path": "/a"}]})
    door = Door(FakeUser(), f"cpu=99&nearest={offer}".encode())
    await send(door)
    assert door.current_user.spawners["mine"].asked == [
        {"cpu": ["16"], "volume_claim": ["a"], "volume_path": ["/a"]}
    ]


async def test_bytes_that_are_no_text_reach_the_rules_as_text() -> None:
    door = Door(FakeUser(), b"profile=%ff%fe")
    await send(door)
    assert door.current_user.spawners["mine"].asked == [{"profile": ["\ufffd\ufffd"]}]


async def test_a_get_prefills_and_leaves_nothing_to_start_with() -> None:
    user = FakeUser()
    door = Door(user)
    door._asked = (user, "")
    assert door._get_user_options({"opt-sm_percent": ["25"], "evil": ["1"]}) == {}
    assert user.spawners[""].prefill == {"sm_percent": 25}


async def test_a_get_never_starts_a_server() -> None:
    door = Door(FakeUser())
    door.request.method = "GET"
    with pytest.raises(web.HTTPError) as error:
        await WorkspaceSpawnHandler._wrap_spawn_single_user(door)
    assert error.value.status_code == 405


def test_the_form_keeps_only_the_hub_s_own_words_in_its_address() -> None:
    door = Door(FakeUser(), query="?opt-cpu=9&next=%2Fuser&display_name=A%20B&_xsrf=s")
    assert door._form_url() == "/hub/spawn/alice/mine?next=%2Fuser&display_name=A+B"


# Words of a query


def test_words_with_and_without_prefix_prefill_and_the_prefix_wins() -> None:
    query = {
        "profile": ["nb-cpu-2"],
        "opt-profile": ["nb-gpu-l4"],
        "opt-volume_claim": ["a"],
        "opt-volume_path": ["/a"],
        "opt-": ["x"],
        "opt-evil": ["x"],
        "redirects": ["1"],
        "opt-volumes": ["x"],
    }
    assert prefill(query) == {
        "profile": "nb-gpu-l4",
        "volumes": [{"claim": "a", "mount_path": "/a"}],
    }


def test_bytes_are_made_readable_one_by_one() -> None:
    assert readable({"a": [b"\xff", b"fine"]}) == {"a": ["\ufffd".encode(), b"fine"]}


@pytest.mark.parametrize("offer", [b"", b"[1]", b"{", b"null", b"[" * 100_000, b"1" * 10_000])
def test_an_offer_that_is_no_object_is_malformed(offer: bytes) -> None:
    with pytest.raises(web.HTTPError) as error:
        accept_offer({"nearest": [offer]})
    assert error.value.status_code == 400


# Drafts


def test_a_server_that_was_only_looked_at_is_gone_again() -> None:
    user = FakeUser()
    with Drafts().hold(user, "new"):
        user.get_or_create_spawner("new", "new", replace_failed=True)
        assert "new" in user.orm_spawners
    assert "new" not in user.orm_spawners


def test_a_server_that_somebody_else_still_asks_for_stays_until_they_are_done() -> None:
    user, drafts = FakeUser(), Drafts()
    with drafts.hold(user, "new"):
        with drafts.hold(user, "new"):
            user.get_or_create_spawner("new", "new", replace_failed=True)
        assert "new" in user.orm_spawners
    assert "new" not in user.orm_spawners


def test_a_server_that_somebody_else_started_meanwhile_stays() -> None:
    user, drafts = FakeUser(), Drafts()
    with drafts.hold(user, "new"), drafts.hold(user, "new"):
        user.get_or_create_spawner("new", "new", replace_failed=True).pending = "spawn"
    assert "new" in user.orm_spawners
    user.spawners["new"].pending = None
    with drafts.hold(user, "new"):
        """It exists now, so it is no draft."""
    assert "new" in user.orm_spawners


@pytest.mark.parametrize(
    ("error", "stays"),
    [
        (refused(403), False),
        (refused(503), False),
        (web.HTTPError(409), False),
        (web.HTTPError(500), True),
        (TimeoutError(), True),
    ],
    ids=["denied", "store-down", "conflict", "error", "timeout"],
)
async def test_a_start_that_was_admitted_and_broke_is_kept_to_look_at(
    error: Exception, stays: bool
) -> None:
    user = FakeUser()
    with Drafts().hold(user, "new"):
        spawner = user.get_or_create_spawner("new", "new", replace_failed=True)
        spawner._spawn_future = asyncio.get_running_loop().create_future()
        spawner._spawn_future.set_exception(error)
    assert ("new" in user.orm_spawners) is stays
    spawner._spawn_future.exception()  # looked at


def test_the_default_server_is_never_a_draft() -> None:
    user = FakeUser()
    with Drafts().hold(user, ""):
        """Nothing happens."""
    assert "" in user.orm_spawners


def test_an_exception_passes_through_and_takes_the_draft_along() -> None:
    user = FakeUser()

    def break_off() -> None:
        with Drafts().hold(user, "new"):
            user.get_or_create_spawner("new", "new", replace_failed=True)
            raise LookupError

    with pytest.raises(LookupError):
        break_off()
    assert "new" not in user.orm_spawners


# REST


async def test_a_refused_start_over_rest_leaves_no_server_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def post(self: Any, user_name: str, server_name: str) -> None:
        del user_name
        self.current_user.get_or_create_spawner(server_name, "new", replace_failed=True)
        raise refused(403)

    monkeypatch.setattr(UserServerAPIHandler, "post", post)

    class Api(FakeHub, WorkspaceServerAPIHandler):
        """The REST door in a hub of fakes."""

    api = Api(FakeUser())
    with pytest.raises(SpawnException) as error:
        await _bare(WorkspaceServerAPIHandler.post)(api, "alice", "new")
    assert error.value.status_code == 403
    assert set(api.current_user.orm_spawners) == {""}


# Cancel


class Pending(FakeHub, WorkspacePendingHandler):
    """The pending page in a hub of fakes."""


async def cancel(pending: Pending, server_name: str) -> None:
    await _bare(WorkspacePendingHandler.post)(pending, "alice", server_name)


async def test_cancel_stops_the_server_of_the_page_and_no_other() -> None:
    user = FakeUser()
    spawner = user.get_or_create_spawner("mine", "mine", replace_failed=True)
    spawner.pending = "spawn"
    spawner._spawn_future = asyncio.get_running_loop().create_future()
    spawner._spawn_future.add_done_callback(lambda _: setattr(spawner, "pending", None))
    pending = Pending(user)
    await cancel(pending, "mine")
    assert spawner._spawn_future.cancelled()
    assert pending.stopped == ["mine"]
    assert pending.went_to == "/hub/spawn/alice/mine"


async def test_cancel_of_a_server_that_runs_already_leaves_it_running() -> None:
    user = FakeUser()
    user.get_or_create_spawner("mine", "mine", replace_failed=True).ready = True
    pending = Pending(user)
    await cancel(pending, "mine")
    assert pending.stopped == []


async def test_cancel_of_a_server_that_is_not_there_makes_none() -> None:
    user = FakeUser()
    with pytest.raises(web.HTTPError) as error:
        await cancel(Pending(user), "other")
    assert error.value.status_code == 404
    assert "other" not in user.spawners


# The door of the pre-flight


class Adviser(FakeHub, PreflightHandler):
    """The pre-flight's door in a hub of fakes."""

    answer = ""

    def finish(self, *chunks: Any) -> None:
        (self.answer,) = chunks


async def advise(adviser: Adviser, server_name: str = "") -> Any:
    await _bare(PreflightHandler.post)(adviser, user_name="alice", server_name=server_name)
    return json.loads(adviser.answer)


async def test_the_preflight_judges_the_fields_of_the_form_and_starts_nothing() -> None:
    adviser = Adviser(FakeUser(), b"profile=gpu&sm_percent=25&_xsrf=secret&evil=1")
    said = await advise(adviser)
    spawner = adviser.current_user.spawners[""]
    assert spawner.judged == [{"profile": "gpu", "sm_percent": 25}]
    assert said["outcome"] == "starts"
    assert adviser.headers["Cache-Control"] == "no-store"
    assert adviser.headers["Content-Type"] == "application/json"
    assert adviser.started == []


async def test_the_preflight_says_everything_that_is_wrong() -> None:
    adviser = Adviser(FakeUser(), b"profile=gpu&sm_percent=0&gpu_count=99")
    said = await advise(adviser)
    assert said["outcome"] == "refused"
    assert [each["word"] for each in said["refusals"]] == ["gpu_count", "sm_percent"]
    assert said["nearest"]["sm_percent"] == ["1"]


async def test_the_preflight_of_a_new_name_makes_no_server() -> None:
    adviser = Adviser(FakeUser(), b"profile=gpu")
    await advise(adviser, "not-yet")
    assert set(adviser.current_user.orm_spawners) == {""}


async def test_the_preflight_of_somebody_unknown_is_not_found() -> None:
    with pytest.raises(web.HTTPError) as caught:
        await _bare(PreflightHandler.post)(Adviser(FakeUser()), user_name="mallory")
    assert caught.value.status_code == 404


# Pages


@pytest.mark.parametrize("page", [WorkspaceSpawnHandler, WorkspacePendingHandler])
def test_a_page_of_ours_runs_no_script_but_the_hub_s_and_is_framed_by_nobody(page: Any) -> None:
    handler = page.__new__(page)
    handler.application = SimpleNamespace(
        settings={"hub": SimpleNamespace(base_url="/hub/"), "csp_report_uri": "/report"}
    )
    policy = dict(
        directive.split(" ", 1) for directive in handler.content_security_policy.split("; ")
    )
    assert policy["default-src"] == "'none'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert policy["style-src"] == policy["connect-src"] == policy["form-action"] == "'self'"
    assert "unsafe" not in handler.content_security_policy
    _self, nonce = policy["script-src"].split()
    html = handler._marked('<script type="text/javascript">ours</script><script>evil</script>')
    assert f'<script nonce="{nonce.strip(chr(39)).removeprefix("nonce-")}"' in html
    assert html.count("nonce") == 1
    other = page.__new__(page)
    other.application = handler.application
    assert other.content_security_policy != handler.content_security_policy


def show(name: str, **words: Any) -> str:
    """Render a page as the hub does: ours first, then its own."""
    theirs = str(Path(get_data_files()) / "templates")
    loader = ChoiceLoader(
        [
            PrefixLoader({"templates": FileSystemLoader([theirs])}, "/"),
            FileSystemLoader([str(form.TEMPLATES), theirs]),
        ]
    )
    hub: dict[str, Any] = {
        "user": SimpleNamespace(name="alice", spawner=FakeSpawner(), json_escaped_name="alice"),
        "for_user": SimpleNamespace(name="alice"),
        "base_url": "/hub/",
        "xsrf_token": "token",
        "static_url": lambda name, **_: f"/hub/static/{name}",
        "asset_url": lambda name: f"/hub/eugo/static/{name}",
        "parsed_scopes": {},
        "no_spawner_check": True,
    }
    return Environment(loader=loader, autoescape=True).get_template(name).render(**(hub | words))


def spawn_page(**words: Any) -> str:
    named = SimpleNamespace(name="mine", display_name="My <First>")
    shown = {"spawner": named, "url": "/hub/spawn/alice/mine", "spawner_options_form": "<b>f</b>"}
    return show("spawn.html", **(shown | words))


def pending_page(**words: Any) -> str:
    named = SimpleNamespace(name="mine", display_name="My <First>")
    shown = {
        "spawner": named,
        "steps": STEPS,
        "elapsed_seconds": 75,
        "progress_url": "/hub/api/users/alice/servers/mine/progress?_xsrf=token",
        "cancel_url": "/hub/spawn-pending/alice/mine",
        "form_url": "/hub/spawn/alice/mine",
    }
    return show("spawn_pending.html", **(shown | words))


def test_the_spawn_page_names_screen_and_workspace_and_carries_the_form() -> None:
    page = spawn_page()
    assert "<title>Create Workspace “My &lt;First&gt;” – JupyterHub</title>" in page
    assert page.count("<h1>") == 1
    assert "<h1>Create Workspace</h1>" in page
    assert "<b>f</b>" in page
    assert '<form id="eugo-nearest" action="/hub/spawn/alice/mine" method="post">' in page
    assert page.count('name="_xsrf" value="token"') == 2


def test_an_error_that_the_form_does_not_tell_stands_above_it_as_text() -> None:
    assert 'role="alert"' not in spawn_page()
    page = spawn_page(error_message="<b>no</b>")
    assert page.count("&lt;b&gt;no&lt;/b&gt;") == 1


def test_an_admin_sees_for_whom_they_start() -> None:
    assert "of <strong>bob</strong>" in spawn_page(for_user=SimpleNamespace(name="bob"))


def test_the_pending_page_has_the_steps_the_clock_and_a_cancel_of_its_own() -> None:
    """F19, F26."""
    page = pending_page()
    assert all(step in page for step in STEPS)
    assert "1 min 15 s" in page
    assert "Usually 30–120 seconds." in page
    assert '<form method="post" action="/hub/spawn-pending/alice/mine"' in page
    assert '<noscript><meta http-equiv="refresh" content="5"></noscript>' in page
    assert "stop-server-btn" not in page  # upstream's stops the default server


def test_the_clock_of_the_pending_page_counts_from_the_start_on_the_server() -> None:
    pending = Pending(FakeUser())
    pending.now = lambda: datetime(2026, 11, 24, 0, 1, 15)  # noqa: DTZ001
    row = SimpleNamespace(started=datetime(2026, 11, 24, 0, 0, 0))  # noqa: DTZ001
    spawner = SimpleNamespace(name="mine", orm_spawner=row, user_options={"name": "Paper 7"})
    words = pending._words(FakeUser(), spawner)
    assert words["called"] == "Paper 7"  # as the list has it, and not the server's name
    assert words["elapsed_seconds"] == 75
    assert words["form_url"] == "/hub/spawn/alice/mine"
    row.started = None
    assert pending._words(FakeUser(), spawner)["elapsed_seconds"] == 0


# Install


@pytest.fixture
def tables(monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any]]:
    pages, api = list(handlers.default_handlers), list(apihandlers.default_handlers)
    monkeypatch.setattr(handlers, "default_handlers", pages)
    monkeypatch.setattr(apihandlers, "default_handlers", api)
    return pages, api


def test_install_puts_ours_in_the_place_of_the_hub_s_however_often(
    tables: tuple[list[Any], list[Any]],
) -> None:
    pages, api = tables
    before = [entry[0] for entry in pages]
    install()
    install()
    assert [entry[0] for entry in pages] == [
        *before,
        "/eugo/static/(.*)",
        "/eugo/preflight/([^/]+)/?",
        "/eugo/preflight/([^/]+)/([^/]+)",
        "/eugo/request-access",
        "/eugo/workspaces/([^/]+)/([^/]+)/([a-z-]+)",
    ]
    theirs = {
        HomeHandler, SpawnHandler, SpawnPendingHandler, UserUrlHandler, UserServerAPIHandler, SelfAPIHandler,
        ActivityAPIHandler, OAuthAuthorizeHandler,
    }  # fmt: skip
    assert not theirs & {entry[1] for entry in (*pages, *api)}
    served = dict(entry[:2] for entry in [*pages, *api])
    assert served["/spawn"] is WorkspaceSpawnHandler
    assert served["/spawn-pending/([^/]+)/([^/]+)"] is WorkspacePendingHandler
    assert served["/api/users/([^/]+)/servers/([^/]*)"] is WorkspaceServerAPIHandler


def test_install_refuses_a_hub_whose_tables_it_does_not_know(
    tables: tuple[list[Any], list[Any]],
) -> None:
    tables[0][:] = [entry for entry in tables[0] if entry[1] is not SpawnHandler]
    with pytest.raises(ConfigError, match="no SpawnHandler: use a JupyterHub"):
        install()


# Assets


class Wire:
    """A connection that keeps what is written to it."""

    def __init__(self) -> None:
        self.status = 0
        self.headers = HTTPHeaders()
        self.body = b""

    def set_close_callback(self, _: Any) -> None:
        """It never closes."""

    def write_headers(self, start: Any, headers: HTTPHeaders, chunk: bytes = b"") -> Any:
        self.status, self.headers, self.body = start.code, headers, chunk or b""
        return self._done()

    def write(self, chunk: bytes) -> Any:
        self.body += chunk
        return self._done()

    def finish(self) -> None:
        """Everything is here."""

    def _done(self) -> asyncio.Future[None]:
        future = asyncio.get_running_loop().create_future()
        future.set_result(None)
        return future


async def fetch(path: str) -> Wire:
    wire = Wire()
    request = HTTPServerRequest(
        start_line=RequestStartLine("GET", f"/hub/eugo/static/{path}", "HTTP/1.1"),
        headers=HTTPHeaders({"Host": "hub.example"}),
        connection=wire,  # type: ignore[arg-type]
    )
    handler = AssetHandler(web.Application(), request, path=str(assets.STATIC))
    await handler._execute([], request.path.removeprefix("/hub/eugo/static/").encode())
    return wire


@pytest.mark.parametrize("name", ["form.js", "pending.js", "dialog.js", "eugo.css", "form.css"])
async def test_an_asset_is_served_as_what_it_is_and_kept_for_ever(name: str) -> None:
    wire = await fetch(assets.url("/", name).removeprefix("/eugo/static/"))
    assert wire.status == 200
    assert wire.body == (assets.STATIC / name).read_bytes()
    assert wire.headers["Content-Type"] == assets.CONTENT_TYPES[f".{name.split('.')[1]}"]
    assert wire.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert wire.headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("address", ["form.js", "form.js?v=old", "./form.js"])
async def test_an_asset_without_its_version_is_asked_for_again(address: str) -> None:
    wire = await fetch(address)
    assert (wire.status, wire.headers["Cache-Control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "path",
    ["../form.py", "%2e%2e/form.py", "../templates/spawn.html", "", "none.js", "/etc/passwd"],
)
async def test_nothing_but_assets_is_served(path: str) -> None:
    assert (await fetch(path)).status in {403, 404}
