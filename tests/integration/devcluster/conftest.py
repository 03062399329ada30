"""A namespace for each test of the development cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.devcluster.clusters import kubectl_command
from tests.integration.devcluster.places import Place

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.devcluster.clusters import Kubectl


@pytest.fixture
def place(namespace: str, kubectl: Kubectl, kubeconfig: Path, tmp_path: Path) -> Place:
    command = (*kubectl_command(kubeconfig), f"--namespace={namespace}")
    return Place(namespace, kubectl, command, tmp_path)
