"""
What every tier shares: one cluster per run, and a namespace per test.

The cluster is the embedded one, started as people start it (``python -m devcluster``), so each
test that uses it tests that too. `EUGO_TEST_KUBECONFIG` names a running cluster to use instead.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

import pytest
import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.hub.hubs import Hub

ROOT = Path(__file__).resolve().parents[1]
#: Beyond compiling, which `scripts/test` does before: five seconds on an idle machine.
_READY_SECONDS = 180
_STOP_SECONDS = 60


class Kubectl(Protocol):
    """kubectl with the admin's credential; raises with what it said when it fails."""

    def __call__(
        self, *arguments: str, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture(scope="session")
def kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The admin's credential of the run's cluster."""
    given = os.environ.get("EUGO_TEST_KUBECONFIG")
    if given:
        yield Path(given)
        return
    folder = tmp_path_factory.mktemp("cluster")
    log = folder / "devcluster.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "devcluster",
                "--data", str(folder / "data"),
                "--kubeconfig", str(folder / "kubeconfig"),
                "--inventory", str(_inventory(folder)),
            ],
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + _READY_SECONDS
        while "devcluster is ready" not in log.read_text():
            if process.poll() is not None or time.monotonic() > deadline:
                pytest.fail(f"the cluster does not come up:\n{log.read_text()[-4000:]}")
            time.sleep(0.1)
        yield folder / "kubeconfig"
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _inventory(folder: Path) -> Path:
    """Write the demo's inventory: the default hardware, and the images of the sample catalog."""
    from devcluster import inventory  # noqa: PLC0415 - only where a cluster is made
    from scripts.local import images  # noqa: PLC0415

    path = folder / "inventory.yaml"
    text = images.inventory(
        yaml.safe_load(inventory.DEFAULT.read_text()),
        catalog=ROOT / "helm-values" / "catalog.yaml",
        venv=Path(sys.prefix),
    )
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def kubectl(kubeconfig: Path) -> Kubectl:
    """The compiled kubectl as the cluster's admin."""

    def run(*arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [
                sys.executable,
                "-m",
                "devcluster",
                "kubectl",
                f"--kubeconfig={kubeconfig}",
                *arguments,
            ],
            cwd=ROOT,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, f"kubectl {' '.join(arguments)}: {done.stderr or done.stdout}"
        return done

    return run


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A namespace of the test's own, gone afterwards."""
    name = f"test-{uuid4().hex[:8]}"
    kubectl("create", "namespace", name)
    deadline = time.monotonic() + 30
    while '"default"' not in kubectl("get", "serviceaccounts", "-n", name, "-o", "json").stdout:
        assert time.monotonic() < deadline, "no default ServiceAccount"
        time.sleep(0.1)
    yield name
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="session")
def hub(
    kubeconfig: Path, kubectl: Kubectl, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hub]:
    """One hub, the demo's, for all tests that do not break it."""
    from tests.integration.demo import demos  # noqa: PLC0415 - only where a hub is needed
    from tests.integration.hub.hubs import Hub  # noqa: PLC0415

    data = tmp_path_factory.mktemp("hub") / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=data.parent) as running:
        yield Hub(running, kubectl)
