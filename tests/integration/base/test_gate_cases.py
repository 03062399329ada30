"""
The manifest gate's hostile Pods at the real API server: what the second fence stops, and what not.

Each case of the gate's own table is sent as the hub sends it, with the hub's token, and nothing
is stored. Where the table names a fence the API server must refuse, and say so; where it names
none, the gate stands alone: the API server takes the Pod, and that must stay known (design §9).
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import pytest

from tests.integration.base.prepared import Prepared, prepare, remove
from tests.unit.eugospawner.gate_pods import OPTIONS, good_pods
from tests.unit.eugospawner.manifests.gate_cases import CASES, GATE, Case

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.base.caller import Caller
    from tests.integration.base.prepared import Kubectl

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def gated(
    kubectl: Kubectl, admin: Caller, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    """A namespace under the base that allows the images of the good Pods."""
    prepared = prepare(
        "eugo-gate-cases",
        folder=tmp_path_factory.mktemp("gate-cases"),
        kubectl=kubectl,
        admin=admin,
    )
    prepared.allow_images(
        *{
            container["image"]
            for good in good_pods().values()
            for kind in ("containers", "initContainers")
            for container in good.manifest["spec"].get(kind, ())
        }
    )
    yield prepared
    remove(prepared)


@pytest.mark.parametrize("kind", OPTIONS)
def test_a_pod_that_the_gate_passes_is_admitted(gated: Prepared, kind: str) -> None:
    answer = gated.attempt(good_pods()[kind].manifest)
    assert answer.status == HTTPStatus.CREATED, answer.message


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.fence != GATE], ids=lambda each: each.name
)
def test_what_the_table_says_is_stopped_twice_is(gated: Prepared, case: Case) -> None:
    answer = gated.attempt(case.manifest())
    assert answer.status >= HTTPStatus.BAD_REQUEST
    assert case.fence in answer.message


@pytest.mark.parametrize(
    "case", [each for each in CASES if each.fence == GATE], ids=lambda each: each.name
)
def test_what_the_table_says_the_gate_alone_stops_is_admitted(gated: Prepared, case: Case) -> None:
    answer = gated.attempt(case.manifest())
    assert answer.status == HTTPStatus.CREATED, answer.message
