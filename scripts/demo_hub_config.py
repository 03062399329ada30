"""
The hub's configuration in the demo: the product's own, then what one machine needs beside it.

`scripts/demo` starts the hub with this file and names its settings in EUGO_DEMO_SETTINGS. Only
wiring stands here: addresses, the proxy's program, who may sign in, and a token for scripts. What a
start of a workspace may do is decided by `jupyterhub_config.py` and the code behind it.
"""

import json
import os
import shutil
from pathlib import Path

from eugospawner import scopes
from eugospawner.authenticator import EugoAuthenticator

c = get_config()  # type: ignore[name-defined]  # noqa: F821  # the hub's
load_subconfig("jupyterhub_config.py", path=str(Path(__file__).parents[1]))  # type: ignore[name-defined]  # noqa: F821

settings = json.loads(Path(os.environ["EUGO_DEMO_SETTINGS"]).read_text("utf-8"))
folder = Path(settings["folder"])
secrets = settings["secrets"]

c.JupyterHub.bind_url = settings["url"]
c.JupyterHub.hub_bind_url = f"http://{settings['hub_address']}:{settings['hub_port']}"
c.JupyterHub.db_url = f"sqlite:///{folder / 'hub.sqlite'}"
c.JupyterHub.cookie_secret = bytes.fromhex(secrets["cookie_secret"])
c.JupyterHub.pid_file = ""
# Nothing of the demo outlives it: Pods are its processes, and an orderly stop is a stop for them.
c.JupyterHub.cleanup_servers = True

c.ConfigurableHTTPProxy.command = settings["proxy_command"]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{settings['proxy_api_port']}"
c.ConfigurableHTTPProxy.auth_token = secrets["proxy_token"]
c.ConfigurableHTTPProxy.pid_file = str(folder / "proxy.pid")

c.EugoSpawner.unavailable_kinds = settings["unavailable"].get("kinds", {})
c.EugoSpawner.unavailable_images = settings["unavailable"].get("images", {})

# What the form says cannot be had, the quota service's answers must know, too.
for service in c.JupyterHub.services:
    if service["name"] == "quota":
        service["environment"]["EUGO_UNAVAILABLE"] = json.dumps(settings["unavailable"])

# A service looks for its hub only once it runs; one that is just being loaded when the hub is killed
# would never know that it had one.
setpriv = shutil.which("setpriv")
for service in c.JupyterHub.services:
    if setpriv and "command" in service:
        service["command"] = [setpriv, "--pdeathsig", "KILL", "--", *service["command"]]

if sign_in := settings["sign_in"]:
    c.CryptKeeper.keys = [bytes.fromhex(secrets["crypt_key"])]
    c.JupyterHub.authenticator_class = EugoAuthenticator
    c.EugoAuthenticator.issuer = sign_in["issuer"]
    c.EugoAuthenticator.client_id = sign_in["client_id"]
    c.EugoAuthenticator.client_secret = secrets["client_secret"]
    c.EugoAuthenticator.oauth_callback_url = f"{settings['url']}/hub/oauth_callback"
    c.EugoAuthenticator.memberships = sign_in["memberships"]
    c.EugoAuthenticator.login_service = "the example provider"
    c.EugoAuthenticator.auth_refresh_age = 60
else:
    c.JupyterHub.extra_user_scopes = {*c.JupyterHub.extra_user_scopes, *scopes.UNFILTERED}
    c.JupyterHub.authenticator_class = "shared-password"
    c.Authenticator.admin_users = set(settings["admins"])
    c.Authenticator.allowed_users = set(settings["users"])  # they exist before they first sign in
    c.Authenticator.allow_all = True  # any new name: a new user's first minute can be tried
    c.SharedPasswordAuthenticator.user_password = secrets["user_password"]
    c.SharedPasswordAuthenticator.admin_password = secrets["admin_password"]

c.JupyterHub.services.append({"name": "demo-admin", "api_token": secrets["admin_token"]})
c.JupyterHub.load_roles.append(
    {
        "name": "demo-admin",
        "description": "For scripts and tests: all that an admin may do",
        "services": ["demo-admin"],
        "scopes": [
            "admin:users",
            "admin:servers",
            "admin:groups",
            "access:servers",
            "access:services",
            "tokens",
            "proxy",
            "shutdown",
            "list:services",
            "read:services",
            "read:hub",
            "read:metrics",
        ],
    }
)
