"""
Doors: the hub's addresses of signing in and out through a provider.

Every refusal is a page that says what happened, what to do, and offers it: OAuthenticator's answer to a
lost state is an error page that leads back to itself. Out means out everywhere: here, at the provider, and
here again when somebody signs out there (back-channel logout). Source: F109, F110; RP-Initiated Logout 1.0;
Back-Channel Logout 1.0.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from jupyterhub import orm
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import url_path_join
from oauthenticator.oauth2 import (
    OAuthCallbackHandler,
    OAuthLoginHandler,
    OAuthLogoutHandler,
    _deserialize_state,
    _serialize_state,
)
from tornado import web

from eugospawner import access, links
from eugospawner.frames import StrictPage, asset_url
from eugospawner.oidc.relying import ProviderRefused, ProviderUnavailable
from eugospawner.oidc.tokens import Flaw, TokenRefused
from eugospawner.origins import is_from_elsewhere
from eugospawner.policy.errors import EugoError, SignInError, StoreError
from eugospawner.policy.lifecycle import Ending

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.store.invitations import Invitation

_BITS: Final = 32
#: Cookie: the provider's name for the session by which this browser was signed in.
_SESSION: Final = "eugo-provider-session"
_INVITATION_COOKIE: Final = "eugo-invitation"
#: So long somebody has for signing in, or up, at the provider.
_INVITATION_HOURS: Final = 2
_LONGEST_TOKEN: Final = 200
_CLOCKS: Final = frozenset({Flaw.EXPIRED, Flaw.NOT_YET_VALID})
#: A code or a logout token is short; whatever is longer is none.
_LONGEST_ARGUMENT: Final = 200_000


#: The client of tokens that the hub gave to people and their workspaces themselves.
_HUB_ITSELF: Final = "jupyterhub"


class Help(NamedTuple):
    """What a page says to somebody who was not let in."""

    key: str
    status: int
    title: str
    what: str
    todo: str


LOST_STATE: Final = Help(
    "invalid_state",
    400,
    "The sign-in was not finished in time, or in another window",
    "Your browser did not bring back what this hub gave it when the sign-in began (invalid_state).",
    "Sign in again. If that does not help: allow cookies for this address and for your provider's, "
    "close other windows of this hub, and try without private browsing.",
)
CLOCK: Final = Help(
    "clock",
    400,
    "Clocks do not agree",
    "Your provider's clock and this hub's are more than 5 minutes apart, so its word cannot be believed.",
    "Tell an admin: the hub's or the provider's clock is to be set by NTP. Then sign in again.",
)
AWAY: Final = Help(
    "provider-away",
    503,
    "Your provider does not answer",
    "This hub cannot ask your identity provider who you are at the moment.",
    "Try again in a few minutes. Workspaces that run go on running.",
)
REFUSED: Final = Help(
    "provider-refused",
    403,
    "Your provider did not let you in",
    "Your identity provider refused the sign-in: your account may be inactive there, you may not be "
    "assigned to this hub, or you cancelled.",
    "Sign in again, perhaps with another account, or ask whoever manages your account there.",
)
UNBELIEVABLE: Final = Help(
    "not-believed",
    403,
    "The answer is not your provider's",
    "What came back does not prove who you are, so nobody was signed in.",
    "Sign in again. If it happens again, tell an admin: the hub's log says what is wrong with it.",
)
NOT_LET_IN: Final = Help(
    "not-let-in",
    403,
    "You cannot be signed in here",
    "Your identity provider knows you, and this hub does not let you in.",
    "Ask an admin of this hub.",
)
BROKEN: Final = Help(
    "unavailable",
    503,
    "Signing in does not work at the moment",
    "The hub's records or settings cannot be reached.",
    "Try again in a few minutes, or tell an admin. Workspaces that run go on running.",
)


def help_for(error: BaseException) -> Help:
    """Return the help for an *error* of signing in; a sentence that is for people is passed on."""
    match error:
        case TokenRefused(flaw=flaw) if flaw in _CLOCKS:
            return CLOCK
        case TokenRefused():
            return UNBELIEVABLE
        case ProviderUnavailable():
            return AWAY
        case ProviderRefused():
            return REFUSED
        case SignInError():
            return NOT_LET_IN._replace(what=f"{error}.")
        case _:
            return BROKEN


class _Door:
    """What signing in and its end have in common."""

    async def _help(self: Any, found: Help) -> None:
        """Answer with the page of *found*."""
        self.set_status(found.status)
        self.set_header("Cache-Control", "no-store")
        now = self.authenticator.now().astimezone(UTC)
        html = await self.render_template(
            "sign_in_help.html",
            found=found,
            again=url_path_join(self.hub.base_url, "oauth_login"),
            out=url_path_join(self.hub.base_url, "logout?everywhere=1"),
            now=now.isoformat(),
            asset_url=asset_url(self),
        )
        self.finish(html)


class SignIn(_Door, OAuthLoginHandler):
    """The way to the provider, with all that tells its answer from a stranger's."""

    async def get(self) -> None:
        """Send somebody to sign in."""
        state, nonce, verifier = (secrets.token_urlsafe(_BITS) for _ in range(3))
        try:
            url = await self.authenticator.party.authorization_url(
                redirect_uri=self.authenticator.get_callback_url(self),
                state=state,
                nonce=nonce,
                verifier=verifier,
            )
        except SignInError as error:
            self.log.warning("Nobody can sign in: %s", error)
            await self._help(help_for(error))
            return
        self.set_state_cookie(
            _serialize_state(
                {
                    "state_id": state,
                    "next_url": self._get_next_url(),
                    "code_verifier": verifier,
                    "nonce": nonce,
                }
            )
        )
        self.redirect(url)


class Callback(_Door, OAuthCallbackHandler):
    """The way back from the provider."""

    #: Set by the authenticator: the provider's name for the session.
    provider_session: str | None = None

    def sign_in_state(self) -> Mapping[str, str]:
        """
        Return what was remembered when the sign-in began.

        Raises:
            HTTPError: It is not there, or not of this sign-in.
        """
        state: Any = _deserialize_state(self.get_state_cookie() or "")
        said = self.get_argument("state", "")
        known = state.get("state_id") if isinstance(state, dict) else None
        if (
            not isinstance(known, str)
            or not hmac.compare_digest(known.encode(), said.encode())
            or not all(isinstance(state.get(name), str) for name in ("nonce", "code_verifier"))
        ):
            raise web.HTTPError(400, "The state of the sign-in is lost")
        found: Mapping[str, str] = state
        return found

    def invitation(self) -> str:
        """Return the hash of the invitation's token that somebody came by; empty: by none."""
        token = self.get_secure_cookie(_INVITATION_COOKIE, max_age_days=_INVITATION_HOURS / 24)
        return links.hash_of((token or b"").decode("utf-8", "replace"))

    async def get(self) -> None:
        """Sign somebody in, or say why not."""
        try:
            self.sign_in_state()
        except web.HTTPError:
            self.log.info("A sign-in came back without its state")
            await self._help(LOST_STATE)
            return
        try:
            await self.authenticator.party.check_issuer(self.get_argument("iss", None))
            if self.get_argument("error", ""):
                await self._help(REFUSED)
                return
            if not 0 < len(self.get_argument("code", "")) <= _LONGEST_ARGUMENT:
                await self._help(LOST_STATE)
                return
            user = await self.login_user()
        except EugoError as error:
            self.log.warning("A sign-in was refused: %s", error)
            await self._help(help_for(error))
            return
        if user is None:
            await self._help(NOT_LET_IN)
            return
        self.clear_cookie(_INVITATION_COOKIE, path=self.hub.base_url)
        if self.provider_session is not None:
            self._set_cookie(
                _SESSION, self.provider_session, encrypted=True, path=self.hub.base_url
            )
        self.redirect(self.get_next_url(user))


class Invited(_Door, StrictPage):
    """Where the link of an invitation leads: what it is, and the way to sign in with it."""

    async def get(self) -> None:
        """Show it; nothing is redeemed by looking at it, as mail scanners do."""
        try:
            await self._show(await self._find(self.get_argument("token", "")))
        except StoreError as error:
            await self._broken(error)

    async def post(self) -> None:
        """Go and sign in; whoever comes back redeems it."""
        token = self.get_body_argument("token", "")
        try:
            found = await self._find(token)
        except StoreError as error:
            await self._broken(error)
            return
        if found is None:
            await self._show(None)
            return
        self.set_secure_cookie(
            _INVITATION_COOKIE,
            token,
            expires_days=_INVITATION_HOURS / 24,
            path=self.hub.base_url,
            httponly=True,
            samesite="Lax",
            secure=self.request.protocol == "https",
        )
        self.redirect(url_path_join(self.hub.base_url, "oauth_login"))

    async def _broken(self, error: StoreError) -> None:
        self.log.warning("An invitation cannot be looked up: %s", error)
        await self._help(BROKEN)

    async def _find(self, token: str) -> Invitation | None:
        """Return what *token* is for, if it can be redeemed."""
        if not 0 < len(token) <= _LONGEST_TOKEN:
            return None
        store = await self.authenticator.store()
        now = self.authenticator.now()
        found: Invitation | None = await store.invitations.find_open(links.hash_of(token), now)
        return found

    async def _show(self, found: Invitation | None) -> None:
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        name = "" if found is None else await self.authenticator.name_of(found.organization)
        if found is None:
            self.set_status(404)
        html = await self.render_template(
            "invitation.html",
            invitation=found,
            organization=name,
            token=self.get_argument("token", ""),
            sign_in=url_path_join(self.hub.base_url, "oauth_login"),
        )
        self.finish(html)


class SignOut(OAuthLogoutHandler):
    """
    Out of the hub, and of the provider if it offers that.

    With ``?everywhere=1`` also of the provider alone, for whoever got stuck before they were signed in here.
    """

    async def get(self) -> None:
        """
        Sign somebody out.

        Raises:
            HTTPError: 403, another site had the browser ask.
        """
        headers = self.request.headers
        if is_from_elsewhere(headers) or headers.get("Sec-Fetch-Mode", "navigate") != "navigate":
            raise web.HTTPError(
                403, "Another site asked to sign you out. Use Logout on a page of this hub."
            )
        user, hint = self.current_user, None
        everywhere = user is not None or bool(self.get_argument("everywhere", ""))
        if user is not None:
            state = await user.get_auth_state() or {}
            # Of this browser's own session: of another's, the provider would end that one.
            session = (self.get_secure_cookie(_SESSION) or b"").decode("utf-8", "replace")
            hint = state.get("id_tokens", {}).get(session) or state.get("id_token")
            await self.authenticator.note("sign-out", user.name, {"by": "themselves"})
        await self.default_handle_logout()
        await self.handle_logout()
        self.clear_cookie(_SESSION, path=self.hub.base_url)
        self._jupyterhub_user = None
        home = f"{self.request.protocol}://{self.request.host}{self.hub.base_url}"
        url = None
        if everywhere:
            url = await self.authenticator.party.logout_url(
                hint, return_to=home, state=secrets.token_urlsafe(_BITS)
            )
        if url is None:
            self.finish(await self.render_template("logout.html"))
            return
        self.redirect(url)


class BackChannelLogout(BaseHandler):
    """The provider says that somebody signed out there."""

    #: Held until they are done: the loop itself forgets tasks.
    _stopping: ClassVar[set[asyncio.Task[None]]] = set()

    def check_xsrf_cookie(self) -> None:
        """Accept a request without: it is the provider's, proves itself, and has no cookies."""

    async def post(self) -> None:
        """End their sessions here; 200 also if there are none, 400 if the token is not believed."""
        self.set_header("Cache-Control", "no-store")
        authenticator = self.authenticator
        token = self.get_body_argument("logout_token", "")
        try:
            found = await authenticator.party.read_logout_token(token)
            store = await authenticator.store()
            names = await self._names(store, found)
            is_new = await store.identities.spend(
                authenticator.issuer,
                found.identifier,
                expires_at=datetime.fromtimestamp(found.expires_at, UTC),
                now=authenticator.now(),
            )
        except SignInError as error:
            self.log.warning("A logout was refused: %s", error)
            self.set_status(400)
            self.finish({"error": "invalid_request"})
            return
        except (EugoError, OverflowError, ValueError) as error:
            self.log.warning("A logout could not be obeyed: %s", error)
            self.set_status(503)
            self.finish({"error": "temporarily_unavailable"})
            return
        if not is_new:
            self.log.warning("A logout token came a second time")
            self.set_status(400)
            self.finish({"error": "invalid_request"})
            return
        for name in sorted(names):
            await self._end_sessions(name)
        self.finish()

    async def _names(self, store: Any, found: Any) -> set[str]:
        """Return who is meant; subject and session must mean the same, if both are known."""
        issuer = self.authenticator.issuer
        by_subject = (
            await store.identities.username_of(issuer, found.subject) if found.subject else None
        )
        by_session = (
            await store.identities.username_by(issuer, found.session) if found.session else None
        )
        if by_subject and by_session and by_subject != by_session:
            return set()
        return {name for name in (by_subject, by_session) if name}

    async def _stop(self, user: Any, server: str) -> None:
        desk = access.desk_behind(self)
        if desk is not None and (session := user.spawners[server]._session_id):  # noqa: SLF001
            await desk.say_why(session, owner=user.name, actor=user.name, reason=Ending.SIGNED_OUT)
        try:
            await self.stop_single_user(user, server)
        except Exception:
            self.log.exception("%s/%s was not stopped at sign-out", user.name, server)

    async def _end_sessions(self, name: str) -> None:
        user = self.find_user(name)
        if user is None:
            return
        # Cookies of the hub name this; those of workspaces and services hold tokens.
        user.orm_user.cookie_id = orm.new_token()
        # Tokens that people made are refused until they sign in again, as the refresh has it: Keycloak says
        # this after every sign-out, and no script should need a new token for that.
        for token in list(user.api_tokens):
            if token.client_id != _HUB_ITSELF:
                self.db.delete(token)
        self.db.commit()
        await user.save_auth_state(None)
        user._auth_refreshed = None  # noqa: SLF001 - else they would hold until the refresh age is over
        if self.settings.get("shutdown_on_logout", False):
            # The hub's own setting; stopping takes longer than a provider waits.
            for spawner in list(user.spawners.values()):
                if spawner.active and not spawner.pending:
                    self._stopping.add(task := asyncio.create_task(self._stop(user, spawner.name)))
                    task.add_done_callback(self._stopping.discard)
        self.log.info("%s signed out at the provider: their sessions here are over", name)
        await self.authenticator.note("sign-out", name, {"by": "their identity provider"})
