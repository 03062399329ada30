"""The advisory view of the cluster's GPUs, from slices and claims (KEP-4381, 4815, 5075)."""

from dataclasses import replace
from typing import Any

import pytest

from devcluster import gpus as published_gpus
from devcluster import inventory
from eugospawner.manifests.placement import Reach
from eugospawner.policy.capacity import Device, Fit, Size
from eugospawner.policy.catalog import GpuModel, MigSize, Strategy
from tests.factories import a_catalog, a_mig_model, view_of

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
    *published: dict[str, Any],
    driver: str = SHARED,
    node: str = "n1",
    generation: int = 1,
    counters: dict[str, dict[str, str]] | None = None,
) -> dict[str, Any]:
    pool = {"name": node, "generation": generation, "resourceSliceCount": 1}
    spec = {"driver": driver, "nodeName": node, "pool": pool, "devices": list(published)}
    if counters is not None:
        spec["sharedCounters"] = [
            {"name": name, "counters": amounts(each)} for name, each in counters.items()
        ]
    return {"spec": spec}


def amounts(values: dict[str, str]) -> dict[str, Any]:
    return {name: {"value": value} for name, value in values.items()}


def takes(counter_set: str, **values: str) -> list[dict[str, Any]]:
    return [{"counterSet": counter_set, "counters": amounts(values)}]


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
    found = view_of(slices, claims, MODELS, reach or {}).devices
    assert found is not None
    return [device.free_percent for device in found.get(model, ())]


def test_a_cluster_without_slices_has_no_gpu() -> None:
    assert view_of([], [], MODELS, {}).devices == {}


def test_a_device_that_nobody_uses_is_free() -> None:
    view = view_of([a_slice(a_device())], [], MODELS, {})
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
    assert view_of([a_slice(a_device(product="Voodoo 2"))], [], MODELS, {}).devices == {}


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
    found = view_of([slices], [], MODELS, {}).devices
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
    slices = [
        a_slice(
            an_a100("gpu-0", consumesCounters=takes("gpu-0-slices", slices="7")),
            an_a100("gpu-0-mig-1g", kind="mig", consumesCounters=takes("gpu-0-slices", slices="1")),
            an_a100("gpu-1", consumesCounters=takes("gpu-1-slices", slices="7")),
            driver=WHOLE,
            counters={"gpu-0-slices": {"slices": "7"}, "gpu-1-slices": {"slices": "7"}},
        )
    ]
    assert free(slices, [a_claim_of("gpu-0-mig-1g", driver=WHOLE)], "A100") == [0, 100]


def test_a_claim_of_a_device_that_is_gone_is_no_trouble() -> None:
    assert free([a_slice(a_device())], [a_claim_of("gpu-9", cores="50")]) == [100]


def test_a_device_whose_counters_are_not_published_yet_is_there_and_not_free() -> None:
    gpu = an_a100("gpu-0", consumesCounters=takes("gpu-0-slices", slices="7"))
    assert free([a_slice(gpu, driver=WHOLE)], [], "A100") == [0]


def test_counters_stand_in_a_slice_of_their_own() -> None:
    """As of Kubernetes 1.35 a slice has devices or counters, not both."""
    gpu = an_a100("gpu-0", consumesCounters=takes("gpu-0-slices", slices="7"))
    counters = a_slice(driver=WHOLE, counters={"gpu-0-slices": {"slices": "7"}})
    assert free([a_slice(gpu, driver=WHOLE), counters], [], "A100") == [100]


def test_counters_of_the_same_name_on_another_node_are_others() -> None:
    gpu = an_a100("gpu-0", consumesCounters=takes("set", slices="7"))
    slices = [
        a_slice(gpu, driver=WHOLE, node=node, counters={"set": {"slices": "7"}})
        for node in ("n1", "n2")
    ]
    assert free(slices, [a_claim_of("gpu-0", driver=WHOLE, node="n2")], "A100") == [100, 0]


# --- throttled devices ---


def a_t4(name: str = "gpu-0", **fields: Any) -> dict[str, Any]:
    return a_device(name, "Tesla T4", **{"allowMultipleAllocations": False} | fields)


def test_a_throttled_device_is_a_whole_one() -> None:
    slices = [a_slice(a_t4(), a_t4("gpu-1"), driver=WHOLE)]
    assert free(slices, [a_claim_of("gpu-1", driver=WHOLE)], "T4") == [100, 0]


def test_a_device_that_is_shared_cannot_be_throttled() -> None:
    """The driver refuses MPS for a device that it gives to several claims."""
    assert free([a_slice(a_t4(allowMultipleAllocations=True), driver=WHOLE)], [], "T4") == []


def test_a_device_that_two_models_can_claim_is_shown_under_both() -> None:
    models = {**MODELS, "T4-whole": replace(MODELS["T4"], strategy=Strategy.EXCLUSIVE)}
    found = view_of([a_slice(a_t4(), driver=WHOLE)], [a_claim_of(driver=WHOLE)], models, {}).devices
    taken = (Device(node="n1", free_percent=0),)
    assert found == {"T4": taken, "T4-whole": taken}


# --- partitions: what the development cluster publishes, as NVIDIA's driver does ---

NODE = "devnode"
A100 = "NVIDIA A100-SXM4-40GB"
MIG = a_mig_model(
    products=(A100,),
    mig_sizes=(
        MigSize(profile="1g.5gb", slices=1),
        MigSize(profile="2g.10gb", slices=2),
        MigSize(profile="3g.20gb", slices=3),
        MigSize(profile="4g.20gb", slices=4),
        MigSize(profile="7g.40gb", slices=7),
    ),
)
FULL = replace(MODELS["A100"], products=(A100,))


def partitioned(count: int = 1, **fields: Any) -> dict[str, Any]:
    """A slice with all partitions of *count* A100, at all places."""
    gpu = inventory.Gpu(
        product=A100,
        memory="40448Mi",
        shares=False,
        count=count,
        mig=("1g.5gb", "1g.5gb+me", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
        **fields,
    )
    (driver,) = published_gpus.published([gpu], identify=str)
    pool = {"name": NODE, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": driver["name"], "nodeName": NODE, "pool": pool}
    return {"spec": spec | {key: driver[key] for key in ("devices", "sharedCounters")}}


def in_use(*names: str) -> list[Any]:
    return [a_claim_of(name, driver=WHOLE, node=NODE) for name in names]


def sizes(
    used: tuple[str, ...] = (), *, model: GpuModel = MIG, count: int = 1
) -> list[dict[int, tuple[int, int]]]:
    """What each GPU can be cut to at most, and now."""
    found = view_of([partitioned(count)], in_use(*used), {"M": model}, {}).devices
    assert found is not None
    return [
        {size.sm_percent: (size.most, size.free) for size in device.sizes}
        for device in found.get("M", ())
    ]


def test_a_free_gpu_can_be_cut_to_every_size_as_often_as_the_hardware_allows() -> None:
    assert sizes() == [{15: (7, 7), 29: (3, 3), 43: (2, 2), 58: (1, 1), 100: (1, 1)}]


@pytest.mark.parametrize(
    ("used", "left"),
    [
        pytest.param(
            ["gpu-0-mig-1g5gb-19-6"], {15: 6, 29: 3, 43: 1, 58: 1, 100: 0}, id="the last seventh"
        ),
        pytest.param(
            ["gpu-0-mig-3g20gb-9-0"], {15: 3, 29: 1, 43: 1, 58: 0, 100: 0}, id="the first half"
        ),
        pytest.param(
            ["gpu-0-mig-3g20gb-9-0", "gpu-0-mig-3g20gb-9-4"],
            {15: 0, 29: 0, 43: 0, 58: 0, 100: 0},
            id="both halves, though a compute slice is left over",
        ),
        pytest.param(
            ["gpu-0-mig-7g40gb-0-0"], {15: 0, 29: 0, 43: 0, 58: 0, 100: 0}, id="all of it"
        ),
        pytest.param(["gpu-0"], {15: 0, 29: 0, 43: 0, 58: 0, 100: 0}, id="the GPU itself"),
        pytest.param(
            ["gpu-0-mig-1g10gb-15-2"],
            {15: 5, 29: 2, 43: 1, 58: 0, 100: 0},
            id="a size that the catalog does not offer",
        ),
    ],
)
def test_what_is_left_is_what_counters_leave(used: list[str], left: dict[int, int]) -> None:
    (found,) = sizes(tuple(used))
    assert {percent: free for percent, (_, free) in found.items()} == left


def test_another_gpu_is_not_touched() -> None:
    first, second = sizes(("gpu-0",), count=2)
    assert [free for _, free in first.values()] == [0] * 5
    assert second == sizes()[0]


def test_while_a_part_is_used_the_whole_waits_and_while_the_whole_is_used_every_part() -> None:
    models = {"A100": FULL, "M": MIG}
    part = view_of([partitioned()], in_use("gpu-0-mig-1g5gb-19-0"), models, {})
    assert part.fit("A100", 1, 100) is Fit.WAITS
    assert part.fit("M", 6, 15) is Fit.NOW
    assert part.fit("M", 7, 15) is Fit.WAITS
    whole = view_of([partitioned()], in_use("gpu-0"), models, {})
    assert whole.fit("A100", 1, 100) is Fit.WAITS
    assert whole.fit("M", 1, 15) is Fit.WAITS


def test_a_size_that_no_device_has_never_fits() -> None:
    larger = a_mig_model(products=(A100,))  # whose sizes are those of 80 GB
    assert sizes(model=larger) == [{15: (4, 4)}]  # 1g.10gb is also a size of the 40 GB model
    view = view_of([partitioned()], [], {"M": larger}, {})
    assert view.fit("M", 1, 15) is Fit.NOW
    assert view.fit("M", 1, 43) is Fit.NEVER


def test_a_size_that_wants_what_a_gpu_has_once_is_there_once() -> None:
    """It may begin at seven places, and takes the GPU's one JPEG engine."""
    media = replace(MIG, mig_sizes=(MigSize(profile="1g.5gb+me", slices=1),))
    assert sizes(model=media) == [{15: (1, 1)}]
    assert sizes(("gpu-0-mig-1g5gb-me-20-3",), model=media) == [{15: (1, 0)}]


def test_a_gpu_without_any_of_the_sizes_is_none_of_the_model() -> None:
    only = (MigSize(profile="7g.80gb", slices=7),)
    assert sizes(model=replace(MIG, mig_sizes=only)) == []


def test_slices_of_different_gpus_count_once_a_gpu() -> None:
    apart = replace(MIG, distinct_attribute="parentUUID")
    view = view_of([partitioned(2)], in_use("gpu-0"), {"M": apart}, {})
    assert view.most_on_a_node("M", 15) == 2
    assert view.fit("M", 2, 15) is Fit.WAITS
    assert view.fit("M", 1, 15) is Fit.NOW
    assert view.fit("M", 3, 15) is Fit.NEVER


def test_the_largest_size_that_is_free_stands_for_the_gpu() -> None:
    def largest(*used: str) -> int:
        view = view_of([partitioned()], in_use(*used), {"M": MIG}, {}).devices
        assert view is not None
        return view["M"][0].free_percent

    assert largest() == 100
    assert largest("gpu-0-mig-1g5gb-19-6") == 58
    assert largest("gpu-0-mig-4g20gb-5-0") == 43
    assert largest("gpu-0") == 0


def test_partitions_that_were_cut_beforehand_have_no_counters() -> None:
    """Static MIG: each is a device of its own, and that is all there is."""

    def part(name: str, profile: str, parent: str = "GPU-1") -> dict[str, Any]:
        device = an_a100(name, kind="mig")
        device["attributes"] |= {"profile": {"string": profile}, "parentUUID": {"string": parent}}
        return device

    cut = a_slice(
        part("a", "1g.10gb"), part("b", "1g.10gb"), part("c", "2g.20gb", "GPU-2"), driver=WHOLE
    )
    model = {"M": a_mig_model()}
    view = view_of([cut], [a_claim_of("b", driver=WHOLE)], model, {})
    assert view.devices == {
        "M": (
            Device(node="n1", free_percent=15, sizes=(Size(sm_percent=15, most=2, free=1),)),
            Device(node="n1", free_percent=29, sizes=(Size(sm_percent=29, most=1, free=1),)),
        )
    }


def test_partitions_whose_counters_are_not_published_yet_wait() -> None:
    slices = partitioned()
    del slices["spec"]["sharedCounters"]
    view = view_of([slices], [], {"M": MIG}, {})
    assert view.fit("M", 1, 43) is Fit.WAITS
    assert view.fit("M", 1, 86) is Fit.NEVER


@pytest.mark.parametrize(
    ("reach", "fit"), [(Reach.LATER, Fit.WAITS), (Reach.NEVER, Fit.NEVER), (Reach.OPEN, Fit.NOW)]
)
def test_partitions_of_a_node_count_as_the_node_does(reach: Reach, fit: Fit) -> None:
    view = view_of([partitioned()], [], {"M": MIG}, {NODE: reach})
    assert view.fit("M", 1, 15) is fit
