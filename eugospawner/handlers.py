"""
Handlers: the hub's own pages and doors, where JupyterHub 6.1 does something we must not.

- ``GET /hub/spawn?option=…`` starts a server upstream. Here a GET only prefills the form, and
  options that are not words of a request are ignored (design §5).
- A refused form comes back upstream as the form of the *default* server, with every error above
  it and a traceback in the log. Here it is that of the server that was asked for, with the
  spawner's refusals beside their fields and nothing said twice.
- A named server gets a row in the hub's database before anything was decided, so refused starts
  and mere visits leave servers behind that never were. `Drafts` takes such a row away again.
- The pending page's button stops the default server upstream, and needs JavaScript. Here it is
  a form that stops the server of the page.
- With `auth_refresh_strict` a workspace could not tell that it is used once its owner's session at
  the provider is over, and would be stopped as idle.
- Any script in a page runs upstream, and none but known ones on ours (`frames`).

`install` puts them in the place of upstream's classes: ``extra_handlers`` come after those and
would never be asked (6.1.1, ``JupyterHub.init_handlers``).
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import contextmanager
from datetime import UTC
from itertools import count
from pathlib import PurePosixPath
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from dateutil.parser import parse as dateutil_parse
from jupyterhub import apihandlers, handlers, orm, scopes
from jupyterhub.apihandlers.auth import OAuthAuthorizeHandler
from jupyterhub.apihandlers.users import ActivityAPIHandler, SelfAPIHandler, UserServerAPIHandler
from jupyterhub.handlers.base import BaseHandler, UserUrlHandler
from jupyterhub.handlers.pages import HomeHandler, SpawnHandler, SpawnPendingHandler
from jupyterhub.scopes import needs_scope
from jupyterhub.spawner import SpawnException
from jupyterhub.user import User
from jupyterhub.utils import maybe_future, url_escape_path, url_path_join, utcnow
from tornado import web
from tornado.httputil import url_concat

from eugospawner import access, assets, diagnosis, form, links, options, preflight, scrubbing
from eugospawner.frames import SentFromHere, StrictPage
from eugospawner.policy import names
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.errors import Barred, ClusterError, ConfigError, StoreError
from eugospawner.policy.lifecycle import LOOKS, Operation, State, may_ask
from eugospawner.policy.permissions import Platform, who_may
from eugospawner.policy.reasons import RULES, Reason
from eugospawner.policy.roles import Action
from eugospawner.store import Workspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from eugospawner.desk import Desk, Overview
    from eugospawner.policy.accounts import Actor

#: Fields of the form: the words of a request, and volumes pair by pair.
_FIELDS: Final = frozenset({*options.WORDS, "volume_claim", "volume_path"})
#: Query arguments that are the hub's own and stay in the form's address.
_KEPT: Final = ("next", "display_name")
#: What JupyterHub 6 puts before user options in a query string.
_PREFIX: Final = "opt-"
#: A cancelled start takes a moment to let go of its server.
_CANCEL_SECONDS: Final = 10
#: A Pod's grace period, its end, and the removal of the row.
_REMOVAL_SECONDS: Final = 90
_SERVER_ERROR: Final = 500
_LONGEST_NAME: Final = 255
#: The same whoever's it is: a stranger learns nothing of their organization.
_LOOKS_INTO_OTHERS: Final = who_may(Action.ACCESS, Platform())
_SHOWN_AT_HOME: Final = (
    Action.VIEW,
    Action.CREATE,
    Action.DEPLOY,
    Action.ACCESS,
    Action.TERMINATE,
)
#: What a server's PATCH may say (6.1).
_PATCHED: Final = frozenset({"name", "display_name", "user_options"})
#: How the hub notes that a token is a server's own (`Spawner.api_token`, 6.1).
_SERVER_NOTE: Final = "Server at "


def prefill(query: Mapping[str, Sequence[str]]) -> dict[str, object]:
    """
    Return the JSON words that *query* prefills; whatever is not a word is ignored.

    Words come plain or with JupyterHub's ``opt-`` before them; the latter win.
    """
    fields = {name: values for name, values in query.items() if name in _FIELDS}
    for name, values in query.items():
        word = name.removeprefix(_PREFIX)
        if word != name and word in _FIELDS:
            fields[word] = values
    return options.from_form(fields)


def readable(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """Return *arguments* as UTF-8, because upstream answers other bytes with an error 500."""
    return {
        name: [value.decode("utf-8", "replace").encode() for value in values]
        for name, values in arguments.items()
    }


def fields_of(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, list[str]]:
    """Return the form's fields among readable *arguments*, as text; others are left out."""
    return {
        name: [value.decode() for value in values]
        for name, values in arguments.items()
        if name in _FIELDS
    }


def accept_offer(arguments: Mapping[str, Sequence[bytes]]) -> dict[str, list[bytes]]:
    """
    Return form *arguments* with the pressed offer in place of the fields.

    The offer is only a faster way to fill the form: what it holds is judged like anything else.

    Raises:
        HTTPError: 400, the offer is no JSON object.
    """
    offers = arguments.get("nearest")
    if not offers:
        return {name: list(values) for name, values in arguments.items()}
    try:
        words = json.loads(offers[0])
    except (ValueError, RecursionError) as error:
        raise web.HTTPError(400, "nearest: expected JSON. Press Start instead.") from error
    if not isinstance(words, dict):
        raise web.HTTPError(400, "nearest: expected a JSON object. Press Start instead.")
    return {
        name: [value.encode("utf-8", "replace") for value in values]
        for name, values in form.fields(words).items()
    }


class Drafts:
    """
    Named servers that exist only because somebody is asking for them right now.

    The hub makes a server's row when it is first named. It is a draft as long as every request
    that holds it is undecided; when the last one lets go and nothing was started, it goes.
    Whatever existed before, was created on purpose (PUT) or ever began to start, stays.
    """

    def __init__(self) -> None:
        self._holders: Counter[tuple[str, str]] = Counter()
        self._drafts: set[tuple[str, str]] = set()

    @contextmanager
    def hold(self, user: Any, server_name: str) -> Iterator[None]:
        """Mark *server_name* of the hub's *user* as being asked for, until the block ends."""
        key = (str(user.name), server_name)
        if server_name and server_name not in user.orm_spawners:
            self._drafts.add(key)
        self._holders[key] += 1
        try:
            yield
        finally:
            self._holders[key] -= 1
            if not self._holders[key]:
                del self._holders[key]
                if key in self._drafts:
                    self._drafts.discard(key)
                    _remove_if_never_started(user, server_name)


def _remove_if_never_started(user: Any, server_name: str) -> None:
    row = user.orm_spawners.get(server_name)
    if row is None:
        return
    spawner = user.spawners.get(server_name)
    if spawner is not None and (spawner.active or _broke(spawner._spawn_future)):  # noqa: SLF001
        return
    # Not the spawner's delete_forever: it would delete the volume of an earlier namesake.
    user.spawners.pop(server_name, None)
    user.db.delete(row)
    user.db.commit()


def _broke(start: asyncio.Future[object] | None) -> bool:
    """Whether *start* was admitted and failed: a state that its owner wants to look at."""
    if start is None or not start.done() or start.cancelled():
        return False
    error = start.exception()
    refused = isinstance(error, SpawnException) or (
        isinstance(error, web.HTTPError) and error.status_code < _SERVER_ERROR
    )
    return error is not None and not refused


class Removals:
    """
    Servers that go as soon as they have stopped.

    Upstream removes the row afterwards, whatever was started under the name meanwhile: that would run on
    without a server that the hub knows.
    """

    def __init__(self) -> None:
        self._until: dict[tuple[str, str], float] = {}

    def begin(self, owner: str, server: str) -> None:
        """Note that it goes."""
        self._until[owner, server] = monotonic() + _REMOVAL_SECONDS

    def is_going(self, user: Any, server: str) -> bool:
        """Whether it still goes; a stop that fails keeps nobody waiting for long."""
        until = self._until.get((user.name, server), 0)
        if until and (server not in user.orm_spawners or until < monotonic()):
            del self._until[user.name, server]
            return False
        return bool(until)


def _refuse_while_it_goes(handler: Any, user: Any, server: str) -> None:
    """Raise 409 if the server is being removed."""
    removals: Removals = handler.settings.setdefault("eugo_removals", Removals())
    if removals.is_going(user, server):
        raise web.HTTPError(
            409, f"{server} is being deleted. Start it again in a moment. [{Reason.WRONG_STATE}]"
        )


def _drafts(handler: Any) -> Drafts:
    drafts: Drafts = handler.settings.setdefault("eugo_drafts", Drafts())
    return drafts


def _find_user(handler: Any, name: str) -> Any:
    """Return the hub's user *name*; the scope that the caller asked for allows to know them."""
    user = handler.current_user if name == handler.current_user.name else handler.find_user(name)
    if user is None:
        raise web.HTTPError(404, f"No such user: {name}")
    return user


class WorkspaceSpawnHandler(StrictPage, SpawnHandler):
    """The spawn page: GET shows and prefills the form, POST starts."""

    _asked: tuple[Any, str]

    @property
    def _spawner(self) -> Any:
        user, server_name = self._asked
        return user.spawners[server_name]

    @needs_scope("servers")
    async def _get(self, user_name: str, server_name: str, display_name: str) -> None:
        self.request.query_arguments = readable(self.request.query_arguments)
        user = _find_user(self, user_name)
        self._asked = (user, server_name)
        with _drafts(self).hold(user, server_name), _in_words():
            await super()._get(
                user_name=user_name, server_name=server_name, display_name=display_name
            )

    @needs_scope("servers")
    async def _post(self, user_name: str, server_name: str, display_name: str) -> None:
        user = _find_user(self, user_name)
        self._asked = (user, server_name)
        _refuse_while_it_goes(self, user, server_name)
        # The row that a GET made with this name is gone, so the name comes along.
        display_name = self.get_query_argument("display_name", "") or display_name
        with _drafts(self).hold(user, server_name), _in_words():
            if server_name:
                await self._check_named_server_request(user, server_name, display_name)
            spawner = user.get_or_create_spawner(server_name, display_name, replace_failed=True)
            pending_url = self._get_pending_url(user, server_name)
            if spawner.active:
                self.redirect(pending_url)  # pressed twice: it starts once
                return
            spawner.attempt = None
            spawner.handler = self  # who asks; upstream tells the spawner only on GET
            try:
                words = await maybe_future(spawner.run_options_from_form(self._form_fields()))
                await self._wrap_spawn_single_user(
                    user, server_name, display_name, spawner, pending_url, words
                )
            except web.HTTPError as refusal:
                # An answer, so no traceback. The spawner may be another one after a start.
                self.log.warning("Not started: %s/%s: %s", user.name, server_name, refusal)
                self.set_status(refusal.status_code)
                for name, value in (getattr(refusal, "headers", None) or {}).items():
                    self.set_header(name, value)
                form_html = await self._spawner.get_options_form()
                self.finish(await self._render_form(user, form_html, _message(refusal)))

    def _form_fields(self) -> dict[str, list[str]]:
        return fields_of(accept_offer(readable(self.request.body_arguments)))

    def _get_user_options(self, query_options: Mapping[str, Sequence[str]]) -> dict[str, object]:
        """Prefill, and leave nothing for which upstream would start a server."""
        spawner = self._spawner
        spawner.attempt = None
        spawner.prefill = prefill(query_options)
        return {}

    async def _wrap_spawn_single_user(self, *args: Any, **kwargs: Any) -> Any:
        if self.request.method != "POST":
            # Upstream starts at once where a spawner has no form.
            raise web.HTTPError(405, "Opening this address starts nothing. Send the form.")
        return await super()._wrap_spawn_single_user(*args, **kwargs)

    async def _render_form(
        self,
        for_user: Any,
        spawner_options_form: str,
        message: str | None = "",
        html_message: str | None = "",
    ) -> str:
        del html_message  # messages are text
        spawner = self._spawner
        attempt = getattr(spawner, "attempt", None)
        page: str = await self.render_template(
            "spawn.html",
            for_user=for_user,
            auth_state=await for_user.get_auth_state(),
            spawner=spawner,
            spawner_options_form=spawner_options_form,
            # The form says it beside the fields.
            error_message="" if attempt is not None and attempt.refusals else message,
            url=self._form_url(),
        )
        return page

    def _form_url(self) -> str:
        kept = {name: self.get_query_argument(name, "") for name in _KEPT}
        url: str = url_concat(
            self.request.path, {name: value for name, value in kept.items() if value}
        )
        return url


def _message(refusal: web.HTTPError) -> str:
    """Return what *refusal* says to people; upstream's text of it has class and status in it."""
    for attribute in ("jupyterhub_message", "message", "log_message", "reason"):
        if text := getattr(refusal, attribute, None):
            return str(text)
    return f"The hub answered with status {refusal.status_code}."


@contextmanager
def _in_words() -> Iterator[None]:
    """Answer 503 instead of 500 when the form cannot be made because something is down."""
    try:
        yield
    except (StoreError, ClusterError) as error:
        raise web.HTTPError(503, f"The form cannot be shown at present: {error}") from error


def free_server(user: Any) -> str:
    """Return the name of a server that the hub's *user* does not have; empty: the default one."""
    default = user.orm_spawners.get("")
    if default is None or (default.last_activity is None and default.server is None):
        return ""
    return next(
        name for number in count(2) if (name := f"workspace-{number}") not in user.orm_spawners
    )


class WorkspaceHomeHandler(StrictPage, HomeHandler):
    """The page of one's workspaces, with what one may do to them (F33, F105)."""

    _denied: Mapping[str, str]
    _overview: Overview | None

    @web.authenticated
    async def get(self) -> None:
        """Show it."""
        name = self.current_user.name
        answers = await access.answers(self, _SHOWN_AT_HOME, name, "")
        self._denied = {
            str(action): found.sentence for action, found in answers.items() if not found.is_allowed
        }
        self._overview = await self._look(name)
        await super().get()

    async def _look(self, name: str) -> Overview | None:
        """Return the workspaces of *name*; `None`: the records cannot be read."""
        desk = access.desk_behind(self)
        if desk is None or str(Action.VIEW) in self._denied:
            return None
        try:
            return await desk.show(
                name, access.actor_of(self, Action.VIEW, name, ""), _unrecorded(self.current_user)
            )
        except StoreError as error:
            self.log.warning("The workspaces of %s cannot be shown: %s", name, error)
            return None

    def render_template(self, name: str, sync: bool = False, **words: Any) -> Any:  # noqa: FBT001, FBT002
        """Render upstream's page, with what ours needs beside upstream's words."""
        owner = words["user"]
        words |= {
            "denied": self._denied,
            "overview": self._overview,
            "local": local,
            "ago": ago,
            "address_of": lambda server: url_path_join(
                self.hub.base_url, links.WORKSPACES, owner.escaped_name, server or links.DEFAULT
            ),
            "request_url": url_path_join(self.hub.base_url, links.REQUEST_ACCESS),
            "create_url": url_path_join(
                self.hub.base_url, "spawn", owner.escaped_name, free_server(owner)
            ),
        }
        return super().render_template(name, sync, **words)


def _unrecorded(user: Any) -> list[Workspace]:
    """Return what the hub has of *user*, for those servers of which there is no record."""
    found = []
    for server, row in user.orm_spawners.items():
        spawner = user.spawners.get(server)
        active = spawner is not None and spawner.active
        if not (server or active or row.last_activity):
            continue
        began = (row.started or row.last_activity or utcnow(with_tz=False)).replace(tzinfo=UTC)
        found.append(
            Workspace(
                owner=user.name, server=server, project="", options={},
                name=row.display_name or server or user.name,
                created_at=began, changed_at=began,
                state=State.RUNNING if active else State.STOPPED,
            )
        )  # fmt: skip
    return found


def ago(at: datetime, now: datetime) -> str:
    """Return how long *at* is ago, or ahead, in words: ``12 min ago``, ``in 2 h``."""
    seconds = int((now - at).total_seconds())
    size = abs(seconds)
    for length, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if size >= length:
            words = f"{size // length} {unit}"
            return f"{words} ago" if seconds > 0 else f"in {words}"
    return "just now" if seconds >= 0 else "in less than a minute"


class WorkspaceOperationHandler(SentFromHere):
    """
    What is done to a workspace: one address for each operation, by form or by script.

    POST only. A form comes back to the page of workspaces; whoever asks for JSON gets an empty object, or
    the hub's error with its reason.
    """

    @web.authenticated
    async def post(self, user_name: str, server_name: str, operation: str) -> None:
        """Do it."""
        desk = access.desk_behind(self)
        user = self.find_user(user_name)
        deed = _DEEDS.get(operation)
        if desk is None or deed is None:
            raise web.HTTPError(404, "There is nothing at this address.")
        if user is None:
            raise web.HTTPError(
                404, f"There is no workspace of {user_name}, or you may not see it."
            )
        server = "" if server_name == links.DEFAULT else server_name
        actor = access.actor_of(self, deed.needs, user_name, server)
        try:
            await deed.run(self, desk, actor, user, server)
        except Barred as refusal:
            status = RULES[Reason(refusal.reason)].status
            raise web.HTTPError(status, f"{refusal.sentence} [{refusal.reason}]") from refusal
        except StoreError as error:
            raise web.HTTPError(
                503, "The records are unavailable at the moment. Try again in a few minutes."
            ) from error
        if self._wants_json():
            self.set_header("Content-Type", "application/json")
            self.finish("{}")
        else:
            self.redirect(url_path_join(self.hub.base_url, "home"), status=303)

    def write_error(self, status_code: int, **words: Any) -> Any:
        """Answer in the form that was asked for."""
        if not self._wants_json():
            return super().write_error(status_code, **words)
        error = words.get("exc_info", (None, None, None))[1]
        said = _message(error) if isinstance(error, web.HTTPError) else "Something went wrong here."
        self.set_header("Content-Type", "application/json")
        return self.finish(json.dumps({"status": status_code, "message": said}))

    def _wants_json(self) -> bool:
        return "application/json" in self.request.headers.get("Accept", "")

    async def _keep(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        await desk.lives.keep(actor, user.name, server)

    async def _extend(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        await desk.lives.extend(actor, user.name, server)

    async def _reset(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        await desk.lives.reset(actor, user.name, server)

    async def _resume(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        await desk.lives.resume(actor, user.name, server)

    async def _switch(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        found = await desk.lives.switch_queue(actor, user.name, server)
        if found.running is None:
            await self._start(desk, actor, user, server)
        else:
            await desk.label_queue(found.running)

    async def _suspend(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        why = self.get_body_argument("reason", "")
        await desk.lives.suspend(actor, user.name, server, why=why)
        await self._end(user, server)

    async def _terminate(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        confirmation = self.get_body_argument("confirmation", "")
        await desk.lives.terminate(actor, user.name, server, confirmation=confirmation)
        await self._end(user, server)

    async def _stop(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        await self._require(Action.STOP, user, server)
        spawner = user.spawners.get(server)
        if spawner is None or not spawner.active:
            raise Barred(Reason.WRONG_STATE, "It does not run.")
        session = getattr(spawner, "_session_id", "")
        if session:
            await desk.say_why(session, owner=user.name, actor=actor.name)
        await self._end(user, server)

    async def _start(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        """Start it with what it was last started with; the form changes that first."""
        await self._require(Action.DEPLOY, user, server)
        found = await desk.lives.find(actor, user.name, server)
        if not may_ask(found.workspace.state, Operation.START):
            word = LOOKS[found.workspace.state].word
            raise Barred(Reason.WRONG_STATE, f"It is {word} and cannot be started.")
        _refuse_while_it_goes(self, user, server)
        words = {**found.workspace.options, "name": found.workspace.name}
        with _drafts(self).hold(user, server):
            spawner = user.get_or_create_spawner(server, found.workspace.name, replace_failed=True)
            if spawner.active:
                return  # pressed twice: it starts once
            await self.spawn_single_user(user, server, found.workspace.name, options=words)

    async def _delete(self, desk: Desk, actor: Actor, user: Any, server: str) -> None:
        """Take it off the list; what runs is stopped first, and its data stays (F29)."""
        await self._require(Action.TERMINATE, user, server)
        spawner = user.spawners.get(server)
        if spawner is not None and spawner.active:
            await self._stop(desk, actor, user, server)
        row = user.orm_spawners.get(server)
        if server and row is not None:
            spawner = user.spawners[server]
            if spawner.active:
                raise Barred(Reason.WRONG_STATE, "It is stopping. Delete it when it has stopped.")
            spawner.removed_by = actor.name
            await maybe_future(user._delete_spawner(spawner))  # noqa: SLF001 - as upstream's handler
            self.db.delete(row)
            user.spawners.pop(server, None)
            self.db.commit()
        else:
            await desk.lives.forget(actor, user.name, server)

    async def _require(self, action: Action, user: Any, server: str) -> None:
        found = await access.answer(self, action, user.name, server)
        if not found.is_allowed:
            raise Barred(found.reason, f"{found.title}. {found.sentence}")

    async def _end(self, user: Any, server: str) -> None:
        """Stop the server, if there is one; a start that is under way is broken off."""
        spawner = user.spawners.get(server)
        if spawner is None:
            return
        if spawner.pending == "spawn":
            await _break_off(spawner)
        if spawner.pending is None and spawner.active:
            await self.stop_single_user(user, server)


async def _break_off(spawner: Any) -> None:
    start = spawner._spawn_future  # noqa: SLF001 - upstream's own way to interrupt
    if start is not None:
        start.cancel()
        await asyncio.wait([start], timeout=_CANCEL_SECONDS)
        await asyncio.sleep(0)  # its callbacks clear the pending mark


class _Deed(NamedTuple):
    needs: Action
    run: Callable[[WorkspaceOperationHandler, Desk, Actor, Any, str], Awaitable[None]]


_DEEDS: Final[Mapping[str, _Deed]] = {
    "start": _Deed(Action.DEPLOY, WorkspaceOperationHandler._start),  # noqa: SLF001 - this module's
    "stop": _Deed(Action.STOP, WorkspaceOperationHandler._stop),  # noqa: SLF001
    "keep": _Deed(Action.DEPLOY, WorkspaceOperationHandler._keep),  # noqa: SLF001
    "extend": _Deed(Action.DEPLOY, WorkspaceOperationHandler._extend),  # noqa: SLF001
    "switch-queue": _Deed(Action.DEPLOY, WorkspaceOperationHandler._switch),  # noqa: SLF001
    "reset": _Deed(Action.DEPLOY, WorkspaceOperationHandler._reset),  # noqa: SLF001
    "suspend": _Deed(Action.SUSPEND, WorkspaceOperationHandler._suspend),  # noqa: SLF001
    "resume": _Deed(Action.SUSPEND, WorkspaceOperationHandler._resume),  # noqa: SLF001
    "delete": _Deed(Action.TERMINATE, WorkspaceOperationHandler._delete),  # noqa: SLF001
    "terminate": _Deed(Action.TERMINATE, WorkspaceOperationHandler._terminate),  # noqa: SLF001
}


class WorkspacePendingHandler(StrictPage, SpawnPendingHandler):
    """The page while a workspace starts; POST cancels the start."""

    #: What time it is, as the hub's own columns have it: naive UTC.
    now = staticmethod(lambda: utcnow(with_tz=False))

    _asked: tuple[str, str]

    async def get(self, user_name: str, server_name: str = "") -> None:
        """Show how far the start is, or lead on to the workspace that runs."""
        self._asked = (user_name, server_name)
        await super().get(user_name=user_name, server_name=server_name)

    def get_next_url(self, user: Any = None, default: str | None = None) -> str:
        """Lead to where the workspace's program wants to be seen first (F46)."""
        if default is not None:
            user_name, server_name = self._asked
            landing = _find_user(self, user_name).spawners[server_name].landing_path
            default = url_path_join(default, landing) if landing else default
        url: str = super().get_next_url(user, default)
        return url

    def render_template(self, name: str, sync: bool = False, **words: Any) -> Any:  # noqa: FBT001, FBT002
        """Render upstream's page, with what ours needs beside upstream's words."""
        if name == "spawn_pending.html":
            words |= self._words(words["user"], words["spawner"])
        return super().render_template(name, sync, **words)

    def _words(self, user: Any, spawner: Any) -> dict[str, Any]:
        started = spawner.orm_spawner.started
        elapsed = (self.now() - started).total_seconds() if started else 0
        return {
            "elapsed_seconds": max(int(elapsed), 0),
            "steps": diagnosis.STEPS,  # until the first event says how far they are
            "cancel_url": self.request.path,
            "called": names.name_in(spawner.user_options),
            "form_url": self._form_url(user, spawner.name),
        }

    @web.authenticated
    @needs_scope("delete:servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Cancel the start of this very server, and go back to its form."""
        user = _find_user(self, user_name)
        if server_name not in user.orm_spawners:
            raise web.HTTPError(404, f"{user.name} has no such server {server_name}")
        spawner = user.spawners[server_name]
        if spawner.pending == "spawn":
            desk, session = access.desk_behind(self), getattr(spawner, "_session_id", "")
            if desk is not None and session:
                await desk.say_why(session, owner=user.name, actor=self.current_user.name)
            await _break_off(spawner)
            if spawner.pending is None:
                await self.stop_single_user(user, server_name)
        # Upstream's form leads on to this page again while anything is pending.
        self.redirect(self._form_url(user, server_name), status=303)

    def _form_url(self, user: Any, server_name: str) -> str:
        url: str = url_path_join(
            self.hub.base_url, "spawn", user.escaped_name, url_escape_path(server_name)
        )
        return url


class WorkspaceServerAPIHandler(SentFromHere, UserServerAPIHandler):
    """Start over REST, without a row left behind by a refusal."""

    @needs_scope("start:servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Start a server, made first if need be."""
        user = self.find_user(user_name)
        if user is None:
            raise web.HTTPError(404)
        _refuse_while_it_goes(self, user, server_name)
        with _drafts(self).hold(user, server_name):
            await super().post(user_name=user_name, server_name=server_name)

    async def patch(self, user_name: str, server_name: str = "") -> None:
        """Change a server's names and options; another name makes a server, for whoever may."""
        body = self.get_json_body()
        if not isinstance(body, dict) or not body.keys() <= _PATCHED:
            offered = ", ".join(sorted(_PATCHED))
            raise web.HTTPError(400, f"The body has {offered}, and nothing else.")
        if "name" in body:
            await self._require(Action.CREATE, user_name, server_name)
        await super().patch(user_name=user_name, server_name=server_name)

    async def put(self, user_name: str, server_name: str = "") -> None:
        """Create a server without starting it, if who asks may."""
        await self._require(Action.CREATE, user_name, server_name)
        await super().put(user_name=user_name, server_name=server_name)

    async def delete(self, user_name: str, server_name: str = "") -> None:
        """
        Stop a server, or remove it with its record, if who asks may (F105).

        With `session` in the body only that session: a server that was started anew meanwhile goes on.
        """
        action = Action.TERMINATE if self._removes() else Action.STOP
        if await self._require(action, user_name, server_name):
            # The hub's scopes know no organizations: who leads one has none of its own on the members'.
            self.expanded_scopes |= {f"delete:servers!user={user_name}"}
            self.parsed_scopes = scopes.parse_scopes(self.expanded_scopes)
        if self.has_scope(f"delete:servers!server={user_name}/{server_name}"):
            await self._prepare_stop(user_name, server_name)
        await super().delete(user_name=user_name, server_name=server_name)

    async def _prepare_stop(self, user_name: str, server_name: str) -> None:
        """
        Put on record who wants a server stopped, and make sure that it is the one that is meant.

        Raises:
            HTTPError: 409, another session is meant than the one that runs.
        """
        user = self.find_user(user_name)
        body = self.get_json_body()
        meant = body.get("session") if isinstance(body, dict) else None
        spawner = None if user is None else user.spawners.get(server_name)
        if spawner is None:
            return
        session = getattr(spawner, "_session_id", "")
        if meant is not None and spawner.active and meant != session:
            raise web.HTTPError(409, "Another session of it runs by now. [session-changed]")
        spawner.removed_by = self.current_user.name
        if self._removes() and spawner.active:
            removals: Removals = self.settings.setdefault("eugo_removals", Removals())
            removals.begin(user_name, server_name)
        desk = access.desk_behind(self)
        if session and spawner.active and desk is not None:
            await desk.say_why(session, owner=user_name, actor=self.current_user.name)

    async def _require(self, action: Action, user_name: str, server_name: str) -> bool:
        """
        Return whether the directory lets who asks do *action*; `False`: upstream says that they may not.

        Raises:
            HTTPError: 403 with who may; 404 for whoever may not know of it, as a stranger is told.
        """
        if self.current_user is None or self.find_user(user_name) is None:
            return False
        found = await access.answer(self, action, user_name, server_name)
        if not found.is_allowed:
            if not self.has_scope(f"read:servers!user={user_name}"):
                raise web.HTTPError(404)
            raise web.HTTPError(403, f"{found.title}. {found.sentence} [{found.reason}]")
        return True

    def _removes(self) -> bool:
        body = self.get_json_body()
        return isinstance(body, dict) and bool(body.get("remove", False))


async def _refuse_access(handler: Any, found: access.Answer, owner: str, server: str) -> None:
    """Answer with the page that says why somebody cannot open a workspace, and offers what helps."""
    handler.set_status(403)
    handler.set_header("Cache-Control", "no-store")
    page = await handler.render_template(
        "access_denied.html",
        title=found.title or "You have no access to this workspace",
        sentence=found.sentence,
        is_suspended=found.reason is Reason.ACCOUNT_SUSPENDED,
        owner=owner,
        server=server,
        request_url=url_path_join(handler.hub.base_url, links.REQUEST_ACCESS),
        home_url=url_path_join(handler.hub.base_url, "home"),
        sign_out_url=url_path_join(handler.hub.base_url, "logout"),
    )
    handler.finish(page)


class WorkspaceUrlHandler(StrictPage, UserUrlHandler):
    """The address of a workspace that does not run, or of somebody else's."""

    @web.authenticated
    async def get(self, user_name: str, user_path: str | None) -> None:
        """Say that it does not run, or that it is not for who asks; whether it exists is no answer."""
        server = (user_path or "/").split("/")[1]
        scope = f"access:servers!server={user_name}"
        is_let_through = any(self.has_scope(f"{scope}/{each}") for each in ("", server))
        if is_let_through or "application/json" in self.request.headers.get("Accept", ""):
            await super().get(user_name, user_path)
            return
        found = await access.answer(self, Action.ACCESS, user_name, server)
        await _refuse_access(self, found, user_name, server)


class WorkspaceAuthorizeHandler(StrictPage, OAuthAuthorizeHandler):
    """The way into a workspace: open to its owner, and to whom a role lets look into it (F110)."""

    @web.authenticated
    async def get(self) -> None:
        """Let somebody in, ask them whether they want to, or say why not."""
        if await self._is_let_in():
            await super().get()

    @web.authenticated
    async def post(self) -> None:
        """Let somebody in who was asked."""
        if await self._is_let_in():
            await maybe_future(super().post())

    async def _is_let_in(self) -> bool:
        """Answer with help and return `False` if it is a workspace that they may not open."""
        named = self.get_argument("client_id", "")
        client = self.db.query(orm.OAuthClient).filter_by(identifier=named).first()
        if client is None or client.spawner is None:
            return True
        owner, server = client.spawner.user.name, client.spawner.name
        found = await access.answer(self, Action.ACCESS, owner, server)
        if found.is_allowed and self.has_scope(f"access:servers!server={owner}/{server}"):
            await access.record(self, "open", owner, server)
            return True
        self.log.warning("%s may not open %s/%s", self.current_user.name, owner, server)
        await _refuse_access(self, found, owner, server)
        return False


class RequestAccessHandler(StrictPage, BaseHandler):
    """Puts a wish for access on record, where whoever can fulfil it sees it (F110)."""

    @web.authenticated
    async def get(self) -> None:
        """Say what asking means, with the button for it."""
        name = self.current_user.name
        self.finish(
            await self.render_template(
                "access_request.html",
                owner=name,
                who=await self._who(name),
                url=self.request.path,
            )
        )

    @web.authenticated
    async def post(self) -> None:
        """Record the wish, once a day."""
        owner, server = self.get_body_argument("owner", ""), self.get_body_argument("server", "")
        desk = access.desk_behind(self)
        if not 0 < len(owner) <= _LONGEST_NAME or len(server) > _LONGEST_NAME or desk is None:
            raise web.HTTPError(400, "owner: expected a name. Go back and try again.")
        name = self.current_user.name
        what = f"people.{name}" if (owner, server) == (name, "") else f"workspace.{owner}/{server}"
        try:
            await desk.wish(what, actor=name)
        except StoreError as error:
            raise web.HTTPError(
                503, "Your request could not be put on record. Try again in a few minutes."
            ) from error
        self.finish(
            await self.render_template(
                "access_requested.html",
                who=await self._who(name) if owner == name else _LOOKS_INTO_OTHERS,
                home=url_path_join(self.hub.base_url, "home"),
            )
        )

    async def _who(self, owner: str) -> str:
        """Return who decides about what *owner* asks for: whoever leads their organization."""
        desk = access.desk_behind(self)
        if desk is None:
            return "an admin"
        target, _ = await desk.workspace(owner, "")
        return who_may(Action.ASSIGN_ROLE, target)


class WhoAmIHandler(SelfAPIHandler):
    """
    Tells a workspace who somebody is.

    Workspaces let in whoever has a scope for them; those that no role gives any more are left out, so a role
    that is taken away shuts an open tab when the workspace asks next (`HubAuth.cache_max_age`, five
    minutes). Nobody's token opens somebody else's: an admin's look begins in a browser, and is on record.
    """

    async def get(self) -> None:
        """Answer with the model of who asks."""
        user = self.current_user
        if isinstance(user, User):
            kept = [each for each in self.expanded_scopes if await self._holds(each)]
            self.expanded_scopes: frozenset[str] = frozenset(kept)
            self.parsed_scopes = scopes.parse_scopes(self.expanded_scopes)
        await super().get()

    def _came_through_the_door(self, owner: str, server: str) -> bool:
        """Whether the token is a session that `WorkspaceAuthorizeHandler` let into this workspace."""
        token = self.get_token()
        client = None if token is None else token.oauth_client
        spawner = None if client is None else client.spawner
        return spawner is not None and (spawner.user.name, spawner.name) == (owner, server)

    async def _holds(self, scope: str) -> bool:
        name, _, narrowed = scope.partition("!")
        if name != "access:servers":
            return True
        kind, _, value = narrowed.partition("=")
        if not kind:
            return False  # a look into somebody else's goes through the door, which records it
        if kind not in {"user", "server"}:
            return True
        owner, _, server = value.partition("/") if kind == "server" else (value, "", "")
        if self._came_through_the_door(owner, server):
            found = await access.answer_to_session(self, Action.ACCESS, owner, server)
        elif owner == self.current_user.name:
            found = await access.answer(self, Action.ACCESS, owner, server)
        else:
            return False
        return found.is_allowed


class WorkspaceActivityHandler(ActivityAPIHandler):
    """Takes what a workspace tells of its use, whether or not its owner is signed in."""

    async def refresh_auth(self, user: Any, force: bool = False) -> Any:  # noqa: FBT001, FBT002
        """Ask the provider about people, not about programs: work goes on when its owner went home."""
        token = self.get_token()
        if token is not None and (token.note or "").startswith(_SERVER_NOTE):
            return user
        return await super().refresh_auth(user, force)

    @needs_scope("users:activity")
    async def post(self, user_name: str) -> None:
        """Take over what upstream takes, and keep of each server's session when it was used."""
        await maybe_future(super().post(user_name=user_name))
        user, body = self.find_user(user_name), self.get_json_body()
        desk = access.desk_behind(self)
        servers = body.get("servers") if isinstance(body, dict) else None
        if user is None or desk is None or not servers:
            return
        seen = {}
        for name, told in servers.items():
            spawner = user.spawners.get(name)
            session = getattr(spawner, "_session_id", "")
            if session and spawner.active:
                seen[session] = _moment(told["last_activity"])
        await desk.note_activity(seen)


def _moment(text: str) -> datetime:
    """Return the moment of an ISO time that upstream has taken; without a zone it is UTC."""
    found = dateutil_parse(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found


class PreflightHandler(SentFromHere):
    """
    Says what would come of the form as it stands; starts, makes and reserves nothing (L2).

    POST with the form's fields, answered in JSON (`preflight.to_json`). The hub's XSRF check
    and scopes hold as for the form itself.
    """

    @web.authenticated
    @needs_scope("servers")
    async def post(self, user_name: str, server_name: str = "") -> None:
        """Judge the fields."""
        user = _find_user(self, user_name)
        # A name that has no server yet would get a row in the hub's database by being looked at.
        spawner = user.spawners[server_name if server_name in user.orm_spawners else ""]
        words = options.from_form(fields_of(readable(self.request.body_arguments)))
        verdict = await spawner.judge(words, handler=self, workspace=server_name)
        described = preflight.describe(verdict.decision, words=words, nearest=verdict.nearest)
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        self.finish(json.dumps(preflight.to_json(described)))


class AssetHandler(web.StaticFileHandler):
    """Serves our scripts and styles: for ever by version, else after asking again."""

    def validate_absolute_path(self, root: str, absolute_path: str) -> str | None:
        """Serve only the kinds of files that are meant to be."""
        if PurePosixPath(absolute_path).suffix not in assets.CONTENT_TYPES:
            raise web.HTTPError(404)
        return super().validate_absolute_path(root, absolute_path)

    def get_content_type(self) -> str:
        """Return the type by our table, not by the machine's."""
        return assets.CONTENT_TYPES[PurePosixPath(str(self.absolute_path)).suffix]

    def get_cache_time(self, path: str, modified: object, mime_type: str) -> int:
        """Leave caching to `set_extra_headers`."""
        del path, modified, mime_type
        return 0

    def set_extra_headers(self, path: str) -> None:
        """Let a versioned address be kept, and nothing be guessed or embedded."""
        del path  # as it was written; one file has many spellings
        name = PurePosixPath(str(self.absolute_path)).relative_to(assets.STATIC).as_posix()
        current = self.get_query_argument("v", "") == assets.version(name)
        self.set_header(
            "Cache-Control", "public, max-age=31536000, immutable" if current else "no-cache"
        )
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Content-Security-Policy", "default-src 'none'")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")


_OWN: Final = (
    (rf"/{assets.PATH}(.*)", AssetHandler, {"path": str(assets.STATIC)}),
    (rf"/{preflight.PATH}/([^/]+)/?", PreflightHandler),
    (rf"/{preflight.PATH}/([^/]+)/([^/]+)", PreflightHandler),
    (rf"/{links.REQUEST_ACCESS}", RequestAccessHandler),
    (rf"/{links.WORKSPACES}/([^/]+)/([^/]+)/([a-z-]+)", WorkspaceOperationHandler),
)


def install() -> None:
    """
    Put our handlers in the place of the hub's, before it reads its tables; idempotent.

    Raises:
        ConfigError: A table has none of what is to be replaced: this JupyterHub is not the one
            that was tested.
    """
    scrubbing.install()
    _replace(handlers.default_handlers, HomeHandler, WorkspaceHomeHandler)
    _replace(handlers.default_handlers, SpawnHandler, WorkspaceSpawnHandler)
    _replace(handlers.default_handlers, SpawnPendingHandler, WorkspacePendingHandler)
    _replace(apihandlers.default_handlers, UserServerAPIHandler, WorkspaceServerAPIHandler)
    _replace(handlers.default_handlers, UserUrlHandler, WorkspaceUrlHandler)
    _replace(apihandlers.default_handlers, ActivityAPIHandler, WorkspaceActivityHandler)
    _replace(apihandlers.default_handlers, OAuthAuthorizeHandler, WorkspaceAuthorizeHandler)
    _replace(apihandlers.default_handlers, SelfAPIHandler, WhoAmIHandler)
    handlers.default_handlers.extend(
        entry for entry in _OWN if entry not in handlers.default_handlers
    )


def _replace(table: list[Any], theirs: type, ours: type) -> None:
    if not any(entry[1] in {theirs, ours} for entry in table):
        message = (
            f"JupyterHub's table of handlers has no {theirs.__name__}: use a JupyterHub 6.1 that "
            "eugospawner was tested with, or update eugospawner.handlers"
        )
        raise ConfigError(message)
    table[:] = [(entry[0], ours, *entry[2:]) if entry[1] is theirs else entry for entry in table]
