"""Shares, whole GPUs and MIG partitions on the real scheduler: KEP-4381, KEP-5075, KEP-4815."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.devcluster.places import eventually
from tests.integration.devcluster.pods import (
    a_container,
    a_pod,
    a_share,
    a_template,
    with_claim,
)

if TYPE_CHECKING:
    from tests.integration.devcluster.places import Place
    from tests.integration.devcluster.pods import Json

# One test at a time has the GPUs: each counts on finding them free.
pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("embedded", "free_gpus")]

H100 = "NVIDIA H100 80GB HBM3"
L40S = "NVIDIA L40S"


def devices(place: Place) -> dict[str, list[dict[str, Any]]]:
    """Return what was allocated, by Pod."""
    return {
        claim["status"]["reservedFor"][0]["name"]: claim["status"]["allocation"]["devices"][
            "results"
        ]
        for claim in place.all("resourceclaims")
        if claim.get("status", {}).get("reservedFor")
    }


def test_four_quarters_share_one_gpu_and_the_fifth_gets_the_next(place: Place) -> None:
    place.create(a_template("quarter", a_share(25, product=L40S, memory="12Gi")))
    for number in range(4):
        place.runs(with_claim(a_pod(f"p{number}"), "quarter"))
    first_four = {results[0]["device"] for results in devices(place).values()}
    assert len(first_four) == 1
    place.runs(with_claim(a_pod("p4"), "quarter"))
    fifth = devices(place)["p4"][0]
    assert fifth["device"] not in first_four
    assert fifth["consumedCapacity"] == {"cores": "25", "memory": "12Gi"}


def test_the_process_sees_the_share_it_was_given(place: Place) -> None:
    place.create(a_template("quarter", a_share(25, product=H100, memory="20Gi")))
    pod = a_pod("p", a_container("env | grep -E 'NVIDIA|CUDA'"), restartPolicy="Never")
    seen = dict(line.split("=") for line in place.finishes(with_claim(pod, "quarter")).split())
    assert seen["NVIDIA_VISIBLE_DEVICES"].startswith("GPU-")
    assert seen["CUDA_DEVICE_SM_LIMIT_0"] == "25"
    assert seen["CUDA_DEVICE_MEMORY_LIMIT_0"] == "20480m"


def test_two_shares_of_one_claim_lie_on_two_gpus_if_it_says_so(place: Place) -> None:
    request = a_share(15, product=H100, count=2)
    distinct = {"requests": ["gpu"], "distinctAttribute": "gpu.devcluster.test/uuid"}
    place.create(a_template("two", request, constraints=[distinct]))
    place.runs(with_claim(a_pod(), "two"))
    (results,) = devices(place).values()
    assert len({result["device"] for result in results}) == 2


def test_a_model_that_nobody_has_leaves_the_pod_pending_with_the_reason(place: Place) -> None:
    place.create(a_template("none", a_share(25, product="NVIDIA B9000")))
    place.create(with_claim(a_pod(), "none"))
    message = eventually(lambda: place.reasons("p").get("FailedScheduling"), "an event")
    assert "cannot allocate all claims" in message
    assert place.get("pod", "p")["status"]["phase"] == "Pending"


def test_a_claim_from_a_template_ends_with_its_pod(place: Place) -> None:
    place.create(a_template("quarter", a_share(25, product=H100)))
    place.runs(with_claim(a_pod(), "quarter"))
    assert len(place.all("resourceclaims")) == 1
    place.run("delete", "pod", "p")
    eventually(lambda: not place.all("resourceclaims"), "the claim is gone")


def test_a_claim_that_says_nothing_gets_a_whole_gpu(place: Place) -> None:
    request = a_share(1, product=L40S)
    del request["capacity"]
    place.create(a_template("whole", request))
    place.runs(with_claim(a_pod("one"), "whole"), with_claim(a_pod("two"), "whole"))
    allocated = devices(place)
    assert allocated["one"][0]["consumedCapacity"]["cores"] == "100"
    assert allocated["one"][0]["device"] != allocated["two"][0]["device"]


def test_a_t4_is_given_whole_to_one_pod_at_a_time(place: Place) -> None:
    attribute = 'device.attributes["gpu.nvidia.com"].productName'
    request = {
        "deviceClassName": "gpu.nvidia.com",
        "selectors": [{"cel": {"expression": f'{attribute} == "Tesla T4"'}}],
    }
    place.create(a_template("t4", request))
    place.runs(with_claim(a_pod("one"), "t4"))
    place.create(with_claim(a_pod("two"), "t4"))
    eventually(lambda: "FailedScheduling" in place.reasons("two"), "the second waits")
    place.run("delete", "pod", "one")
    place.wait("pod/two", "condition=Ready")


def test_mig_partitions_exclude_one_another_where_they_overlap(place: Place) -> None:
    def partition(profile: str) -> Json:
        attribute = 'device.attributes["gpu.nvidia.com"].profile'
        return {
            "deviceClassName": "mig.nvidia.com",
            "selectors": [{"cel": {"expression": f'{attribute} == "{profile}"'}}],
        }

    place.create(
        a_template("half", partition("3g.20gb")),
        a_template("eighth", partition("1g.5gb")),
        a_template("whole", partition("7g.40gb")),
    )
    place.runs(
        with_claim(a_pod("one"), "half"),
        with_claim(a_pod("two"), "eighth"),
    )
    assert place.shell("one", "echo $NVIDIA_VISIBLE_DEVICES").startswith("MIG-")
    place.create(with_claim(a_pod("three"), "whole"))
    eventually(lambda: "FailedScheduling" in place.reasons("three"), "no room for all of it")
    place.run("delete", "pod", "one", "two")
    place.wait("pod/three", "condition=Ready")


def test_devices_are_published_as_the_inventory_says(place: Place) -> None:
    slices = place.all("resourceslices")
    products = [
        device["attributes"]["productName"]["string"]
        for entry in slices
        if entry["spec"].get("nodeName") == "devnode"
        for device in entry["spec"].get("devices", [])
        if device["attributes"]["type"]["string"] == "gpu"
    ]
    assert {name: products.count(name) for name in set(products)} == {
        H100: 2, "NVIDIA L4": 4, L40S: 2, "NVIDIA A100-SXM4-40GB": 1, "Tesla T4": 1,
    }  # fmt: skip
