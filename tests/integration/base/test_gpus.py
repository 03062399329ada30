"""eugo-gpu-needs-claim: a GPU in labels and claims, or in neither (promise 5; F53, F56)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import GPU_LABELS, a_container, a_gpu_workspace, a_workspace

if TYPE_CHECKING:
    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY = "eugo-gpu-needs-claim"


def asking_for(**resources: Json) -> Json:
    return {"containers": [a_container(resources=resources)]}


def test_a_share_of_a_gpu_is_admitted(base: Prepared) -> None:
    assert_admitted(base.attempt(a_gpu_workspace()))


def test_a_workspace_without_gpu_may_say_so(base: Prepared) -> None:
    assert_admitted(base.attempt(a_workspace(metadata={"labels": {"eugo.dev/gpu-count": "0"}})))


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(GPU_LABELS, id="all labels"),
        pytest.param({"eugo.dev/gpu-model": "H100"}, id="the model alone"),
        pytest.param({"eugo.dev/gpu-count": "2"}, id="the count alone"),
    ],
)
def test_a_gpu_in_the_labels_alone_is_refused(base: Prepared, labels: Json) -> None:
    assert_refused(
        base.attempt(a_workspace(metadata={"labels": labels})),
        policy=POLICY,
        saying="The labels promise a GPU",
    )


@pytest.mark.parametrize("label", GPU_LABELS)
def test_a_claim_that_a_label_does_not_name_is_refused(base: Prepared, label: str) -> None:
    assert_refused(
        base.attempt(a_gpu_workspace(labels={label: None})),
        policy=POLICY,
        saying=f"Set the labels {label}, or remove spec.resourceClaims.",
    )


def test_a_claim_that_no_container_uses_is_refused_by_name(base: Prepared) -> None:
    answer = base.attempt(a_gpu_workspace(containers=[a_container()]))
    assert_refused(answer, policy=POLICY, saying="No container uses these claims: gpu.")


def test_a_claim_that_only_an_init_container_uses_is_refused(base: Prepared) -> None:
    setup = a_container(name="setup", ports=None, resources={"claims": [{"name": "gpu"}]})
    answer = base.attempt(a_gpu_workspace(initContainers=[setup], containers=[a_container()]))
    assert_refused(answer, policy=POLICY, saying="No container uses these claims: gpu.")


def test_the_claim_of_another_pod_is_refused(base: Prepared) -> None:
    claims = [{"name": "gpu", "resourceClaimName": "jupyter-bob-gpu-x7k2p"}]
    assert_refused(
        base.attempt(a_gpu_workspace(resourceClaims=claims)),
        policy=POLICY,
        saying="Use resourceClaimTemplateName in spec.resourceClaims",
    )


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(asking_for(limits={"nvidia.com/gpu": "1"}), id="as a limit"),
        pytest.param(
            asking_for(
                limits={"deviceclass.resource.kubernetes.io/gpu.devcluster.test": "1"},
            ),
            id="by the name of a device class",
        ),
        pytest.param(
            {
                "initContainers": [
                    a_container(
                        name="setup", ports=None, resources={"limits": {"nvidia.com/gpu": "1"}}
                    )
                ]
            },
            id="in an init container",
        ),
    ],
)
def test_a_gpu_past_the_claims_is_refused(base: Prepared, spec: Json) -> None:
    assert_refused(
        base.attempt(a_workspace(spec=spec)),
        policy=POLICY,
        saying="ask for GPUs by spec.resourceClaims",
    )
