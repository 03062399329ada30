"""The quota service on a store with the demo's people in it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hub_services.common.mail import MailError
from tests.integration.quota.servers import serving, sow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.quota.servers import Running

CATALOG = Path(__file__).parents[3] / "helm-values" / "catalog.yaml"


@pytest.fixture(scope="session")
def sown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("store") / "store.sqlite"
    sow(CATALOG, f"sqlite:///{path}")
    return path


class Letters(list):
    """What was sent: to whom, subject, text; *problem* is why nothing is."""

    problem = ""

    async def send(self, to: str, subject: str, text: str) -> None:
        if self.problem:
            raise MailError(self.problem)
        self.append((to, subject, text))


@pytest.fixture
def letters() -> Letters:
    return Letters()


@pytest.fixture
def mailing(sown: Path, tmp_path: Path, letters: Letters) -> Iterator[Running]:
    """The service with a mail server."""
    path = tmp_path / "store.sqlite"
    path.write_bytes(sown.read_bytes())
    with serving(tmp_path, CATALOG, f"sqlite:///{path}", mail=letters) as running:
        yield running


@pytest.fixture
def service(sown: Path, tmp_path: Path) -> Iterator[Running]:
    path = tmp_path / "store.sqlite"
    path.write_bytes(sown.read_bytes())
    with serving(tmp_path, CATALOG, f"sqlite:///{path}") as running:
        yield running
