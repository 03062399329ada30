"""
A Keycloak process, and the realm that an organization makes in it through its admin API.

Everything is done as their administrators would do it, step by step, by requests that the admin console
sends, too; nothing is imported from a file that only we could have written.
"""

from __future__ import annotations

import contextlib
import html
import os
import re
import signal
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import requests

from scripts.local import keycloak, ports
from tests import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

CLIENT = "eugo"
CLIENT_SECRET = "kept-between-keycloak-and-the-hub"
PASSWORD = "correct horse battery staple"
_ADMIN = "set-up"
_ADMIN_SECRET = "of-this-process-alone"
_START_SECONDS = 180
_STOP_SECONDS = 30


def until(holds: Callable[[], object], *, seconds: float = 30) -> None:
    """Wait for *holds*."""
    patience.eventually(holds, "it did not come to be", seconds=seconds)


@contextlib.contextmanager
def running(share: Path, folder: Path) -> Iterator[Keycloak]:
    """Run the Keycloak below *share*; its log goes into *folder*."""
    (port,) = ports.choose(1)
    environment = os.environ | {
        "KC_BOOTSTRAP_ADMIN_CLIENT_ID": _ADMIN,
        "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": _ADMIN_SECRET,
    }
    with (folder / "keycloak.log").open("wb") as log:
        process = subprocess.Popen(
            keycloak.command(share, port), cwd=folder, env=environment, stdin=subprocess.DEVNULL,
            stdout=log, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    found = Keycloak(url=f"http://127.0.0.1:{port}", log=folder / "keycloak.log")
    try:
        until(lambda: process.poll() is not None or found.is_up(), seconds=_START_SECONDS)
        assert process.poll() is None, found.log.read_text()
        yield found
    finally:
        # Its script hands this on to Java, and waits for it.
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@dataclass(kw_only=True)
class Keycloak:
    """A server, asked as its administrator."""

    url: str
    log: Path

    def is_up(self) -> bool:
        """Whether it answers."""
        with contextlib.suppress(requests.ConnectionError, requests.Timeout):
            return requests.get(f"{self.url}/realms/master", timeout=5).ok
        return False

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Return the answer of the admin API: its JSON, or the key of what was made."""
        token = requests.post(
            f"{self.url}/realms/master/protocol/openid-connect/token",
            data={
                "grant_type": "client_credentials",
                "client_id": _ADMIN,
                "client_secret": _ADMIN_SECRET,
            },
            timeout=30,
        ).json()["access_token"]
        answer = requests.request(
            method, f"{self.url}/admin/realms{path}", json=body, timeout=60,
            headers={"Authorization": f"Bearer {token}"},
        )  # fmt: skip
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        if answer.status_code == requests.codes.created:
            return answer.headers["Location"].rpartition("/")[2]
        return answer.json() if answer.content else None


@dataclass(kw_only=True)
class Person:
    """Somebody with an account there."""

    key: str
    name: str


@dataclass(kw_only=True)
class Realm:
    """An organization's people and applications."""

    server: Keycloak
    hub: str
    name: str = "example"
    groups: dict[str, str] = field(default_factory=dict)
    client: str = ""
    _people: int = 0

    @property
    def issuer(self) -> str:
        """All that the hub is told."""
        return f"{self.server.url}/realms/{self.name}"

    @property
    def endpoints(self) -> str:
        """What its addresses of OpenID Connect begin with."""
        return f"{self.issuer}/protocol/openid-connect"

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the admin API about this realm."""
        return self.server.ask(method, f"/{self.name}{path}", body)

    def set_up(self) -> None:
        """Make it: roles, groups, the attribute `org`, and the hub as a client."""
        self.server.ask(
            "POST",
            "",
            {
                "realm": self.name,
                "enabled": True,
                # Refresh tokens are good once.
                "revokeRefreshToken": True,
                "refreshTokenMaxReuse": 0,
                # What happens each minute is not recorded unless it is named.
                "eventsEnabled": True,
                "enabledEventTypes": ["REFRESH_TOKEN", "REFRESH_TOKEN_ERROR"],
            },
        )
        for role in ("eugo-lead", "eugo-staff"):
            self.ask("POST", "/roles", {"name": role})
        above = self.ask("POST", "/groups", {"name": "eugo"})
        for name in ("vision-lab", "course-2026"):
            self.groups[name] = self.ask("POST", f"/groups/{above}/children", {"name": name})
        profile = self.ask("GET", "/users/profile")
        # Only administrators may write it: else people would say themselves where they belong.
        profile["attributes"].append(
            {
                "name": "org",
                "displayName": "Organization",
                "permissions": {"view": ["admin", "user"], "edit": ["admin"]},
            }
        )
        self.ask("PUT", "/users/profile", profile)
        self.client = self.ask("POST", "/clients", self._client())
        self.ask("POST", f"/clients/{self.client}/roles", {"name": "operator"})

    def _client(self) -> dict[str, Any]:
        return {
            "clientId": CLIENT,
            "name": "Eugo workspaces",
            "protocol": "openid-connect",
            "publicClient": False,
            "clientAuthenticatorType": "client-secret",
            "secret": CLIENT_SECRET,
            "standardFlowEnabled": True,
            "implicitFlowEnabled": False,
            "directAccessGrantsEnabled": False,
            "redirectUris": [f"{self.hub}/hub/oauth_callback"],
            "attributes": {
                "pkce.code.challenge.method": "S256",
                "post.logout.redirect.uris": f"{self.hub}/hub/",
                "backchannel.logout.url": f"{self.hub}/hub/oidc/backchannel-logout",
                "backchannel.logout.session.required": "true",
            },
            "protocolMappers": [
                _mapper("groups", "oidc-group-membership-mapper", "groups", {"full.path": "true"}),
                # The built-in scope `roles` puts both of these into access tokens alone.
                _mapper(
                    "realm roles", "oidc-usermodel-realm-role-mapper", "realm_access.roles", _LIST
                ),
                _mapper(
                    "client roles",
                    "oidc-usermodel-client-role-mapper",
                    f"resource_access.{CLIENT}.roles",
                    {**_LIST, "usermodel.clientRoleMapping.clientId": CLIENT},
                ),
                _mapper(
                    "org",
                    "oidc-usermodel-attribute-mapper",
                    "org",
                    {"user.attribute": "org", "jsonType.label": "String"},
                ),
            ],
        }

    def add(
        self,
        *,
        org: str = "acme",
        groups: tuple[str, ...] = ("vision-lab",),
        roles: tuple[str, ...] = ("eugo-staff",),
        is_operator: bool = False,
    ) -> Person:
        """Make an account of somebody new."""
        self._people += 1
        name = f"jane-{self._people}"
        key = self.ask(
            "POST",
            "/users",
            {
                "username": name,
                "enabled": True,
                "email": f"{name}@example.org",
                "emailVerified": True,
                "firstName": "Jane",
                "lastName": "Doe",
                "attributes": {"org": [org]},
                "credentials": [{"type": "password", "value": PASSWORD, "temporary": False}],
            },
        )
        person = Person(key=key, name=name)
        for group in groups:
            self.ask("PUT", f"/users/{key}/groups/{self.groups[group]}")
        for role in roles:
            self.roles("POST", person, role)
        if is_operator:
            self.operator("POST", person)
        return person

    def roles(self, method: str, person: Person, role: str) -> None:
        """Give (POST) or take away (DELETE) a realm role."""
        self.ask(
            method, f"/users/{person.key}/role-mappings/realm", [self.ask("GET", f"/roles/{role}")]
        )

    def operator(self, method: str, person: Person) -> None:
        """Give (POST) or take away (DELETE) the client's role."""
        role = self.ask("GET", f"/clients/{self.client}/roles/operator")
        self.ask(method, f"/users/{person.key}/role-mappings/clients/{self.client}", [role])

    def change(self, person: Person, **fields: object) -> None:
        """Change some fields of somebody's account."""
        path = f"/users/{person.key}"
        self.ask("PUT", path, self.ask("GET", path) | fields)

    def sessions(self, person: Person) -> list[str]:
        """Return the keys of somebody's sessions."""
        return [each["id"] for each in self.ask("GET", f"/users/{person.key}/sessions")]

    def events(self, kind: str, person: Person) -> int:
        """Return how often something happened to somebody."""
        return len(self.ask("GET", f"/events?type={kind}&user={person.key}&max=1000"))

    @contextlib.contextmanager
    def changed_client(self, **fields: Any) -> Iterator[None]:
        """Have the client be different for a while; attributes are completed, all else replaced."""
        path = f"/clients/{self.client}"
        before = self.ask("GET", path)
        attributes = before["attributes"] | fields.pop("attributes", {})
        self.ask("PUT", path, before | fields | {"attributes": attributes})
        try:
            yield
        finally:
            self.ask("PUT", path, before)


_LIST = {"multivalued": "true", "jsonType.label": "String"}


def _mapper(name: str, kind: str, claim: str, more: dict[str, str]) -> dict[str, Any]:
    return {
        "name": name,
        "protocol": "openid-connect",
        "protocolMapper": kind,
        "config": {
            "claim.name": claim,
            "id.token.claim": "true",
            "access.token.claim": "true",
            "userinfo.token.claim": "false",
            **more,
        },
    }


_FORM = re.compile(r'<form\b[^>]*\baction="([^"]+)"', re.DOTALL)


def form_of(page: requests.Response) -> str | None:
    """Return where the form of one of Keycloak's pages goes to; `None`: there is none."""

    found = _FORM.search(page.text)
    return urljoin(page.url, html.unescape(found[1])) if found else None
