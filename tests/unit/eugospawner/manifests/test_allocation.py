"""Bound means bound, and the charge is what was consumed (promise 5; F53; KEP-5075)."""

from typing import Any

import pytest

from eugospawner.manifests import allocation, labels
from eugospawner.manifests.allocation import AllocatedDevice, Binding
from tests.factories import a_catalog, a_claim, a_mig_model, a_pod, some_gpus

QUARTER = {"cores": "25", "memory": "20Gi"}
A100 = a_catalog().gpu_models["A100"]
T4 = a_catalog().gpu_models["T4"]


# --- binding ---


@pytest.mark.parametrize(
    ("pod", "claim", "binding"),
    [
        pytest.param(
            a_pod(gpu_labels={}, claimed=False), None, Binding.NONE, id="neither labels nor claims"
        ),
        pytest.param(
            a_pod(gpu_labels={}), a_claim(QUARTER), Binding.NONE, id="a claim without our labels"
        ),
        pytest.param(a_pod(claimed=False), None, Binding.LABELS_ONLY, id="labels alone"),
        pytest.param(
            a_pod(claimed=False),
            a_claim(QUARTER),
            Binding.LABELS_ONLY,
            id="labels, and a claim that the Pod does not name",
        ),
        pytest.param(a_pod(), None, Binding.WAITING, id="the claim is not made yet"),
        pytest.param(a_pod(), a_claim(), Binding.WAITING, id="the claim is not allocated"),
        pytest.param(a_pod(), {"metadata": {}}, Binding.WAITING, id="the claim has no status"),
        pytest.param(
            a_pod(),
            {"metadata": {}, "status": None},
            Binding.WAITING,
            id="the claim's status is null",
        ),
        pytest.param(
            a_pod(),
            {"metadata": {}, "status": {"allocation": None}},
            Binding.WAITING,
            id="the allocation is null",
        ),
        pytest.param(a_pod(), a_claim(QUARTER), Binding.BOUND, id="all three agree"),
        pytest.param(a_pod(), a_claim(None), Binding.BOUND, id="a whole device"),
    ],
)
def test_binding_of(pod: Any, claim: Any, binding: Binding) -> None:
    assert allocation.binding_of(pod, claim) is binding


@pytest.mark.parametrize("missing", labels.GPU_LABELS)
def test_every_gpu_label_must_be_there(missing: str) -> None:
    carried = labels.make_gpu_labels(some_gpus())
    del carried[missing]
    pod = a_pod(gpu_labels=carried)
    assert allocation.binding_of(pod, a_claim(QUARTER)) is Binding.NONE


@pytest.mark.parametrize("nothing", [None, {}])
def test_a_pod_without_any_labels_has_no_gpu(nothing: dict[str, str] | None) -> None:
    pod = a_pod()
    pod["metadata"]["labels"] = nothing
    assert allocation.binding_of(pod, a_claim(QUARTER)) is Binding.NONE


# --- the claim's name ---


def test_the_claims_name_is_read_from_the_pods_status() -> None:
    assert allocation.claim_name(a_pod(claim_name="pod-gpu-abcde")) == "pod-gpu-abcde"


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"resourceClaimStatuses": None},
        {"resourceClaimStatuses": []},
        {"resourceClaimStatuses": [{"name": "other", "resourceClaimName": "x"}]},
        {"resourceClaimStatuses": [{"name": "gpu"}]},
    ],
)
def test_a_claim_that_is_not_made_yet_has_no_name(status: object) -> None:
    assert allocation.claim_name(a_pod() | {"status": status}) is None


def test_a_pod_without_status_has_no_claim_yet() -> None:
    pod = a_pod()
    del pod["status"]
    assert allocation.claim_name(pod) is None


# --- the charge ---


@pytest.mark.parametrize(
    ("consumed", "sm_scale", "percent"),
    [
        pytest.param("25", 100, 25, id="percents"),
        pytest.param("100", 100, 100, id="all of it"),
        pytest.param("0.25", 1, 25, id="a fraction of one"),
        pytest.param("250m", 1, 25, id="a fraction in millis"),
        pytest.param("250", 1000, 25, id="thousandths"),
        pytest.param("1k", 1000, 100, id="a thousand in canonical form"),
        pytest.param("1", 7, 15, id="a seventh is rounded up"),
        pytest.param("255", 1000, 26, id="half a percent is rounded up"),
        pytest.param("0", 100, 0, id="nothing"),
    ],
)
def test_the_charge_is_what_was_consumed(consumed: str, sm_scale: int, percent: int) -> None:
    gpus = some_gpus(1, 25, sm_scale=sm_scale)
    assert allocation.consumed_percent(a_claim({"cores": consumed}), gpus) == percent


def test_more_than_was_asked_is_charged_as_given() -> None:
    """A driver rounds requests up to its step."""
    assert allocation.consumed_percent(a_claim({"cores": "50"}), some_gpus(1, 25)) == 50


def test_shares_of_all_devices_are_summed() -> None:
    assert allocation.consumed_percent(a_claim(QUARTER, QUARTER), some_gpus(2, 25)) == 50


@pytest.mark.parametrize("consumed", [None, {}, {"memory": "20Gi"}])
def test_a_device_that_is_not_shared_is_charged_whole(consumed: dict[str, str] | None) -> None:
    assert allocation.consumed_percent(a_claim(consumed), some_gpus(1, 25)) == 100


def test_an_exclusive_model_is_charged_whole_whatever_it_reports() -> None:
    gpus = some_gpus(2, 100, A100)
    assert allocation.consumed_percent(a_claim(None, {"memory": "40Gi"}), gpus) == 200


@pytest.mark.parametrize("sm_percent", [1, 50, 100])
def test_a_throttled_device_is_charged_whole(sm_percent: int) -> None:
    """Nobody else can have it meanwhile, and nothing it reports changes that."""
    gpus = some_gpus(2, sm_percent, T4, sm_capacity="cores")
    assert allocation.consumed_percent(a_claim(None, {"cores": "10"}), gpus) == 200


@pytest.mark.parametrize(("sm_percent", "charge"), [(15, 15), (43, 43), (100, 100)])
def test_a_slice_is_charged_its_sevenths(sm_percent: int, charge: int) -> None:
    gpus = some_gpus(1, sm_percent, a_mig_model())
    assert allocation.consumed_percent(a_claim(None), gpus) == charge == gpus.percent


def test_slices_are_summed() -> None:
    gpus = some_gpus(2, 43, a_mig_model())
    assert allocation.consumed_percent(a_claim(None, None), gpus) == 86
    assert [each.percent for each in allocation.allocated_devices(a_claim(None, None), gpus)] == [
        43,
        43,
    ]


def test_admin_access_is_no_allocation_of_the_workspace() -> None:
    claim = a_claim(QUARTER, adminAccess=True)
    assert allocation.consumed_percent(claim, some_gpus(1, 25)) == 0
    assert allocation.allocated_devices(claim, some_gpus(1, 25)) == ()


def test_the_devices_are_named_in_the_order_of_the_allocation() -> None:
    devices = allocation.allocated_devices(a_claim(QUARTER, None), some_gpus(2, 25))
    assert devices == (
        AllocatedDevice(driver="gpu.example.test", pool="n1", device="gpu-0", percent=25),
        AllocatedDevice(driver="gpu.example.test", pool="n1", device="gpu-1", percent=100),
    )
