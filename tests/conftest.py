"""
What every tier shares: one cluster per run, and a namespace per test.

The cluster is the embedded one, started as people start it (`python -m devcluster`), so each test
that uses it tests that too. `EUGO_TEST_KUBECONFIG` names a running cluster to use instead; tests
that need what only the embedded one has ask for `embedded` and are skipped there.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hypothesis
import pytest
import yaml

from devcluster import build, inventory
from scripts.local import images
from tests import canary
from tests.integration.demo import demos
from tests.integration.devcluster.clusters import ROOT, Cluster, Kubectl, kubectl_of, running
from tests.integration.hub.hubs import LIGHT, PYTORCH, Hub

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from kubernetes_asyncio.client import ApiClient

__all__ = ["Kubectl"]

# How long an example takes says how busy the machine is; speed is proved in bench/.
hypothesis.settings.register_profile("eugo", deadline=None)
hypothesis.settings.load_profile("eugo")

_USES_CLUSTER = {"cluster", "embedded", "kubeconfig"}
_ACCOUNT_SECONDS = 30
_PROGRAMS = ROOT / "tests" / "integration" / "hub" / "programs"
"""What stands for code-server and for the web program of the sample's custom image."""

_BASE_IMAGE = "registry.example/eugo/base-notebook:2026.11"
_FREE_SECONDS = 90
"""A Pod's grace period of 30 s, and a busy machine."""


def pytest_configure(config: pytest.Config) -> None:
    """Have the logs of the whole run searched for secrets when it ends."""
    canary.watch(config)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Compile Kubernetes if a test needs it: minutes that no test's time limit should contain."""
    if os.environ.get("EUGO_TEST_KUBECONFIG") or session.config.option.collectonly:
        return
    if any(_USES_CLUSTER.intersection(getattr(item, "fixturenames", ())) for item in session.items):
        build.provide(keep=False, report=lambda line: print(f"\n{line}", file=sys.stderr))  # noqa: T201


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster | None]:
    """The run's embedded cluster; None if the run was given another."""
    if os.environ.get("EUGO_TEST_KUBECONFIG"):
        yield None
        return
    folder = tmp_path_factory.mktemp("cluster")
    with running(folder, inventory=make_inventory(folder)) as started:
        yield started


@pytest.fixture(scope="session")
def embedded(cluster: Cluster | None) -> Cluster:
    """The run's cluster, which must be the embedded one."""
    if cluster is None:
        pytest.skip("EUGO_TEST_KUBECONFIG names a cluster that is not the embedded one")
    return cluster


@pytest.fixture(scope="session")
def kubeconfig(cluster: Cluster | None) -> Path:
    """The admin's credential of the run's cluster."""
    return Path(os.environ["EUGO_TEST_KUBECONFIG"]) if cluster is None else cluster.kubeconfig


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    """The compiled kubectl as the cluster's admin."""
    return kubectl_of(kubeconfig)


@pytest.fixture(scope="session")
def hub(
    kubeconfig: Path, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hub]:
    """One hub, the demo's, for all tests that do not break it."""
    data = tmp_path_factory.mktemp("hub") / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=data.parent) as started:
        yield Hub(started, kubectl)


@pytest.fixture
def user(hub: Hub) -> Iterator[str]:
    """Somebody new, whose workspace is stopped afterwards."""
    name = hub.new_user()
    yield name
    hub.stop(name)


@pytest.fixture
def free_gpus(kubectl: Kubectl) -> None:
    """Every GPU of the cluster is free: what tests before this one held is gone."""
    deadline = time.monotonic() + _FREE_SECONDS
    while any("allocation" in each.get("status", {}) for each in kubectl.objects("resourceclaims")):
        assert time.monotonic() < deadline, "a GPU is still held"
        time.sleep(0.2)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own, gone afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    deadline = time.monotonic() + _ACCOUNT_SECONDS
    while "default" not in kubectl("get", "serviceaccounts", "-n", name, "-o", "name").stdout:
        assert time.monotonic() < deadline, "no default ServiceAccount"
        time.sleep(0.05)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
async def api(kubeconfig: Path) -> AsyncIterator[ApiClient]:
    """A client of kubernetes_asyncio as the cluster's admin."""
    from kubernetes_asyncio import config  # noqa: PLC0415  # half a second, for few tests

    async with await config.new_client_from_config(str(kubeconfig)) as client:
        yield client


def make_inventory(folder: Path) -> Path:
    """Write the demo's inventory, the images of first steps, and Nodes without machines."""
    default: dict[str, Any] = yaml.safe_load(inventory.DEFAULT.read_text("utf-8"))
    demo = yaml.safe_load(
        images.inventory(
            default,
            catalog=ROOT / "helm-values" / "catalog.yaml",
            programs=images.Programs(venv=Path(sys.prefix), more=(_PROGRAMS,)),
        )
    )
    base = demo["images"][_BASE_IMAGE]
    # A framework is a name here: what the hub does with it is the same as with any.
    demo["images"] |= {PYTORCH: base, LIGHT: {**base, "command": ["notebook"]}}
    group = {
        "prefix": "extra-",
        "count": 2,
        "labels": {"devcluster.test/extra": "true"},
        # Else any test's Pod might be put where nothing runs.
        "taints": [{"key": "devcluster.test/extra", "value": "true", "effect": "NoSchedule"}],
        "gpus": [{"product": "NVIDIA H100 80GB HBM3", "memory": "80Gi", "count": 8}],
    }
    path = folder / "inventory.yaml"
    path.write_text(
        yaml.safe_dump(
            {**demo, "images": {**default["images"], **demo["images"]}, "nodes": [group]}
        ),
        "utf-8",
    )
    return path
