"""
The hub's configuration: wiring, and nothing that decides.

Loaded by the demo, by tests and, on a cluster, by the zero-to-jupyterhub chart's
`hub.extraConfig`. What differs between installations comes from the environment:

- `EUGO_CATALOG`: path of catalog.yaml (default: helm-values/catalog.yaml beside this file)
- `EUGO_DATABASE_URL`: the store, sqlite:///PATH or postgresql+asyncpg://…
- `EUGO_NAMESPACE`: namespace of people's workspaces (default: eugo)
- `EUGO_QUOTA_URL`, `EUGO_CULLER_URL`, `EUGO_REAPER_URL`, `EUGO_WORKSPACES_URL`, `EUGO_EXPORT_URL`: where the
  services listen (default: ports 8191 to 8195 of 127.0.0.1)
- `EUGO_BIND`: address that services listen on, where that is not the one they are asked at; `*`: all of the machine's
- `EUGO_EXPORTER_IMAGE`: image of the Pods that read volumes for exports: Python 3 and this package; without it
  nothing is exported
- `EUGO_STORAGE_CLASS`: StorageClass of homes and extra volumes (default: what `KubeSpawner.storage_class` says, else
  the cluster's default)
- `EUGO_MEASURE_HOURS`: how old the measure of a volume in use may be (default: 24; 0: none is made unasked)
- `EUGO_AUDIT_ANCHOR`: file to which the workspaces service writes the end of the audit
- `EUGO_PROMETHEUS_URL`, `EUGO_GPU_AT_WORK_PERCENT`: where the culler learns whether GPUs are at work
- `EUGO_PUBLIC_URL`: the hub's address as people type it, for links of invitations
- `EUGO_SMTP_URL`, `EUGO_MAIL_FROM`: the mail server that sends them (hub_services/common/mail.py)
- `EUGO_LOG_FORMAT`: of the services' logs: text (the default) or json
"""

import os
import sys
from pathlib import Path

import eugospawner
from eugospawner import handlers, scopes
from eugospawner.spawner import EugoSpawner
from hub_services.common.clock import SystemClock

c = get_config()  # type: ignore[name-defined]

here = Path(__file__).resolve().parent
catalog = os.environ.get("EUGO_CATALOG") or str(here / "helm-values" / "catalog.yaml")

c.JupyterHub.spawner_class = EugoSpawner
c.JupyterHub.allow_named_servers = True
c.JupyterHub.named_server_limit_per_user = 20


def declared(name):
    """Return what was listed before this file, as the chart does for services and roles."""
    found = c.JupyterHub[name]
    return list(found) if isinstance(found, (list, tuple)) else found.get_value([])


c.JupyterHub.template_paths = [
    *declared("template_paths"),
    str(Path(eugospawner.__file__).parent / "templates"),
]
# After sign-in people land on their workspaces: nothing starts unasked.
c.JupyterHub.default_url = "/hub/home"
c.JupyterHub.implicit_spawn_seconds = 0
handlers.install()

# A refused start is answered with its reason, not with 202 and a page that fails later: the
# hub's answer waits this long for the decision. The chart sets 0, which would hide refusals.
c.JupyterHub.tornado_settings = {"slow_spawn_timeout": 10, "slow_stop_timeout": 10}

c.EugoSpawner.catalog_file = catalog
c.EugoSpawner.store_url = os.environ.get("EUGO_DATABASE_URL", "")
c.EugoSpawner.namespace = os.environ.get("EUGO_NAMESPACE", "eugo")
c.EugoSpawner.now = SystemClock().now
c.EugoSpawner.pvc_name_template = "home-{username}"
c.EugoSpawner.storage_pvc_ensure = True
storage_class = os.environ.get("EUGO_STORAGE_CLASS") or c.KubeSpawner.get("storage_class")
if storage_class:
    c.EugoSpawner.storage_class = storage_class
c.EugoSpawner.service_account = "workspace"
c.EugoSpawner.automount_service_account_token = False
c.EugoSpawner.delete_grace_period = 10
c.EugoSpawner.default_url = "/lab"
# Waiting for a GPU is not a failure; giving up after ten minutes is only so that nobody is
# surprised by a workspace that starts, and is charged, hours later.
c.EugoSpawner.start_timeout = 600
c.EugoSpawner.http_timeout = 60

# For deployments that sign people in through an OpenID Connect provider: they set authenticator_class,
# issuer, client_id and client_secret (docs/howto/sign-in.md).
c.EugoAuthenticator.catalog_file = catalog
c.EugoAuthenticator.store_url = os.environ.get("EUGO_DATABASE_URL", "")
c.EugoAuthenticator.now = SystemClock().now

# Managed services start with the hub and end with it. The environment is theirs by name only: a
# service gets what it needs and none of the hub's secrets.
passed = (
    "EUGO_BIND",
    "EUGO_DATABASE_URL",
    "EUGO_LOG_FORMAT",
    "EUGO_NAMESPACE",
    "KUBECONFIG",
    "KUBERNETES_SERVICE_HOST",  # in a cluster there is no kubeconfig
    "KUBERNETES_SERVICE_PORT",
    "PYTHONPATH",
    "NO_PROXY",
    "no_proxy",
)
MAIL = ("EUGO_PUBLIC_URL", "EUGO_SMTP_URL", "EUGO_MAIL_FROM")
ANCHOR = ("EUGO_AUDIT_ANCHOR",)
MEASURES = ("EUGO_MEASURE_HOURS",)
METRICS = ("EUGO_PROMETHEUS_URL", "EUGO_GPU_AT_WORK_PERCENT")
# Without an image for its Pods there is nothing that could read a volume, and pages offer no export.
exporter_image = os.environ.get("EUGO_EXPORTER_IMAGE", "")
c.JupyterHub.template_vars = {
    **(c.JupyterHub.get("template_vars") or {}),
    "eugo_exports": bool(exporter_image),
}
surroundings = {name: os.environ[name] for name in passed if name in os.environ}
c.JupyterHub.services = [
    *declared("services"),
    {
        "name": "reaper",
        "command": [sys.executable, "-m", "hub_services.reaper"],
        "cwd": str(here),
        "display": False,  # it has no page
        # No page, so the hub need not wait for it, nor the proxy know of it.
        "environment": surroundings
        | {"EUGO_LISTEN": os.environ.get("EUGO_REAPER_URL") or "http://127.0.0.1:8193"},
    },
    {
        "name": "culler",
        "command": [sys.executable, "-m", "hub_services.culler"],
        "cwd": str(here),
        "display": False,  # it has no page
        "environment": surroundings
        | {"EUGO_LISTEN": os.environ.get("EUGO_CULLER_URL") or "http://127.0.0.1:8192"}
        | {"EUGO_CATALOG": str(Path(catalog).resolve())}
        | {name: os.environ[name] for name in METRICS if name in os.environ},
    },
    {
        "name": "workspaces",
        "url": os.environ.get("EUGO_WORKSPACES_URL") or "http://127.0.0.1:8194",
        "command": [sys.executable, "-m", "hub_services.workspaces"],
        "cwd": str(here),
        "display": False,  # it has no page
        "environment": surroundings
        | {"EUGO_CATALOG": str(Path(catalog).resolve())}
        | {name: os.environ[name] for name in ANCHOR if name in os.environ},
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": ["admin-ui"],
    },
    {
        "name": "quota",
        "url": os.environ.get("EUGO_QUOTA_URL") or "http://127.0.0.1:8191",
        "command": [sys.executable, "-m", "hub_services.quota"],
        "cwd": str(here),
        "display": False,  # the bar has names for its pages (templates/page.html)
        # It sends the links of invitations; nobody else needs to know how.
        "environment": surroundings
        | {"EUGO_CATALOG": str(Path(catalog).resolve())}
        | {name: os.environ[name] for name in MAIL if name in os.environ}
        | ({"EUGO_HAS_EXPORTS": "1"} if exporter_image else {}),
        # It is the hub's own: nobody need be asked whether it may know who they are. An admin's
        # session may act as an admin's there, and nowhere else.
        "oauth_no_confirm": True,
        "oauth_client_allowed_scopes": ["admin-ui"],
    },
]
if exporter_image:
    c.JupyterHub.services.append(
        {
            "name": "export",
            "url": os.environ.get("EUGO_EXPORT_URL") or "http://127.0.0.1:8195",
            "command": [sys.executable, "-m", "hub_services.export"],
            "cwd": str(here),
            "display": False,  # workspaces lead to it
            "environment": surroundings
            | {"EUGO_CATALOG": str(Path(catalog).resolve())}
            | {"EUGO_EXPORTER_IMAGE": exporter_image}
            | ({"EUGO_STORAGE_CLASS": storage_class} if storage_class else {})
            | {name: os.environ[name] for name in MEASURES if name in os.environ},
            "oauth_no_confirm": True,
            "oauth_client_allowed_scopes": ["admin-ui"],
        }
    )
# Everybody sees what they use of quotas. What their roles let them do with workspaces, EugoAuthenticator
# gives them scope by scope; with another authenticator, add scopes.UNFILTERED to these.
c.JupyterHub.custom_scopes = dict(scopes.DEFINITIONS)
c.JupyterHub.extra_user_scopes = {
    "access:services!service=quota",
    "access:services!service=workspaces",
    *(["access:services!service=export"] if exporter_image else []),
}
c.JupyterHub.load_roles = [
    *declared("load_roles"),
    {
        "name": "reaper",
        "description": "See everybody's servers, and stop what has to end",
        "services": ["reaper"],
        "scopes": ["list:users", "read:servers", "delete:servers"],
    },
    {
        "name": "culler",
        "description": "Stop what has to end, one server after the other",
        "services": ["culler"],
        "scopes": ["delete:servers"],
    },
    {
        "name": "workspaces",
        "description": "Stop what was suspended, and remove what was terminated",
        "services": ["workspaces"],
        "scopes": ["delete:servers"],
    },
]
