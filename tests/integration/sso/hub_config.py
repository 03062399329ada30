"""A hub that signs people in through a provider and starts nothing: no proxy, no cluster."""

import os
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from jupyterhub.proxy import Proxy
from jupyterhub.spawner import Spawner

import eugospawner
from eugospawner import handlers, scopes
from eugospawner.authenticator import EugoAuthenticator
from hub_services.common.clock import SystemClock

c = get_config()  # noqa: F821 - the hub's
folder = Path(os.environ["SSO_FOLDER"])


class NoProxy(Proxy):
    """Everything is asked of the hub itself."""

    should_start = False

    async def add_route(self, routespec, target, data):
        """Have nothing to route."""

    async def delete_route(self, routespec):
        """As above."""

    async def get_all_routes(self):
        """As above."""
        return {}


class Pretended(Spawner):
    """A workspace that is another's web server."""

    is_up = False

    async def start(self):
        self.is_up = True
        return urlsplit(os.environ["SSO_ISSUER"]).hostname, urlsplit(os.environ["SSO_ISSUER"]).port

    async def stop(self, now=False):  # noqa: ARG002 - the hub's word
        self.is_up = False

    async def poll(self):
        return None if self.is_up else 0


def now():
    """Return what time it is, as the test has it: it may move the clock."""
    return SystemClock().now() + timedelta(seconds=float((folder / "later").read_text()))


handlers.install()
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.template_paths = [str(Path(eugospawner.__file__).parent / "templates")]
c.JupyterHub.bind_url = os.environ["SSO_URL"]
c.JupyterHub.hub_bind_url = os.environ["SSO_URL"]
c.JupyterHub.db_url = f"sqlite:///{folder / 'hub.sqlite'}"
c.JupyterHub.cookie_secret = bytes(32)
c.JupyterHub.pid_file = ""
c.JupyterHub.spawner_class = Pretended
c.JupyterHub.shutdown_on_logout = True
c.JupyterHub.default_url = "/hub/home"
c.JupyterHub.custom_scopes = dict(scopes.DEFINITIONS)
c.JupyterHub.services = [{"name": "script", "api_token": os.environ["SSO_TOKEN"]}]
c.JupyterHub.load_roles = [
    {"name": "script", "services": ["script"], "scopes": ["admin:users", "tokens", "admin:servers"]}
]

c.JupyterHub.authenticator_class = EugoAuthenticator
c.EugoAuthenticator.issuer = os.environ["SSO_ISSUER"]
c.EugoAuthenticator.client_id = "eugo"
c.EugoAuthenticator.client_secret = os.environ["SSO_SECRET"]
c.EugoAuthenticator.catalog_file = os.environ["SSO_CATALOG"]
c.EugoAuthenticator.store_url = f"sqlite:///{folder / 'store.sqlite'}"
c.EugoAuthenticator.now = now
c.EugoAuthenticator.auth_refresh_age = 2
c.EugoAuthenticator.memberships = [
    {"claim": "org", "gives": "organization"},
    {"claim": "groups", "gives": "group", "prefix": "/eugo/"},
    {"claim": "roles", "gives": "role", "values": {"lead": "admin", "staff": "member"}},
    {"claim": "roles", "gives": "platform-admin", "values": {"operator": "platform-admin"}},
]
