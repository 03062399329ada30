"""Whatever is sent to what the served OpenAPI document describes, the answer is as described there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.export.conftest import CATALOG
from tests.integration.export.servers import Exports
from tests.integration.quota.described import agrees, described, operations_of
from tests.integration.quota.servers import serving, sow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis.schemas import BaseSchema

OPERATIONS = (
    ("GET", "/exports"),
    ("POST", "/exports"),
    ("GET", "/exports/{id}"),
    ("DELETE", "/exports/{id}"),
    ("GET", "/shares"),
    ("POST", "/shares"),
    ("DELETE", "/shares/{id}"),
    ("POST", "/restores"),
    ("GET", "/volumes"),
    ("POST", "/volumes"),
    ("GET", "/volumes/{owner}/{volume}"),
    ("POST", "/volumes/{owner}/{volume}/measure"),
    ("PUT", "/volumes/{owner}/{volume}/size"),
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exports]:
    folder = tmp_path_factory.mktemp("described")
    url = f"sqlite:///{folder / 'store.sqlite'}"
    sow(CATALOG, url)
    with serving(folder, CATALOG, url, kind=Exports) as running:
        running.has_workspace("ada", "")
        yield running


@pytest.fixture(scope="module")
def api(shared: Exports) -> BaseSchema:
    return described(shared)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_described_is_what_is_answered(api: BaseSchema, method: str, path: str) -> None:
    agrees(api, method, path)


def test_the_document_has_every_operation_and_says_what_it_does(shared: Exports) -> None:
    document = json.loads(shared.ask("GET", "/openapi.json", token=None).text)
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert all(each["summary"] for each in operations)
    assert operations_of(shared) == set(OPERATIONS)
