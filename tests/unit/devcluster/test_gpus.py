"""The short form of a GPU becomes what a driver publishes."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from devcluster import gpus, inventory, mig

EXAMPLE = inventory.DEFAULT.parent / "kubernetes" / "testdata" / "devices.yaml"
A100 = inventory.Gpu(
    product="NVIDIA A100-SXM4-40GB", memory="40448Mi", shares=False, mig=("1g.5gb", "3g.20gb")
)


def named(index: int) -> str:
    return f"uuid-{index}"


def comparable(content: Any) -> Any:
    """Leave out what is arbitrary: identities, and the order of the file."""
    if isinstance(content, dict):
        return {
            key: comparable(value) for key, value in content.items() if "pciBusID" not in str(key)
        }
    if isinstance(content, list):
        return [comparable(entry) for entry in content]
    return re.sub(r"GPU-[-0-9a-f]+", "GPU", content) if isinstance(content, str) else content


def test_the_default_inventory_becomes_the_example_of_the_driver() -> None:
    ours = {"drivers": gpus.drivers(inventory.load(inventory.DEFAULT))}
    assert comparable(ours) == comparable(yaml.safe_load(EXAMPLE.read_text("utf-8")))


def test_gpus_are_numbered_through_and_each_has_a_name_of_its_own() -> None:
    (sharing, nvidia) = gpus.drivers(inventory.load(inventory.DEFAULT))
    devices = [*sharing["devices"], *nvidia["devices"]]
    whole = [device for device in devices if device["attributes"]["type"] == {"string": "gpu"}]
    assert [device["name"] for device in whole] == [f"gpu-{index}" for index in range(10)]
    assert len({device["attributes"]["uuid"]["string"] for device in whole}) == 10


def test_a_shared_gpu_gives_everything_to_a_claim_that_says_nothing() -> None:
    gpu = inventory.Gpu(product="X", memory="24Gi")
    ((driver),) = gpus.published([gpu], identify=named)
    capacity = driver["devices"][0]["capacity"]
    assert capacity["cores"]["requestPolicy"]["default"] == "100"
    assert capacity["memory"]["requestPolicy"]["default"] == "24Gi"
    assert driver["devices"][0]["allowMultipleAllocations"] is True


def test_partitions_that_overlap_draw_on_the_same_memory_slices() -> None:
    ((driver),) = gpus.published([A100], identify=named)

    def slices(name: str) -> set[str]:
        (device,) = [device for device in driver["devices"] if device["name"] == name]
        (consumed,) = device["consumesCounters"]
        return {counter for counter in consumed["counters"] if counter.startswith("memory-slice")}

    assert slices("gpu-0-mig-3g20gb-9-0") == {f"memory-slice-{place}" for place in range(4)}
    assert slices("gpu-0-mig-1g5gb-19-5") == {"memory-slice-5"}
    assert len(slices("gpu-0")) == 8


def test_an_80_gb_gpu_has_profiles_of_twice_the_size() -> None:
    assert mig.profile("1g.10gb", memory="80Gi").number == 19
    assert mig.profile("3g.40gb", memory="80Gi").number == 9


def test_a_profile_that_a_gpu_does_not_have_is_told_with_those_it_has() -> None:
    with pytest.raises(ValueError, match=r"no MIG profile '9g\.9gb'; it has 1g\.5gb, 1g\.5gb\+me"):
        mig.profile("9g.9gb", memory="40448Mi")


def test_gpus_of_extra_nodes_are_named_after_their_node() -> None:
    group = inventory.NodeGroup.model_validate(
        {
            "prefix": "n",
            "count": 3,
            "gpus": [{"product": "X", "memory": "8Gi"}],
            "readyAfter": "2s",
        }
    )
    entry = gpus.node_group(group)
    device = entry["drivers"][0]["devices"][0]
    assert device["attributes"]["uuid"] == {"string": "GPU-$(NODE)-0"}
    assert (entry["prefix"], entry["count"], entry["readyAfter"]) == ("n", 3, "2s")
