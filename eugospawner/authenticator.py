"""
EugoAuthenticator: who somebody is, from an OpenID Connect provider, and what that makes of them here.

OAuthenticator's place in JupyterHub with our own `oidc` behind it: nothing is believed that is not
signed, current and about this very sign-in; an account is its issuer's subject's for good; claims give
what declared rules say. What changes at the provider holds here within `auth_refresh_age`, also for whoever
was an admin. While the provider does not answer, people stay signed in for `grace_seconds`, no longer.
Source: F107 to F110; design §4; facts on OAuthenticator 17.4.
"""

from __future__ import annotations

import asyncio
import json
import time
import unicodedata
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode
from weakref import WeakValueDictionary

from oauthenticator.generic import GenericOAuthenticator
from tornado import web
from tornado.httpclient import HTTPClientError, HTTPRequest
from traitlets import Callable, Dict, Integer, List, Unicode, default

from eugospawner import doors, links
from eugospawner.enrolment import Enrolment
from eugospawner.oidc.mapping import Gift, Rule, membership_of
from eugospawner.oidc.relying import (
    Grant,
    ProviderUnavailable,
    RelyingParty,
    Request,
    Response,
)
from eugospawner.once import Once
from eugospawner.policy.errors import ConfigError, EugoError, SignInError, StoreError
from eugospawner.scopes import hub_roles
from eugospawner.source import Source
from eugospawner.store import open_store

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eugospawner.store import Store

_ANSWER_SECONDS: Final = 10
_LARGEST_ANSWER: Final = 2**20
_NO_ANSWER: Final = 599
#: Of one person: browsers where they are signed in, or were and left without signing out.
_MOST_SESSIONS: Final = 10
#: As JupyterHub has it.
_LONGEST_NAME: Final = 255


class AccountTaken(SignInError):
    """The provider calls somebody by a name that is another's account here."""


class EugoAuthenticator(GenericOAuthenticator):
    """Signs people in at one OpenID Connect provider, known by its issuer alone."""

    login_handler = doors.SignIn
    callback_handler = doors.Callback
    logout_handler = doors.SignOut

    issuer = Unicode(
        config=True,
        help="""
        The provider's issuer, to the letter: ``https://login.example.org/realms/acme``. Everything else of
        the provider is read from its configuration.
        """,
    )
    memberships = List(
        Dict(),
        config=True,
        help="""
        What the provider's claims give: a list of rules such as
        ``{"claim": "groups", "gives": "group", "prefix": "/eugo/"}`` or
        ``{"claim": "realm_access.roles", "gives": "role", "values": {"eugo-admin": "admin"}}``.

        ``claim`` is a name, or a path with dots, or a list of names; ``gives`` is organization, group, role,
        project-manager or platform-admin; ``prefix`` is what values must begin with, and is taken away; ``values`` says what
        is given for which value, to the letter (absent: what the value says). Empty: the provider says who
        somebody is, and admins what they are.
        """,
    )
    grace_seconds = Integer(
        3600,
        min=0,
        config=True,
        help="""
        How long people stay signed in while the provider does not answer, in seconds since it last did.
        """,
    )
    catalog_file = Unicode(config=True, help="Path of catalog.yaml, as EugoSpawner.catalog_file.")
    store_url = Unicode(config=True, help="The store, as EugoSpawner.store_url.")
    now = Callable(
        config=True, allow_none=True, default_value=None, help="Returns what time it is, aware."
    )

    @default("username_claim")
    def _preferred_username(self) -> str:
        return "preferred_username"

    @default("login_service")
    def _login_service(self) -> str:
        return "your organization"

    @default("enable_auth_state")
    def _keeps_tokens(self) -> bool:
        return True

    @default("any_allow_config")
    def _lets_in_whom_the_provider_does(self) -> bool:
        return True

    @default("manage_roles")
    def _manages_roles(self) -> bool:
        return True

    @default("auth_refresh_strict")
    def _refreshes_tokens_too(self) -> bool:
        # Else a token would outlive what the provider took away.
        return True

    @default("refresh_pre_spawn")
    def _asked_lately(self) -> bool:
        # Whoever asks was refreshed with the request; a start for somebody else, or at the time that they
        # asked for, needs nobody to be signed in at the provider.
        return False

    @default("scope")
    def _scope(self) -> list[str]:
        return ["openid", "profile", "email"]

    def __init__(self, **keywords: Any) -> None:
        """
        Check the configuration.

        Raises:
            ConfigError: A setting is missing, or can be none.
        """
        super().__init__(**keywords)
        if self.username_map:
            message = (
                "EugoAuthenticator.username_map would move people to accounts that are others': leave it "
                "out, and set username_claim"
            )
            raise ConfigError(message)
        for setting in ("issuer", "client_id", "client_secret", "catalog_file", "store_url", "now"):
            if not getattr(self, setting):
                message = (
                    f"EugoAuthenticator.{setting} is not set: set c.EugoAuthenticator.{setting}"
                )
                raise ConfigError(message)
        self._rules = tuple(to_rule(number, each) for number, each in enumerate(self.memberships))
        self.party = RelyingParty(
            self.issuer,
            client_id=self.client_id,
            client_secret=self.client_secret,
            scopes=self.scope,
            http=self._send,
            now=self.now,
            elapsed=time.monotonic,
        )
        url = self.store_url
        self._store: Once[Store] = Once(lambda: open_store(url))
        source = Source(Path(self.catalog_file), kinds={}, images={})
        self._enrolment = Enrolment(source, self._store.get)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        """Return JupyterHub's addresses of signing in and out, and the provider's of the latter."""
        return [
            *super().get_handlers(app),
            (r"/oidc/backchannel-logout", doors.BackChannelLogout),
            (rf"/{links.INVITATION}", doors.Invited),
        ]

    async def authenticate(
        self, handler: Any, data: Any = None, **_keywords: object
    ) -> dict[str, Any]:
        """
        Return the hub's model of whom the provider sends back with a code.

        Raises:
            HTTPError: 400, it is no way back from a provider.
            SignInError: They are not let in; the message is for them.
            EugoError: Settings or store cannot be read.
        """
        _ = data
        if not hasattr(handler, "sign_in_state"):
            raise web.HTTPError(
                400, "People sign in here at their identity provider. Use the button for it."
            )
        state = handler.sign_in_state()
        grant = await self.party.redeem(
            handler.get_argument("code"),
            redirect_uri=self.get_callback_url(handler),
            nonce=state["nonce"],
            verifier=state["code_verifier"],
        )
        model = await self._model(grant, invitation=handler.invitation())
        user = handler.find_user(model["name"])
        before = (await user.get_auth_state() if user else None) or {}
        model["auth_state"]["id_tokens"] = _id_tokens(before, grant)
        handler.provider_session = grant.session
        doubts = model.pop("doubts")
        await self.note("sign-in", model["name"], {"doubts": list(doubts)} if doubts else {})
        return model

    async def note(self, action: str, username: str, detail: Mapping[str, Any]) -> None:
        """Write into the audit what somebody did here; if that fails, the log has it."""
        try:
            store = await self._store.get()
            await store.audit.record(
                action, f"people.{username}", actor=username, at=self.now(), detail=detail
            )
        except StoreError as error:
            self.log.warning("%s: %s was not recorded: %s", username, action, error)

    async def refresh_user(
        self, user: Any, handler: Any = None, **_keywords: object
    ) -> bool | dict[str, Any]:
        """Return what the provider says of *user* now; `False`: they are to sign in again."""
        _ = handler
        # A refresh token is good once, and a browser asks for many things at the same moment.
        turn = self._turns.setdefault(user.name, asyncio.Lock())
        asked_at = self.now()
        async with turn:
            state = await user.get_auth_state()
            if not state or "subject" not in state:
                return False
            verified_at = datetime.fromisoformat(state["verified_at"])
            if verified_at >= asked_at:
                return True
            try:
                grant = await self.party.refresh(_grant_of(state))
            except ProviderUnavailable as error:
                stays = asked_at - verified_at <= timedelta(seconds=self.grace_seconds)
                self.log.warning("%s was not refreshed: %s", user.name, error)
                return bool(stays)
            except SignInError as error:
                self.log.info("%s has to sign in again: %s", user.name, error)
                return False
            try:
                model = await self._model(grant)
            except SignInError as error:
                self.log.info("%s has to sign in again: %s", user.name, error)
                return False
            except EugoError as error:
                # What the provider gave is good once and must be kept, whatever else fails.
                self.log.warning("%s keeps what they had: %s", user.name, error)
                model = {"name": user.name, "admin": None, "auth_state": self._state(grant)}
            model.pop("doubts", None)
            model["auth_state"]["id_tokens"] = _id_tokens(state, grant)
            await user.save_auth_state(model["auth_state"])
            return model

    async def check_allowed(self, username: str, auth_model: Any) -> bool:
        """Let in whomever the provider lets in; who may start something is for admission to say."""
        _ = username
        return auth_model is not None

    async def _model(self, grant: Grant, *, invitation: str | None = None) -> dict[str, Any]:
        """
        Return the hub's model of whom a *grant* is about, and enrol them.

        Args:
            invitation: Hash of the token that they came by; empty: by none; `None`: they are not signing in.
        """
        store, at = await self._store.get(), self.now()
        username = await store.identities.claim(
            self.issuer, grant.subject, username=self.name_in(grant.claims), at=at
        )
        if username is None:
            message = (
                "Your provider calls you by a name that is somebody else's account here, with their files. "
                "Ask whoever manages accounts there for another name"
            )
            raise AccountTaken(message)
        if grant.session is not None:
            await store.identities.signed_in(self.issuer, grant.session, username=username, at=at)
        is_admin = username in self.admin_users
        doubts: tuple[str, ...] = ()
        if self._rules:
            known = await self._enrolment.known()
            membership = membership_of(grant.claims, self._rules, known)
            if not membership.organization and await self._enrolment.is_invited(username):
                # Where they are and what they are there is not the provider's to say.
                says = membership.says - {"organization", "role"}
                membership = replace(membership, says=says)
            doubts = membership.doubts
            for doubt in doubts:
                self.log.warning("Signing in %s: %s", username, doubt)
            is_admin = is_admin or membership.is_platform_admin
            reason = f"as {self.issuer} says"
            if membership.doubts:
                reason = f"{reason}; {'; '.join(membership.doubts)}"[:500]
            await self._enrolment.enrol(username, membership, reason=reason, at=at)
        if invitation is not None:
            email = grant.claims.get("email")
            is_verified = isinstance(email, str) and grant.claims.get("email_verified") is True
            _, doubt = await self._enrolment.admit(
                username,
                email=str(email).lower() if is_verified else "",
                token_hash=invitation,
                at=at,
            )
            doubts = (*doubts, doubt) if doubt else doubts
        # Not None: the hub would leave an admin an admin.
        model = {
            "name": username,
            "admin": is_admin,
            "auth_state": self._state(grant),
            "doubts": doubts,
        }
        if self.manage_roles:
            person = await self._enrolment.person(username)
            model["roles"] = hub_roles(person, is_admin=is_admin)
        return model

    async def name_of(self, organization: str) -> str:
        """
        Return how the organization *organization* is called.

        Raises:
            StoreError: The settings cannot be read.
        """
        return await self._enrolment.name_of(organization)

    def name_in(self, claims: Mapping[str, Any]) -> str:
        """
        Return what *claims* call somebody.

        Raises:
            SignInError: By nothing that can be a user name, or by an address nobody has verified.
        """
        claim = self.username_claim
        said = claim(claims) if callable(claim) else claims.get(claim)
        if claim == "email" and claims.get("email_verified") is not True:
            message = "Your provider has not verified your e-mail address: verify it there first"
            raise SignInError(message)
        name = self.normalize_username(said) if isinstance(said, str) and said else ""
        # What NFKC changes looks like another name and is none (Unicode TR 36).
        is_plain = name.isprintable() and unicodedata.normalize("NFKC", name) == name
        is_name = 0 < len(name) <= _LONGEST_NAME and is_plain
        if not is_name or not self.validate_username(name):
            message = "Your provider gives you no name that can be used here: ask an admin"
            raise SignInError(message)
        return name

    def _state(self, grant: Grant) -> dict[str, Any]:
        return {
            "subject": grant.subject,
            "session": grant.session,
            "id_token": grant.id_token,
            "access_token": grant.access_token,
            "refresh_token": grant.refresh_token,
            "claims": dict(grant.claims),
            "verified_at": self.now().isoformat(),
        }

    async def store(self) -> Store:
        """
        Return the store, opened once.

        Raises:
            StoreError: It cannot be opened; the next call tries again.
        """
        return await self._store.get()

    async def _send(self, request: Request) -> Response:
        """Send a request to the provider; nothing of it is logged."""
        body = None
        headers = {"Accept": "application/json", **request.headers}
        if request.form is not None:
            body = urlencode(request.form)
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        sent = HTTPRequest(
            request.url,
            method="GET" if request.form is None else "POST",
            headers=headers,
            body=body,
            follow_redirects=False,
            connect_timeout=_ANSWER_SECONDS,
            request_timeout=_ANSWER_SECONDS,
            validate_cert=True,
            **self.http_request_kwargs,
        )
        try:
            answer = await self.http_client.fetch(sent, raise_error=False)
        except (HTTPClientError, OSError, ValueError) as error:
            message = "The identity provider does not answer"
            raise ProviderUnavailable(message) from error
        if answer.code == _NO_ANSWER or len(answer.body or b"") > _LARGEST_ANSWER:
            message = "The identity provider does not answer"
            raise ProviderUnavailable(message)
        try:
            found: object = json.loads(answer.body)
        except (ValueError, RecursionError):
            found = None
        return Response(status=answer.code, body=found)


def _grant_of(state: Mapping[str, Any]) -> Grant:
    return Grant(
        subject=state["subject"],
        claims=state["claims"],
        session=state["session"],
        id_token=state["id_token"],
        access_token=state["access_token"],
        refresh_token=state["refresh_token"],
    )


def _id_tokens(before: Mapping[str, Any], grant: Grant) -> dict[str, str]:
    """Return the newest ID token of each of somebody's sessions, by which the provider ends that one."""
    if grant.session is None:
        return dict(before.get("id_tokens", {}))
    found = {**before.get("id_tokens", {})}
    found.pop(grant.session, None)
    found[grant.session] = grant.id_token
    return dict(list(found.items())[-_MOST_SESSIONS:])


def to_rule(number: int, given: Mapping[str, Any]) -> Rule:
    """
    Return rule *number* of `memberships`.

    Raises:
        ConfigError: It is none; the field and the remedy are named.
    """
    where = f"EugoAuthenticator.memberships[{number}]"
    unknown = sorted(set(given) - {"claim", "gives", "prefix", "values"})
    if unknown:
        message = f"{where}.{unknown[0]} is no part of a rule: claim, gives, prefix and values are"
        raise ConfigError(message)
    claim = given.get("claim")
    path = claim.split(".") if isinstance(claim, str) else claim
    if not isinstance(path, list | tuple) or not path or not all(_is_text(each) for each in path):
        message = f"{where}.claim is {claim!r}: write a name such as groups or realm_access.roles"
        raise ConfigError(message)
    try:
        gives = Gift(given.get("gives", ""))
    except ValueError as error:
        message = f"{where}.gives is {given.get('gives')!r}: write one of {', '.join(Gift)}"
        raise ConfigError(message) from error
    prefix, values = given.get("prefix", ""), given.get("values")
    if not isinstance(prefix, str):
        message = f"{where}.prefix is {prefix!r}: write a text such as /eugo/"
        raise ConfigError(message)
    if values is not None and not (
        isinstance(values, dict)
        and all(_is_text(key) and _is_text(value) for key, value in values.items())
    ):
        message = f"{where}.values is {values!r}: write what is given for which value"
        raise ConfigError(message)
    return Rule(claim=tuple(path), gives=gives, prefix=prefix, values=values)


def _is_text(value: object) -> bool:
    return isinstance(value, str) and bool(value)
