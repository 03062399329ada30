"""The export service on a store with the demo's people in it; Alice and Bob have a workspace each."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.integration.export.servers import Exports
from tests.integration.quota.servers import serving, sow

if TYPE_CHECKING:
    from collections.abc import Iterator

CATALOG = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"


@pytest.fixture(scope="session")
def sown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    sow(CATALOG, f"sqlite:///{path}")
    return path


@pytest.fixture
def service(sown: Path, tmp_path: Path) -> Iterator[Exports]:
    path = tmp_path / "store.sqlite"
    path.write_bytes(sown.read_bytes())
    with serving(tmp_path, CATALOG, f"sqlite:///{path}", kind=Exports) as running:
        yield running
