"""The chart, Helm as the cluster's admin, and a namespace as the base prepares it."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import uuid4

import pytest

from tests.deploy.charts import Helm, Release, find_chart, make_helm
from tests.integration.base.caller import Caller
from tests.integration.base.prepared import Prepared, prepare, remove

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.integration.base.prepared import Kubectl


@pytest.fixture(scope="session")
def chart(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return find_chart(tmp_path_factory.mktemp("chart"))


@pytest.fixture(scope="session")
def helm(chart: Path, kubeconfig: Path, tmp_path_factory: pytest.TempPathFactory) -> Helm:
    assert chart  # without one nothing is compiled
    return make_helm(kubeconfig, tmp_path_factory.mktemp("helm"))


@pytest.fixture(scope="session")
def admin(kubeconfig: Path) -> Iterator[Caller]:
    caller = Caller.from_kubeconfig(kubeconfig)
    yield caller
    caller.close()


@pytest.fixture
def prepared(kubectl: Kubectl, admin: Caller, tmp_path: Path) -> Iterator[Prepared]:
    """A namespace of the test's own, as `kubectl apply -k helm-values/base` leaves it."""
    made = prepare(f"eugo-{uuid4().hex[:8]}", folder=tmp_path, kubectl=kubectl, admin=admin)
    yield made
    remove(made)


@pytest.fixture
def release(helm: Helm, chart: Path, prepared: Prepared) -> Release:
    """The product, which is not installed yet, in such a namespace."""
    return Release(helm=helm, chart=chart, namespace=prepared.namespace)


@pytest.fixture(scope="session")
def drawn(helm: Helm, chart: Path) -> Release:
    """One that is rendered and never installed."""
    return Release(helm=helm, chart=chart, namespace="eugo")
