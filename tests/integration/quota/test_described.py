"""Whatever is sent to what the served OpenAPI document describes, the answer is as described there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from hub_services.common.problems import DoorReason
from tests.integration.quota.conftest import CATALOG
from tests.integration.quota.described import agrees, described, operations_of
from tests.integration.quota.servers import Running, serving, sow

if TYPE_CHECKING:
    from collections.abc import Iterator

    from schemathesis.schemas import BaseSchema


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("described")
    url = f"sqlite:///{folder / 'store.sqlite'}"
    sow(CATALOG, url)
    with serving(folder, CATALOG, url) as running:
        yield running


@pytest.fixture(scope="module")
def api(shared: Running) -> BaseSchema:
    return described(shared)


OPERATIONS = (
    ("GET", "/usage"),
    ("GET", "/settings/{section}"),
    ("GET", "/settings/{section}/{key}"),
    ("PUT", "/settings/{section}/{key}"),
    ("DELETE", "/settings/{section}/{key}"),
    ("POST", "/settings/{section}/{key}/preview"),
    ("PUT", "/quotas/{key}/override"),
    ("DELETE", "/quotas/{key}/override"),
    ("GET", "/plans/{key}/openings"),
    ("GET", "/invitations"),
    ("POST", "/invitations"),
    ("POST", "/invitations/{id}/send"),
    ("DELETE", "/invitations/{id}"),
    ("POST", "/explain"),
    ("POST", "/what-if"),
    ("GET", "/catalog"),
    ("GET", "/catalog/diff"),
    ("GET", "/audit"),
)


#: What a schema cannot say: that an entry makes sense among the others, or that one name excludes
#: another. There a request that fits the schema may still be refused.
JUDGED = {
    ("GET", "/usage"),
    ("PUT", "/settings/{section}/{key}"),
    ("DELETE", "/settings/{section}/{key}"),
    ("POST", "/settings/{section}/{key}/preview"),
    ("PUT", "/quotas/{key}/override"),
    ("DELETE", "/quotas/{key}/override"),
    ("POST", "/what-if"),
    ("POST", "/invitations"),
}


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
def test_what_is_described_is_what_is_answered(api: BaseSchema, method: str, path: str) -> None:
    agrees(api, method, path, is_judged=(method, path) in JUDGED, examples=30)


def test_the_document_names_every_reason_but_faults_of_ours(shared: Running) -> None:
    text = shared.ask("GET", "/openapi.json", token=None).text
    document = json.loads(text)
    assert document["openapi"].startswith("3.1")
    told = json.dumps(document["paths"])
    door_only = {DoorReason.FAILED, DoorReason.METHOD_NOT_ALLOWED}
    # Those of the export service, whose test has them.
    door_only |= {
        DoorReason.LINK_INVALID, DoorReason.LINK_EXPIRED, DoorReason.LINK_REVOKED,
        DoorReason.EXPORT_FAILED, DoorReason.SHARE_REFUSED, DoorReason.TOO_MANY,
        DoorReason.VOLUME_FIXED, DoorReason.VOLUME_SHRINKS, DoorReason.NOT_ZIP,
        DoorReason.NOT_RESTORED, DoorReason.CLUSTER_UNAVAILABLE,
    }  # fmt: skip
    for reason in set(DoorReason) - door_only:
        assert f"`{reason}`" in told, reason
    names = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(names) == len(set(names))
    assert operations_of(shared) == set(OPERATIONS)
    assert all(each["summary"] for path in document["paths"].values() for each in path.values())
