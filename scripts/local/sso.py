"""
The identity provider of `scripts/demo --sso`: npm's oidc-provider with the demo's people in it.

A real provider, so that what is shown is the product's own sign-in: discovery, keys, refresh, and logout in
both directions. Who edits `people.json` in the demo's folder has changed somebody's roles "at the provider".
For one machine only.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .npm import Package
from .people import PEOPLE
from .ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .workdir import Secrets, Workdir

SSO = Package(
    name="sso",
    title="the example identity provider (oidc-provider)",
    script=Path("node_modules", "oidc-provider", "lib", "index.js"),
)

CLIENT = "eugo"
READY_SIGN = "ready "

#: What the provider says of the demo's people: design.md §4.
_CLAIMS: Mapping[str, Mapping[str, Any]] = {
    "ada": {"roles": ["operator", "staff"]},
    "alice": {"org": "acme", "groups": ["/eugo/vision-lab"], "roles": ["owner"]},
    "bob": {"org": "acme", "groups": ["/eugo/vision-lab"], "roles": ["staff"]},
    "carol": {"org": "umbrella", "groups": ["/eugo/course-2026"], "roles": ["staff"]},
    "dave": {"org": "initech", "roles": ["staff"]},
}

#: What the hub makes of it.
MEMBERSHIPS = (
    {"claim": "org", "gives": "organization"},
    {"claim": "groups", "gives": "group", "prefix": "/eugo/"},
    {
        "claim": "roles",
        "gives": "role",
        "values": {"owner": "owner", "lead": "admin", "staff": "member"},
    },
    {"claim": "roles", "gives": "platform-admin", "values": {"operator": "platform-admin"}},
)


@dataclass(frozen=True)
class SignIn:
    """What the hub is told of a provider: the settings of EugoAuthenticator."""

    issuer: str
    client_id: str
    memberships: Sequence[Mapping[str, Any]]


def sign_in(port: int) -> SignIn:
    """Return what the hub is told of the provider at *port*."""
    return SignIn(f"http://{LOOPBACK}:{port}", client_id=CLIENT, memberships=MEMBERSHIPS)


def people(secrets: Secrets) -> dict[str, Any]:
    """Return the provider's people by subject."""
    return {
        f"subject-{person.name}": {
            "login": person.name,
            "password": secrets.admin_password if person.admin else secrets.user_password,
            "claims": {
                "preferred_username": person.name,
                "name": person.name.capitalize(),
                "email": f"{person.name}@example.org",
                "email_verified": True,
                **_CLAIMS[person.name],
            },
        }
        for person in PEOPLE
    }


def settings(workdir: Workdir, secrets: Secrets, *, at: SignIn, hub: str, share: Path) -> Path:
    """
    Write what the provider needs, and its people if they are not there yet; return where.

    Args:
        at: What the hub is told of it.
        hub: The hub's address, without a slash at its end.
        share: Where npm's packages are installed.
    """
    listed = workdir.folder / "people.json"
    if not listed.exists():
        workdir.write(listed.name, json.dumps(people(secrets), indent=2))
    return workdir.write(
        "sso.json",
        json.dumps(
            {
                "issuer": at.issuer,
                "port": int(at.issuer.rpartition(":")[2]),
                "modules": str(share / SSO.name / "package.json"),
                "people": str(listed),
                "cookieKey": secrets.provider_cookie_key,
                "client": {
                    "id": at.client_id,
                    "secret": secrets.client_secret,
                    "redirect": f"{hub}/hub/oauth_callback",
                    "home": f"{hub}/hub/",
                    "backchannel": f"{hub}/hub/oidc/backchannel-logout",
                },
            },
            indent=2,
        ),
    )


def command(root: Path, node: Path, configuration: Path) -> list[str]:
    """Return the provider's command line."""
    return [str(node), str(root / "scripts" / "sso" / "provider.mjs"), str(configuration)]
