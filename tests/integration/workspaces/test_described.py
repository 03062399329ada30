"""Whatever is sent to what the served OpenAPI document describes, the answer is as described there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.integration.quota.described import agrees, described, operations_of
from tests.integration.quota.servers import serving, sow
from tests.integration.workspaces.conftest import CATALOG
from tests.integration.workspaces.servers import Workspaces

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis.schemas import BaseSchema

PLACE = "/workspaces/{owner}/{server}"
OPERATIONS = (
    ("GET", "/workspaces"),
    ("POST", "/workspaces"),
    ("POST", "/ide"),
    ("POST", "/bulk-delete"),
    ("GET", "/former"),
    ("GET", PLACE),
    ("DELETE", PLACE),
    ("PUT", f"{PLACE}/options"),
    *(
        ("POST", f"{PLACE}/{each}")
        for each in (
            "start", "stop", "keep", "extend", "switch-queue", "reset", "suspend", "resume",
            "terminate",
        )
    ),
    ("GET", f"{PLACE}/termination"),
    ("GET", f"{PLACE}/deployments"),
    ("GET", f"{PLACE}/deployments/{{session}}"),
    ("GET", f"{PLACE}/activity"),
    ("GET", "/audit"),
    ("GET", "/audit/verification"),
)  # fmt: skip


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Workspaces]:
    folder = tmp_path_factory.mktemp("described")
    url = f"sqlite:///{folder / 'store.sqlite'}"
    sow(CATALOG, url)
    with serving(folder, CATALOG, url, kind=Workspaces) as running:
        yield running


@pytest.fixture(scope="module")
def api(shared: Workspaces) -> BaseSchema:
    return described(shared)


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_described_is_what_is_answered(api: BaseSchema, method: str, path: str) -> None:
    agrees(api, method, path)


def test_the_document_has_every_operation_and_says_what_it_does(shared: Workspaces) -> None:
    document = json.loads(shared.ask("GET", "/openapi.json", token=None).text)
    assert document["openapi"].startswith("3.1")
    operations = [each for path in document["paths"].values() for each in path.values()]
    assert len({each["operationId"] for each in operations}) == len(operations)
    assert all(each["summary"] for each in operations)
    assert operations_of(shared) == set(OPERATIONS)
