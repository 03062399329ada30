"""
Web: what every page and route of a service has in common.

Who asks is known from the hub: by an OAuth cookie on pages, by a token in the API. The hub is asked
at each request and nothing is remembered, so a role that is taken away counts at the next click. A
cookie is believed on a write only with its XSRF token.
Scripts and styles come from the hub and from us; nothing is inline, and nobody may frame a page.

Source: JupyterHub 6.1, `services/auth.py`; OWASP ASVS 4.0 V14.4; facts on security.
"""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from jupyterhub.httpclient import JupyterHubHTTPClient
from jupyterhub.services.auth import (
    HubOAuth,
    HubOAuthCallbackHandler,
    HubOAuthenticated,
    UserNotAllowed,
)
from tornado import web

import eugospawner
from eugospawner import assets
from eugospawner.origins import SENTENCE, is_change_from_elsewhere
from eugospawner.policy.accounts import Actor
from eugospawner.policy.errors import Barred, ClusterError, StoreError, UnfitSettings
from eugospawner.policy.reasons import Reason
from hub_services.common.problems import CONTENT_TYPE, RULES, DoorReason, Fault

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

#: An entry of the catalog has 64 KiB at most; so has all that anybody sends.
LARGEST_BODY: Final = 131_072
_log: Final = logging.getLogger(__name__)

TEMPLATES: Final = Path(__file__).parent / "templates"
_SHARED: Final = Path(eugospawner.__file__).parent / "templates"

#: What an admin's token may; a token that was made for less acts for less.
ADMIN_SCOPES: Final = frozenset({"admin-ui", "admin:users"})
METRICS_SCOPE: Final = "read:metrics"

_HEADERS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_SERVER_ERROR: Final = 500
_BY_STATUS: Final = {status: reason for reason, (status, _) in RULES.items()}
_STORE_DOWN: Final = (
    "The records are unavailable at the moment. Nothing is lost, and running workspaces are not "
    "affected. Try again in a few minutes, or tell an admin."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller(Actor):
    """
    Who asks, with the token by which they do: what is the hub's to do is asked for with it.

    Attributes:
        token: Of the hub; never shown, logged or kept.
    """

    token: str = field(default="", repr=False)


class Auth(HubOAuth):  # type: ignore[misc]
    """The hub's word on who somebody is, asked for at each request."""

    async def _check_hub_authorization(self, url: str, api_token: str, **_cache: object) -> Any:
        return await super()._check_hub_authorization(url, api_token, use_cache=False)


def cookie_secret(api_token: str) -> bytes:
    """
    Return what the cookies of a service are signed with.

    It follows from the token that the service and the hub share: after a restart, and at every
    replica, who is signed in still is, and a new token ends all sessions.
    """
    return hashlib.blake2b(api_token.encode(), digest_size=32, person=b"eugo cookies").digest()


async def close_hub_connections() -> None:
    """Close what the hub was asked through."""
    await JupyterHubHTTPClient.loop_instance().close()


class Handler(HubOAuthenticated, web.RequestHandler):  # type: ignore[misc]
    """A request of somebody whom the hub knows."""

    hub_auth_class = Auth
    #: Whether whoever has no cookie is sent to sign in.
    is_page = False

    def set_default_headers(self) -> None:
        """Set what every answer has."""
        for name, value in _HEADERS.items():
            self.set_header(name, value)
        self.clear_header("Server")

    async def prepare(self) -> None:
        """
        Find out who asks.

        Raises:
            HTTPError: The hub could not be asked.
            Fault: Nobody is signed in, or may not come in.
        """
        model = await self._identify()
        if model is None:
            if self._may_go_and_sign_in():
                self.redirect(self.get_login_url())
                return
            raise Fault(DoorReason.NOT_SIGNED_IN, self._how_to_sign_in())
        self.user_model: Mapping[str, Any] = model
        scopes = set(model.get("scopes") or ())
        is_admin = bool(ADMIN_SCOPES & scopes)
        # Who looks at a page is limited by nothing but their roles, and so is an admin's token. A session
        # of a page is a token that the hub made for its cookie.
        sent = self.hub_auth.get_token(self, in_cookie=False)
        if not sent and is_change_from_elsewhere(self.request.method, self.request.headers):
            raise Fault(DoorReason.NOT_PERMITTED, SENTENCE)
        limited = (bool(sent) or not model.get("session_id")) and not is_admin
        self.actor = Caller(
            name=model["name"],
            is_admin=is_admin,
            scopes=frozenset(scopes) if limited else None,
            token=sent or self.hub_auth.get_token(self) or "",
        )

    def _may_go_and_sign_in(self) -> bool:
        """
        Whether whoever asks can be sent to sign in and come back.

        Not what a page fetches in the background: it would sign in unseen, and the new session would
        leave the forms on the page without a token that fits. Browsers say which is which (Fetch
        Metadata, W3C); a client that does not say is taken for somebody who looks at the page.
        """
        mode = self.request.headers.get("Sec-Fetch-Mode", "navigate")
        return self.is_page and self.request.method in {"GET", "HEAD"} and mode == "navigate"

    async def _identify(self) -> Mapping[str, Any] | None:
        try:
            model: Mapping[str, Any] | None = await self.hub_auth.get_user(self, sync=False)
            if model is not None:
                model = self.check_hub_user(model)
        except UserNotAllowed as error:
            self._hub_auth_user_cache = None
            raise Fault(
                DoorReason.NOT_PERMITTED,
                "Your token may not use this service. Make one whose scopes include it, or ask an admin.",
            ) from error
        except web.HTTPError as error:
            self._hub_auth_user_cache = None
            if error.status_code >= _SERVER_ERROR:
                raise Fault(
                    DoorReason.HUB_UNAVAILABLE, "The hub cannot be asked who you are. Try again."
                ) from error
            raise
        self._hub_auth_user_cache = model
        return model

    @staticmethod
    def _how_to_sign_in() -> str:
        return (
            "Send a token of yours as 'Authorization: token …'; "
            "the hub's page Token makes one. A page is left by its XSRF token: load it again."
        )

    def write_problem(self, fault: Fault) -> None:
        """Answer with a problem."""
        self.set_status(fault.status)
        self.set_header("Content-Type", CONTENT_TYPE)
        self.finish(fault.to_problem().model_dump_json())

    def write_error(self, status_code: int, **keywords: Any) -> None:
        """Answer whatever went wrong; what is our own fault is logged and not shown."""
        error = keywords.get("exc_info", (None, None, None))[1]
        self.refuse(fault_of(error, status_code))

    def refuse(self, fault: Fault) -> None:
        """Answer a refusal."""
        self.write_problem(fault)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Log what is our fault; refusals are answers. A query may have what nobody should read, and is not logged."""
        if isinstance(value, Fault | Barred | web.HTTPError):
            return
        asked = self._request_summary().partition("?")[0]
        if isinstance(value, StoreError | ClusterError):
            _log.warning("%s: %s", asked, value)
            return
        _log.error("%s broke off", asked, exc_info=(typ, value, tb))


def fault_of(error: BaseException | None, status: int = _SERVER_ERROR) -> Fault:
    """Return how *error* is answered."""
    if isinstance(error, Fault):
        return error
    if isinstance(error, Barred):
        return Fault(Reason(error.reason), error.sentence)
    if isinstance(error, UnfitSettings):
        return Fault(DoorReason.STORE_UNAVAILABLE, f"{error}. An admin must mend it.")
    if isinstance(error, StoreError):
        return Fault(DoorReason.STORE_UNAVAILABLE, _STORE_DOWN)
    if isinstance(error, ClusterError):
        return Fault(DoorReason.CLUSTER_UNAVAILABLE, f"{error}. Try again, or ask an admin.")
    reason = _BY_STATUS.get(
        status, DoorReason.FAILED if status >= _SERVER_ERROR else DoorReason.MALFORMED
    )
    if reason is DoorReason.FAILED:
        return Fault(reason, "Something went wrong here. Tell an admin: the service's log has it.")
    said = getattr(error, "log_message", None) or ""
    return Fault(reason, said or RULES[reason][1])


class Page(Handler):
    """A page, in the look of the hub's own."""

    is_page = True
    #: What the way to the service's first page is called; empty: as the application says.
    first = ""
    #: Set by the application: how the service is called.
    brand = "Eugo"

    def render_page(self, template: str, **values: object) -> None:
        """Answer with *template*."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(environment().get_template(template).render(**self._surroundings(), **values))

    def refuse(self, fault: Fault) -> None:
        """Show a refusal as a page."""
        self.set_status(fault.status)
        try:
            self.render_page("problem.html", problem=fault.to_problem())
        except Exception:  # noqa: BLE001 - the last resort of an answer
            _log.exception("The page of a refusal cannot be shown")
            self.write_problem(fault)

    def _surroundings(self) -> dict[str, object]:
        """Return what the frame of every page needs."""
        model = getattr(self, "user_model", None)
        hub = self.hub_auth.hub_prefix
        return {
            "asset": lambda name: assets.url(hub, name),
            "hub": hub,
            "static": f"{hub}static/",
            "base": self.settings["prefix"],
            "first": self.first or self.settings["first"],
            "navigation": self.settings["navigation"](getattr(self, "actor", None)),
            "here": self.request.path,
            "user": None if model is None else model["name"],
            "xsrf": self.xsrf_token.decode(),
            "quote": lambda text: quote(str(text), safe=""),
        }


class Callback(HubOAuthCallbackHandler):  # type: ignore[misc]
    """The end of signing in."""

    hub_auth_class = Auth


class NotFound(Page):
    """Whatever has no address."""

    async def prepare(self) -> None:
        """Say so, as a problem below the API and as a page elsewhere."""
        fault = Fault(DoorReason.NOT_FOUND, "There is nothing at this address.")
        if "/api/" in self.request.path:
            self.write_problem(fault)
            return
        await super().prepare()
        if not self._finished:
            raise fault


class Health(web.RequestHandler):
    """Whether the service does its work; for Kubernetes, so it needs no token and tells no more."""

    def initialize(self, check: Callable[[], Awaitable[str]]) -> None:
        """Take over what answers: an empty text, or what is wrong."""
        self._check = check

    async def get(self) -> None:
        """Answer 200, or 503 and what is wrong."""
        self.set_header("Content-Type", "application/json")
        self.set_header("Cache-Control", "no-store")
        wrong = await self._check()
        self.set_status(503 if wrong else 200)
        self.finish({"status": "failing" if wrong else "ok", "detail": wrong})


class Metrics(Handler):
    """What Prometheus reads; needs a token that may read the hub's metrics, too."""

    def initialize(self, export: Callable[[], bytes]) -> None:
        """Take over what returns the text."""
        self._export = export

    def check_hub_user(self, model: Any) -> Any:
        """Let in whoever may read metrics, whether or not they may use the service."""
        if METRICS_SCOPE not in (model.get("scopes") or ()):
            raise UserNotAllowed(model)
        return model

    async def get(self) -> None:
        """Answer with the text format."""
        self.set_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.finish(self._export())


@cache
def environment() -> Environment:
    """Return where templates are found: the service's, then those shared with the hub's pages."""
    services = Path(__file__).parents[1]
    return Environment(
        loader=FileSystemLoader([TEMPLATES, *sorted(services.glob("*/templates")), _SHARED]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
    )
