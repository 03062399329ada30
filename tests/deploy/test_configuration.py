"""
The demo is the deployment: under the chart the hub has the demo's configuration, but for a listed few places.

The chart's own configuration runs as it does in its Pod: its files as ConfigMap and Secret mount them, its variables.
"""

import functools
import json
import os
import re
import subprocess
import sys

import pytest
import yaml

from scripts.local import options
from scripts.local.hub import Settings
from scripts.local.workdir import Secrets
from tests.deploy.charts import CATALOG, ENVIRONMENTS, ROOT, VALUES
from tests.deploy.mounted import as_mounted
from tests.integration.base.overlay import BASE

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(900)]

#: What differs, and why. `*`: all of a section.
DIFFERENT = {
    "ConfigurableHTTPProxy": "the chart's proxy is a Pod of its own; the demo's is a process of the hub",
    "CryptKeeper": "keys that the operator, or the demo, has made",
    "EugoAuthenticator": "whose identity provider it is",
    "SharedPasswordAuthenticator": "the demo's people need no identity provider",
    "Authenticator": "the demo's people are known beforehand",
    "KubeSpawner": "what the chart's values say of Pods; none of it holds against the catalog (below)",
    "Spawner.consecutive_failure_limit": "the chart restarts a hub that goes on failing",
    "JupyterHub.authenticator_class": "as above",
    "JupyterHub.base_url": "where the hub is",
    "JupyterHub.bind_url": "where the hub is",
    "JupyterHub.hub_bind_url": "where the hub is",
    "JupyterHub.hub_connect_url": "where the hub is",
    "JupyterHub.db_url": "whose database it is",
    "JupyterHub.cookie_secret": "made by the operator, or the demo",
    "JupyterHub.pid_file": "the demo's hub is a process of this machine",
    "JupyterHub.cleanup_servers": "of the demo nothing is left; on a cluster workspaces outlive a restart",
    "JupyterHub.last_activity_interval": "the chart's, the same number as JupyterHub's own",
    "JupyterHub.concurrent_spawn_limit": "the chart's",
    "JupyterHub.admin_access": "a value of the operator's",
    "JupyterHub.extra_user_scopes": "the demo's people have no roles that an identity provider could give",
    "EugoSpawner.unavailable_kinds": "what one machine cannot run",
    "EugoSpawner.unavailable_images": "what one machine cannot run",
}


#: Reads a file as JupyterHub does, and prints what it comes to.
_READS = """
import json, sys
from pathlib import Path
from traitlets.config.loader import LazyConfigValue, PyFileConfigLoader

def plain(value):
    if isinstance(value, LazyConfigValue):
        return value.to_dict() or {}
    if isinstance(value, type):
        return f"{value.__module__}.{value.__qualname__}"
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if hasattr(value, "__func__"):
        return value.__func__.__qualname__
    return value.hex() if isinstance(value, bytes) else repr(value)

path = Path(sys.argv[1])
config = PyFileConfigLoader(path.name, path=str(path.parent)).load_config()
print("\\n" + json.dumps(config, default=plain))
"""

#: Services without a program, and their roles: tokens for the demo's scripts, and for Prometheus.
OF_SCRIPTS = {"demo-admin", "prometheus"}


def shown(path, **environment):
    """Return the configuration that a hub would have with the file at *path*."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", _READS, str(path)],
        capture_output=True, text=True, check=False, cwd=path.parent, timeout=120,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.rpartition("\n{")[2].join(("{", "")))


@pytest.fixture(scope="module")
def of_chart(drawn, tmp_path_factory):
    """Return the hub's configuration under the chart in an environment."""
    here = f'load_subconfig("{ROOT}/jupyterhub_config.py")'

    @functools.cache
    def found(environment):
        folder = tmp_path_factory.mktemp(environment)
        own = folder / "own.yaml"
        # The image has the file elsewhere, and here is no database to prepare.
        own.write_text(
            yaml.safe_dump({"hub": {"extraConfig": {"10-eugo": here, "90-eugo-prepare": ""}}})
        )
        objects = drawn.render(environment, f"--values={own}")
        return shown(folder / "jupyterhub_config.py", **as_mounted(objects, folder))

    return found


@pytest.fixture(scope="module")
def of_demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo")
    secrets = Secrets(**dict.fromkeys(Secrets.__dataclass_fields__, "ab" * 32))
    ports = dict.fromkeys(("quota", "culler", "reaper", "workspaces", "export"), 1)
    settings = Settings(
        url="http://127.0.0.1:8000", hub_address="127.0.0.1", hub_port=8081, proxy_api_port=8001,
        service_ports=ports, proxy_command=("node",), unavailable={}, sign_in=None,
        folder=str(folder), admins=("ada",), users=("alice",), secrets=secrets,
    )  # fmt: skip
    path = folder / "settings.json"
    path.write_text(settings.to_json())
    return shown(
        ROOT / "scripts" / "demo_hub_config.py",
        EUGO_DEMO_SETTINGS=str(path),
        EUGO_CATALOG=str(VALUES / "catalog.yaml"),
        EUGO_DATABASE_URL="sqlite:////srv/store.sqlite",
        EUGO_NAMESPACE="eugo",
        EUGO_EXPORTER_IMAGE="registry.example/eugo/exporter:1",
    )


def places(config):
    return {
        f"{section}.{name}": value
        for section, values in config.items()
        for name, value in values.items()
        if section not in DIFFERENT and f"{section}.{name}" not in DIFFERENT
    }


def services(config):
    """Return the services by name, without where they are and what starts them."""
    elsewhere = {"command", "url", "environment", "api_token"}
    return {
        each["name"]: {name: value for name, value in each.items() if name not in elsewhere}
        for each in config["JupyterHub"]["services"]
        if each["name"] not in OF_SCRIPTS
    }


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_under_the_chart_the_hub_is_configured_as_in_the_demo(of_chart, of_demo, environment):
    under, here = of_chart(environment), of_demo
    listed = {"JupyterHub.services", "JupyterHub.load_roles"}
    one_side, other = places(under), places(here)
    assert {name: one_side.get(name) for name in one_side.keys() - listed} == {
        name: other.get(name) for name in other.keys() - listed
    }
    assert services(under) == services(here)
    for each in under["JupyterHub"]["services"]:
        if each["name"] in OF_SCRIPTS:
            continue
        assert each["environment"]["EUGO_BIND"] == "*"
        (twin,) = [one for one in here["JupyterHub"]["services"] if one["name"] == each["name"]]
        assert each["environment"].keys() - {"EUGO_BIND", "EUGO_LOG_FORMAT"} <= twin["environment"].keys() | {
            "EUGO_PUBLIC_URL", "EUGO_SMTP_URL",
        }  # fmt: skip
        assert each["command"][-2:] == twin["command"][-2:]

    def roles(config):
        return [
            each for each in config["JupyterHub"]["load_roles"] if each["name"] not in OF_SCRIPTS
        ]

    assert roles(under) == roles(here)


def test_no_value_of_the_chart_holds_against_the_catalog(of_chart):
    """What EugoSpawner sets itself stands in its own section, which wins; of the rest none changes what starts."""
    under = of_chart("small")
    assert under["JupyterHub"]["spawner_class"] == "eugospawner.spawner.EugoSpawner"
    allowed = {
        "common_labels", "namespace", "events_enabled", "extra_labels", "uid", "fs_gid",
        "allow_privilege_escalation", "tolerations", "volumes", "volume_mounts", "image",
        "mem_guarantee", "start_timeout", "node_selector", "extra_annotations", "lifecycle_hooks",
        "init_containers", "extra_containers", "extra_resource_limits", "extra_resource_guarantees",
        "environment", "profile_list", "extra_pod_config", "storage_extra_labels",
        "node_affinity_required", "node_affinity_preferred", "pod_affinity_required",
        "pod_affinity_preferred", "pod_anti_affinity_required", "pod_anti_affinity_preferred",
    }  # fmt: skip
    chart = under["KubeSpawner"]
    assert set(chart) <= allowed
    for name in (
        "volumes",
        "volume_mounts",
        "init_containers",
        "profile_list",
        "extra_pod_config",
        "environment",
    ):
        assert not chart.get(name), name
    assert chart["uid"] == 1000
    assert "cmd" not in under.get("Spawner", {})


def test_demo_tests_and_chart_have_the_same_configuration_base_and_catalog():
    values = yaml.safe_load((VALUES / "values.yaml").read_text())
    container = (ROOT / "images" / "hub" / "Containerfile").read_text()
    demo = (ROOT / "scripts" / "demo_hub_config.py").read_text()
    run = (ROOT / "scripts" / "local" / "run.py").read_text()
    before, copied, _ = container.partition("\nCOPY jupyterhub_config.py ./\n")
    assert copied
    folder = re.findall(r"^WORKDIR (\S+)$", before, re.MULTILINE)[-1]
    loaded = f'load_subconfig("{folder}/jupyterhub_config.py")'
    assert values["hub"]["extraConfig"]["10-eugo"].strip() == loaded
    assert 'load_subconfig("jupyterhub_config.py", path=str(Path(__file__).parents[1]))' in demo
    assert 'prepare(base=helm_values / "base", catalog=self.options.catalog)' in run
    assert VALUES / "base" == BASE
    assert options.parse([], root=ROOT).catalog == VALUES / "catalog.yaml"
    assert CATALOG[1].endswith(f"={VALUES / 'catalog.yaml'}")


def test_every_place_that_may_differ_has_a_reason_and_does_somewhere(of_chart, of_demo):
    sides = [of_demo, *map(of_chart, ENVIRONMENTS)]
    seen = {
        name
        for side in sides
        for section, values in side.items()
        for name in (section, *(f"{section}.{each}" for each in values))
    }
    assert set(DIFFERENT) <= seen
