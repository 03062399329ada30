"""
The hub of the demo: its command, its surroundings, and when it answers.

What differs from a cluster's hub (ports, people, the proxy's program) travels in one file, named by
one variable and read by `scripts/demo_hub_config.py`; all else is the product's own
`jupyterhub_config.py`. Variables of a hub in which the user may sit right now are not passed on.
"""

from __future__ import annotations

import asyncio
import json
import sys
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from . import images
from .people import PEOPLE
from .ports import LOOPBACK

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from .sso import SignIn
    from .workdir import Secrets, Workdir

SERVICES = ("quota", "culler", "reaper", "workspaces", "export")
"""The services that listen."""

SETTINGS = "EUGO_DEMO_SETTINGS"
"""The variable that names the settings file."""

_FOREIGN = ("JUPYTERHUB_", "JPY_", "CONFIGPROXY_", "EUGO_")
#: Whoever starts the demo may name a mail server for invitations.
_MAIL = ("EUGO_SMTP_URL", "EUGO_MAIL_FROM")
_LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What `demo_hub_config.py` needs to know of this start."""

    url: str
    """Where people go; also where the proxy listens."""

    hub_address: str
    """Where Pods reach the hub's API; the hub listens there, too."""

    hub_port: int

    proxy_api_port: int
    """Where the hub commands the proxy; loopback only."""

    service_ports: Mapping[str, int]
    """Where each service listens, by its name; loopback only."""

    proxy_command: tuple[str, ...]
    """Node and the proxy's script."""

    unavailable: Mapping[str, Mapping[str, str]]
    """Why the catalog's `kinds` and `images` cannot be had here; may lack either."""

    sign_in: SignIn | None
    """The identity provider that people sign in at; none: they sign in at the hub."""

    folder: str
    """The demo's data."""

    admins: tuple[str, ...]
    users: tuple[str, ...]
    secrets: Secrets

    @classmethod
    def of(
        cls,
        workdir: Workdir,
        *,
        port: int,
        hub_address: str,
        hub_port: int,
        proxy_api_port: int,
        service_ports: Mapping[str, int],
        proxy_command: tuple[str, ...],
        unavailable: Mapping[str, Mapping[str, str]],
        sign_in: SignIn | None = None,
    ) -> Settings:
        """Return the settings for the demo's people and for the data in *workdir*."""
        return cls(
            url=f"http://{LOOPBACK}:{port}",
            hub_address=hub_address,
            hub_port=hub_port,
            proxy_api_port=proxy_api_port,
            service_ports=dict(service_ports),
            proxy_command=proxy_command,
            unavailable=unavailable,
            sign_in=sign_in,
            folder=str(workdir.folder),
            admins=tuple(person.name for person in PEOPLE if person.admin),
            users=tuple(person.name for person in PEOPLE if not person.admin),
            secrets=workdir.secrets(),
        )

    def to_json(self) -> str:
        """Return them as the configuration reads them."""
        return json.dumps(asdict(self), indent=2)


def command(root: Path) -> list[str]:
    """Return the hub's command line for the checkout *root*; it brings its tables up to date."""
    configuration = root / "scripts" / "demo_hub_config.py"
    return [sys.executable, "-m", "jupyterhub", "--upgrade-db", "-f", str(configuration)]


def environment(
    inherited: Mapping[str, str],
    *,
    store_url: str,
    catalog: Path,
    settings: Path,
    kubeconfig: Path,
    service_ports: Mapping[str, int],
    public_url: str,
) -> dict[str, str]:
    """Return the hub's environment variables, made from *inherited* ones."""
    kept = {
        name: value
        for name, value in inherited.items()
        if not name.startswith(_FOREIGN) or name in _MAIL
    }
    direct = ",".join(filter(None, (kept.get("no_proxy"), "127.0.0.0/8", LOOPBACK, "localhost")))
    return kept | {
        SETTINGS: str(settings),
        "EUGO_CATALOG": str(catalog),
        "EUGO_DATABASE_URL": store_url,
        "EUGO_EXPORTER_IMAGE": images.EXPORTER,
        "EUGO_NAMESPACE": "eugo",
        "EUGO_PUBLIC_URL": public_url,
        **{
            f"EUGO_{name.upper()}_URL": f"http://{LOOPBACK}:{port}"
            for name, port in service_ports.items()
        },
        "KUBECONFIG": str(kubeconfig),
        "NO_PROXY": direct,
        "no_proxy": direct,
        "PYTHONUNBUFFERED": "1",
    }


async def answers(url: str) -> None:
    """Return when the hub answers behind its proxy at *url*; the caller sets the time limit."""
    while not await asyncio.to_thread(_is_healthy, f"{url}/hub/health"):  # noqa: ASYNC110
        await asyncio.sleep(_LOOK_SECONDS)


def _is_healthy(url: str) -> bool:
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with direct.open(url, timeout=2) as answer:
            return bool(answer.status == 200)  # noqa: PLR2004
    except (OSError, urllib.error.URLError):
        return False
