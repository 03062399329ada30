"""The advisory view of the cluster's GPUs, from slices and claims (KEP-4381, 4815, 5075)."""

from typing import Any

import pytest

from eugospawner.manifests import devices
from eugospawner.manifests.placement import Reach
from eugospawner.policy.capacity import Device
from tests.factories import a_catalog

MODELS = a_catalog().gpu_models
SHARED, WHOLE = "gpu.example.test", "gpu.nvidia.com"


def a_device(name: str = "gpu-0", product: str = "NVIDIA L4", **fields: Any) -> dict[str, Any]:
    attributes = {"productName": {"string": product}, "type": {"string": "gpu"}}
    return {"name": name, "attributes": attributes, "allowMultipleAllocations": True} | fields


def an_a100(name: str = "gpu-0", kind: str = "gpu", **fields: Any) -> dict[str, Any]:
    device = a_device(name, MODELS["A100"].products[0], allowMultipleAllocations=False, **fields)
    device["attributes"]["type"] = {"string": kind}
    return device


def a_slice(
    *published: dict[str, Any], driver: str = SHARED, node: str = "n1", generation: int = 1
) -> dict[str, Any]:
    pool = {"name": node, "generation": generation, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": node, "pool": pool, "devices": list(published)}
    return {"spec": spec}


def a_claim_of(
    device: str = "gpu-0",
    cores: str | None = None,
    *,
    driver: str = SHARED,
    node: str = "n1",
    **fields: Any,
) -> dict[str, Any]:
    result: dict[str, Any] = {"driver": driver, "pool": node, "device": device} | fields
    if cores is not None:
        result["consumedCapacity"] = {"cores": cores}
    return {"status": {"allocation": {"devices": {"results": [result]}}}}


def free(
    slices: list[Any], claims: list[Any], model: str = "L4", reach: dict[str, Reach] | None = None
) -> list[int]:
    found = devices.view_of(slices, claims, MODELS, reach or {}).devices
    assert found is not None
    return [device.free_percent for device in found.get(model, ())]


def test_a_cluster_without_slices_has_no_gpu() -> None:
    assert devices.view_of([], [], MODELS, {}).devices == {}


def test_a_device_that_nobody_uses_is_free() -> None:
    view = devices.view_of([a_slice(a_device())], [], MODELS, {})
    assert view.devices == {"L4": (Device(node="n1", free_percent=100),)}


def test_shares_add_up_and_what_is_left_is_free() -> None:
    claims = [a_claim_of(cores="25"), a_claim_of(cores="30")]
    assert free([a_slice(a_device(), a_device("gpu-1"))], claims) == [45, 100]


def test_a_claim_that_is_not_allocated_uses_nothing() -> None:
    claims: list[Any] = [{}, {"status": None}, {"status": {}}]
    assert free([a_slice(a_device())], claims) == [100]


def test_a_claim_without_consumed_capacity_holds_the_whole_device() -> None:
    assert free([a_slice(a_device())], [a_claim_of()]) == [0]


def test_more_than_the_whole_is_nothing_left() -> None:
    assert free([a_slice(a_device())], [a_claim_of(cores="80"), a_claim_of(cores="80")]) == [0]


def test_a_claim_with_admin_access_takes_nothing() -> None:
    """Monitoring looks at devices that belong to others (KEP-5018)."""
    assert free([a_slice(a_device())], [a_claim_of(adminAccess=True)]) == [100]


def test_a_device_of_the_same_name_on_another_node_is_another_device() -> None:
    slices = [a_slice(a_device()), a_slice(a_device(), node="n2")]
    assert free(slices, [a_claim_of(cores="25", node="n2")]) == [100, 75]


def test_slices_of_an_older_generation_do_not_count() -> None:
    slices = [
        a_slice(a_device(), a_device("gpu-gone"), generation=1),
        a_slice(a_device(), generation=2),
    ]
    assert free(slices, []) == [100]


def test_a_product_that_the_catalog_has_not_is_left_out() -> None:
    assert devices.view_of([a_slice(a_device(product="Voodoo 2"))], [], MODELS, {}).devices == {}


def test_a_product_of_another_driver_is_left_out() -> None:
    assert free([a_slice(a_device(), driver="gpu.other.test")], []) == []


def test_a_device_that_cannot_be_shared_is_none_of_a_shared_model() -> None:
    assert free([a_slice(a_device(allowMultipleAllocations=False))], []) == []


@pytest.mark.parametrize(
    "attributes", [None, {}, {"productName": None}, {"productName": {"int": 4}}]
)
def test_a_device_that_does_not_say_what_it_is_is_left_out(attributes: Any) -> None:
    assert free([a_slice(a_device() | {"attributes": attributes})], []) == []


def test_a_slice_without_devices_is_no_trouble() -> None:
    empty = a_slice()
    empty["spec"]["devices"] = None
    assert free([empty], []) == []


def test_a_device_names_its_node_where_the_slice_does_not() -> None:
    slices = a_slice(a_device(nodeName="n7"))
    del slices["spec"]["nodeName"]
    found = devices.view_of([slices], [], MODELS, {}).devices
    assert found == {"L4": (Device(node="n7", free_percent=100),)}


def test_devices_of_a_node_that_takes_no_workspace_do_not_count() -> None:
    slices = [a_slice(a_device()), a_slice(a_device(), node="n2")]
    assert free(slices, [], reach={"n1": Reach.NEVER, "n2": Reach.OPEN}) == [100]


def test_devices_of_a_node_that_takes_none_now_count_and_are_not_free() -> None:
    slices = [a_slice(a_device()), a_slice(a_device(), node="n2")]
    assert free(slices, [], reach={"n1": Reach.LATER}) == [0, 100]


# --- whole devices and parts of them ---


def test_a_whole_device_is_free_or_taken() -> None:
    slices = [a_slice(an_a100(), an_a100("gpu-1"), driver=WHOLE)]
    assert free(slices, [a_claim_of("gpu-1", driver=WHOLE)], "A100") == [100, 0]


def test_a_part_of_a_device_is_not_the_device() -> None:
    slices = [a_slice(an_a100("gpu-0-mig-1g", kind="mig"), driver=WHOLE)]
    assert free(slices, [], "A100") == []


def test_a_device_of_which_a_part_is_used_cannot_be_had_whole() -> None:
    """Partitionable devices share counters (KEP-4815)."""
    counters = [{"counterSet": "gpu-0-slices", "counters": {"slices": {"value": "1"}}}]
    others = [{"counterSet": "gpu-1-slices", "counters": {"slices": {"value": "7"}}}]
    slices = [
        a_slice(
            an_a100("gpu-0", consumesCounters=counters),
            an_a100("gpu-0-mig-1g", kind="mig", consumesCounters=counters),
            an_a100("gpu-1", consumesCounters=others),
            driver=WHOLE,
        )
    ]
    assert free(slices, [a_claim_of("gpu-0-mig-1g", driver=WHOLE)], "A100") == [0, 100]


def test_a_claim_of_a_device_that_is_gone_is_no_trouble() -> None:
    assert free([a_slice(a_device())], [a_claim_of("gpu-9", cores="50")]) == [100]
