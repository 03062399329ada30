"""The workspaces service on a store with the demo's people in it, and no workspace of theirs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.quota.servers import serving, sow
from tests.integration.workspaces.servers import Workspaces

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOG = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"


@pytest.fixture(scope="session")
def sown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    sow(CATALOG, f"sqlite:///{path}")
    return path


@pytest.fixture
def service(sown: Path, tmp_path: Path) -> Iterator[Workspaces]:
    path = tmp_path / "store.sqlite"
    path.write_bytes(sown.read_bytes())
    anchor = tmp_path / "anchors"
    with serving(tmp_path, CATALOG, f"sqlite:///{path}", kind=Workspaces, anchor=anchor) as running:
        yield running
