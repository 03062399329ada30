"""ResourceClaimTemplates of each strategy, whole (F40, F42, F51; design §6; KEP-5075)."""

import copy
import re
from collections.abc import Callable
from itertools import product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from inline_snapshot import snapshot

from eugospawner.manifests import claims
from eugospawner.policy import units
from eugospawner.policy.catalog import Strategy
from eugospawner.policy.decisions import Gpus
from tests.factories import a_catalog, a_mig_model, some_gpus

A100 = a_catalog().gpu_models["A100"]
T4 = a_catalog().gpu_models["T4"]
MIG = a_mig_model()
#: Slices of one workspace are of different GPUs.
APART = a_mig_model(distinct_attribute="parentUUID")


def test_a_quarter_of_an_h100() -> None:
    assert claims.make_claim_template(some_gpus(1, 25)) == snapshot(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {
                "name": "gpu-32254f08b5722544361f",
                "labels": {
                    "eugo.dev/gpu-model": "H100",
                    "eugo.dev/gpu-count": "1",
                    "eugo.dev/sm-percent": "25",
                    "eugo.dev/effective-gpus": "0.25",
                },
            },
            "spec": {
                "metadata": {
                    "labels": {
                        "eugo.dev/gpu-model": "H100",
                        "eugo.dev/gpu-count": "1",
                        "eugo.dev/sm-percent": "25",
                        "eugo.dev/effective-gpus": "0.25",
                    }
                },
                "spec": {
                    "devices": {
                        "requests": [
                            {
                                "name": "gpu",
                                "exactly": {
                                    "deviceClassName": "gpu.example.test",
                                    "allocationMode": "ExactCount",
                                    "count": 1,
                                    "selectors": [
                                        {
                                            "cel": {
                                                "expression": 'device.attributes["gpu.example.test"].?productName.orValue(\'\') in ["NVIDIA H100 80GB HBM3"] && device.allowMultipleAllocations == true'
                                            }
                                        }
                                    ],
                                    "capacity": {"requests": {"cores": "25", "memory": "20Gi"}},
                                },
                            }
                        ]
                    }
                },
            },
        }
    )


def test_shares_of_two_gpus_come_from_different_devices() -> None:
    assert claims.make_claim_template(some_gpus(2, 15)) == snapshot(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {
                "name": "gpu-302ec85d897c362c4b54",
                "labels": {
                    "eugo.dev/gpu-model": "H100",
                    "eugo.dev/gpu-count": "2",
                    "eugo.dev/sm-percent": "15",
                    "eugo.dev/effective-gpus": "0.30",
                },
            },
            "spec": {
                "metadata": {
                    "labels": {
                        "eugo.dev/gpu-model": "H100",
                        "eugo.dev/gpu-count": "2",
                        "eugo.dev/sm-percent": "15",
                        "eugo.dev/effective-gpus": "0.30",
                    }
                },
                "spec": {
                    "devices": {
                        "requests": [
                            {
                                "name": "gpu",
                                "exactly": {
                                    "deviceClassName": "gpu.example.test",
                                    "allocationMode": "ExactCount",
                                    "count": 2,
                                    "selectors": [
                                        {
                                            "cel": {
                                                "expression": 'device.attributes["gpu.example.test"].?productName.orValue(\'\') in ["NVIDIA H100 80GB HBM3"] && device.allowMultipleAllocations == true'
                                            }
                                        }
                                    ],
                                    "capacity": {"requests": {"cores": "15", "memory": "12Gi"}},
                                },
                            }
                        ],
                        "constraints": [
                            {"requests": ["gpu"], "distinctAttribute": "gpu.example.test/uuid"}
                        ],
                    }
                },
            },
        }
    )


def test_whole_devices() -> None:
    assert claims.make_claim_template(some_gpus(2, 100, A100)) == snapshot(
        {
            "apiVersion": "resource.k8s.io/v1",
            "kind": "ResourceClaimTemplate",
            "metadata": {
                "name": "gpu-89a0f8f60514693df94d",
                "labels": {
                    "eugo.dev/gpu-model": "A100",
                    "eugo.dev/gpu-count": "2",
                    "eugo.dev/sm-percent": "100",
                    "eugo.dev/effective-gpus": "2.00",
                },
            },
            "spec": {
                "metadata": {
                    "labels": {
                        "eugo.dev/gpu-model": "A100",
                        "eugo.dev/gpu-count": "2",
                        "eugo.dev/sm-percent": "100",
                        "eugo.dev/effective-gpus": "2.00",
                    }
                },
                "spec": {
                    "devices": {
                        "requests": [
                            {
                                "name": "gpu",
                                "exactly": {
                                    "deviceClassName": "gpu.nvidia.com",
                                    "allocationMode": "ExactCount",
                                    "count": 2,
                                    "selectors": [
                                        {
                                            "cel": {
                                                "expression": 'device.attributes["gpu.nvidia.com"].?productName.orValue(\'\') in ["NVIDIA A100 80GB HBM3"] && device.attributes["gpu.nvidia.com"].?type.orValue(\'\') == "gpu"'
                                            }
                                        }
                                    ],
                                },
                            }
                        ]
                    }
                },
            },
        }
    )


def test_half_the_speed_of_two_t4() -> None:
    template: Any = claims.make_claim_template(some_gpus(2, 50, T4))
    assert template["spec"] == snapshot(
        {
            "metadata": {
                "labels": {
                    "eugo.dev/gpu-model": "T4",
                    "eugo.dev/gpu-count": "2",
                    "eugo.dev/sm-percent": "50",
                    "eugo.dev/effective-gpus": "2.00",
                }
            },
            "spec": {
                "devices": {
                    "requests": [
                        {
                            "name": "gpu",
                            "exactly": {
                                "deviceClassName": "gpu.nvidia.com",
                                "allocationMode": "ExactCount",
                                "count": 2,
                                "selectors": [
                                    {
                                        "cel": {
                                            "expression": 'device.attributes["gpu.nvidia.com"].?productName.orValue(\'\') in ["Tesla T4"] && device.attributes["gpu.nvidia.com"].?type.orValue(\'\') == "gpu"'
                                        }
                                    }
                                ],
                            },
                        }
                    ],
                    "config": [
                        {
                            "requests": ["gpu"],
                            "opaque": {
                                "driver": "gpu.nvidia.com",
                                "parameters": {
                                    "apiVersion": "resource.nvidia.com/v1beta1",
                                    "kind": "GpuConfig",
                                    "sharing": {
                                        "strategy": "MPS",
                                        "mpsConfig": {"defaultActiveThreadPercentage": 50},
                                    },
                                },
                            },
                        }
                    ],
                }
            },
        }
    )


def test_a_throttled_model_at_full_speed_is_asked_for_as_a_whole_one() -> None:
    """At 100 % there is nothing to limit, and no driver gate is needed."""
    template: Any = claims.make_claim_template(some_gpus(2, 100, T4))
    whole: Any = claims.make_claim_template(some_gpus(2, 100, T4, strategy=Strategy.EXCLUSIVE))
    assert template == whole


@pytest.mark.parametrize("percent", [1, 99])
def test_the_limit_is_the_sm_percent(percent: int) -> None:
    (config,) = devices_of(claims.make_claim_template(some_gpus(1, percent, T4)))["config"]
    limit = config["opaque"]["parameters"]["sharing"]["mpsConfig"]
    assert limit == {"defaultActiveThreadPercentage": percent}


def test_a_slice_of_three_sevenths() -> None:
    template: Any = claims.make_claim_template(some_gpus(1, 43, APART))
    assert template["spec"] == snapshot(
        {
            "metadata": {
                "labels": {
                    "eugo.dev/gpu-model": "A100-MIG",
                    "eugo.dev/gpu-count": "1",
                    "eugo.dev/sm-percent": "43",
                    "eugo.dev/effective-gpus": "0.43",
                }
            },
            "spec": {
                "devices": {
                    "requests": [
                        {
                            "name": "gpu",
                            "exactly": {
                                "deviceClassName": "mig.nvidia.com",
                                "allocationMode": "ExactCount",
                                "count": 1,
                                "selectors": [
                                    {
                                        "cel": {
                                            "expression": 'device.attributes["gpu.nvidia.com"].?productName.orValue(\'\') in ["NVIDIA A100 80GB HBM3"] && device.attributes["gpu.nvidia.com"].?profile.orValue(\'\') == "3g.40gb"'
                                        }
                                    }
                                ],
                            },
                        }
                    ]
                }
            },
        }
    )


def test_slices_of_different_gpus() -> None:
    devices = devices_of(claims.make_claim_template(some_gpus(2, 15, APART)))
    (request,) = devices["requests"]
    assert request["exactly"]["count"] == 2
    assert devices["constraints"] == [
        {"requests": ["gpu"], "distinctAttribute": "gpu.nvidia.com/parentUUID"}
    ]


def test_slices_of_whatever_gpu_need_no_constraint_and_no_gate() -> None:
    assert list(devices_of(claims.make_claim_template(some_gpus(2, 15, MIG)))) == ["requests"]


def test_a_share_that_is_no_size_is_a_bug_and_says_so() -> None:
    with pytest.raises(ValueError, match=r"A100-MIG: no size has 20 % SM"):
        claims.make_claim_template(some_gpus(1, 20, MIG))


def exactly(gpus: Gpus) -> dict[str, Any]:
    template: Any = claims.make_claim_template(gpus)
    (request,) = template["spec"]["spec"]["devices"]["requests"]
    answer: dict[str, Any] = request["exactly"]
    return answer


def amounts(gpus: Gpus) -> dict[str, str]:
    answer: dict[str, str] = exactly(gpus)["capacity"]["requests"]
    return answer


# --- amounts ---


@pytest.mark.parametrize(
    ("sm_scale", "sm_percent", "asked"),
    [
        (100, 25, "25"),
        (100, 100, "100"),
        (1000, 25, "250"),
        (1000, 100, "1000"),
        (7, 50, "4"),
        (10, 1, "1"),
        (1, 25, "1"),
    ],
)
def test_the_share_is_asked_in_the_drivers_own_scale_and_rounded_up(
    sm_scale: int, sm_percent: int, asked: str
) -> None:
    assert amounts(some_gpus(1, sm_percent, sm_scale=sm_scale))["cores"] == asked


@given(st.integers(1, 100), st.integers(1, 2000))
def test_less_than_was_admitted_is_never_asked(sm_percent: int, sm_scale: int) -> None:
    asked = int(amounts(some_gpus(1, sm_percent, sm_scale=sm_scale))["cores"])
    assert asked * 100 >= sm_percent * sm_scale
    assert (asked - 1) * 100 < sm_percent * sm_scale


def test_memory_is_always_asked_with_the_share() -> None:
    """A claim that names the cores alone takes the whole card's memory and never shares."""
    assert amounts(some_gpus(1, 25))["memory"] == "20Gi"


def test_memory_is_in_whole_mebibytes_and_never_nothing() -> None:
    assert amounts(some_gpus(1, 33))["memory"] == "27033Mi"
    assert amounts(some_gpus(1, 1, memory_bytes=10 * 2**20))["memory"] == "1Mi"


@given(st.lists(st.integers(1, 100), min_size=1, max_size=20), st.integers(2**30, 200 * 2**30))
def test_shares_that_fit_in_cores_fit_in_memory(shares: list[int], memory_bytes: int) -> None:
    if sum(shares) > 100:
        return
    asked = [amounts(some_gpus(1, share, memory_bytes=memory_bytes))["memory"] for share in shares]
    assert sum(units.parse_memory(each) for each in asked) <= memory_bytes


def test_a_driver_without_memory_capacity_is_not_asked_for_memory() -> None:
    assert amounts(some_gpus(1, 25, memory_capacity=None)) == {"cores": "25"}


def test_an_unchecked_model_is_a_bug_and_says_so() -> None:
    for missing in ("sm_capacity", "distinct_attribute"):
        with pytest.raises(ValueError, match="H100"):
            claims.make_claim_template(some_gpus(1, 25, **{missing: None}))


# --- shapes ---


def test_one_share_needs_no_constraint() -> None:
    template: Any = claims.make_claim_template(some_gpus(1, 25))
    assert "constraints" not in template["spec"]["spec"]["devices"]


def test_every_shape_has_a_name_of_its_own_and_keeps_it() -> None:
    shapes = [
        some_gpus(count, percent, model)
        for model, count, percent in product(
            a_catalog().gpu_models.values(), range(1, 9), range(1, 101)
        )
        if model.offers(percent)
    ]
    names = [claims.make_claim_template(shape)["metadata"]["name"] for shape in shapes]  # type: ignore[index]
    again = [claims.make_claim_template(shape)["metadata"]["name"] for shape in shapes]  # type: ignore[index]
    assert names == again
    assert len(set(names)) == len(shapes)
    assert all(re.fullmatch(r"gpu-[0-9a-f]{20}", name) for name in names)


def test_another_product_of_the_same_model_is_another_shape() -> None:
    one = claims.make_claim_template(some_gpus(1, 25))
    other = claims.make_claim_template(some_gpus(1, 25, products=("NVIDIA H100 PCIe",)))
    assert one["metadata"]["name"] != other["metadata"]["name"]  # type: ignore[index]


def test_template_and_claim_carry_the_gpu_labels() -> None:
    template: Any = claims.make_claim_template(some_gpus(2, 25))
    assert template["metadata"]["labels"] == template["spec"]["metadata"]["labels"]


# --- what an API server without the feature gate keeps ---


def stored(template: Any) -> Any:
    """What the API server answers: the same, with its own fields and canonical quantities."""
    answer = copy.deepcopy(template)
    answer["metadata"] |= {"uid": "1", "resourceVersion": "7", "namespace": "eugo"}
    return answer


def devices_of(template: Any) -> Any:
    return template["spec"]["spec"]["devices"]


def exactly_of(template: Any) -> Any:
    return template["spec"]["spec"]["devices"]["requests"][0]["exactly"]


EVERY_KIND = {
    "a share": some_gpus(1, 25),
    "two shares": some_gpus(2, 25),
    "whole devices": some_gpus(2, 100, A100),
    "a throttled device": some_gpus(1, 50, T4),
    "a slice": some_gpus(1, 43, MIG),
    "two slices of different GPUs": some_gpus(2, 43, APART),
}


@pytest.mark.parametrize("gpus", EVERY_KIND.values(), ids=EVERY_KIND)
def test_what_comes_back_whole_is_kept(gpus: Gpus) -> None:
    template = claims.make_claim_template(gpus)
    assert claims.keeps_capacity(template, stored(template))


@pytest.mark.parametrize("count", [1, 2])
def test_a_dropped_capacity_is_noticed(count: int) -> None:
    template = claims.make_claim_template(some_gpus(count, 25))
    answer = stored(template)
    del exactly_of(answer)["capacity"]
    assert not claims.keeps_capacity(template, answer)


@pytest.mark.parametrize("left", [None, {}, {"requests": None}, {"requests": {}}])
def test_an_emptied_capacity_is_noticed(left: object) -> None:
    template = claims.make_claim_template(some_gpus(1, 25))
    answer = stored(template)
    exactly_of(answer)["capacity"] = left
    assert not claims.keeps_capacity(template, answer)


def test_a_dropped_memory_request_is_noticed() -> None:
    template = claims.make_claim_template(some_gpus(1, 25))
    answer = stored(template)
    del exactly_of(answer)["capacity"]["requests"]["memory"]
    assert not claims.keeps_capacity(template, answer)


@pytest.mark.parametrize("left", [None, [], [{"requests": ["gpu"]}]])
def test_a_dropped_distinct_attribute_is_noticed(left: object) -> None:
    template = claims.make_claim_template(some_gpus(2, 25))
    answer = stored(template)
    answer["spec"]["spec"]["devices"]["constraints"] = left
    assert not claims.keeps_capacity(template, answer)


@pytest.mark.parametrize("gpus", [some_gpus(2, 25), some_gpus(2, 43, APART)])
@pytest.mark.parametrize(
    "left",
    [
        None,
        [],
        [{"requests": ["gpu"], "matchAttribute": "gpu.nvidia.com/parentUUID"}],
        [{"requests": ["other"], "distinctAttribute": "gpu.nvidia.com/parentUUID"}],
    ],
)
def test_a_constraint_that_is_dropped_or_another_is_noticed(gpus: Gpus, left: object) -> None:
    template = claims.make_claim_template(gpus)
    answer = stored(template)
    devices_of(answer)["constraints"] = left
    assert not claims.keeps_capacity(template, answer)


def without_limit(config: Any) -> Any:
    changed = copy.deepcopy(config)
    changed[0]["opaque"]["parameters"]["sharing"]["mpsConfig"] = {}
    return changed


def for_other_requests(config: Any) -> Any:
    return [config[0] | {"requests": ["other"]}]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: None, id="null"),
        pytest.param(lambda _: [], id="none"),
        pytest.param(lambda config: [{"requests": config[0]["requests"]}], id="emptied"),
        pytest.param(without_limit, id="without its limit"),
        pytest.param(for_other_requests, id="for another request"),
    ],
)
def test_a_dropped_limit_is_noticed(change: Callable[[Any], Any]) -> None:
    template = claims.make_claim_template(some_gpus(1, 50, T4))
    answer = stored(template)
    devices_of(answer)["config"] = change(devices_of(answer)["config"])
    assert not claims.keeps_capacity(template, answer)


def test_a_limit_that_somebody_adds_is_noticed() -> None:
    template = claims.make_claim_template(some_gpus(1, 100, T4))
    answer = stored(claims.make_claim_template(some_gpus(1, 1, T4)))
    assert not claims.keeps_capacity(template, answer)


def test_a_request_without_exactly_keeps_nothing() -> None:
    template = claims.make_claim_template(some_gpus(1, 25))
    answer = stored(template)
    answer["spec"]["spec"]["devices"]["requests"] = [{"name": "gpu"}]
    assert not claims.keeps_capacity(template, answer)


def test_amounts_written_otherwise_are_the_same_amounts() -> None:
    """The API server answers in canonical form: 1000 comes back as 1k, 81920Mi as 80Gi."""
    template = claims.make_claim_template(some_gpus(1, 100, sm_scale=1000))
    answer = stored(template)
    assert exactly_of(answer)["capacity"]["requests"] == {"cores": "1000", "memory": "80Gi"}
    exactly_of(answer)["capacity"]["requests"] = {"cores": "1k", "memory": "81920Mi"}
    assert claims.keeps_capacity(template, answer)


def test_another_amount_is_noticed() -> None:
    template = claims.make_claim_template(some_gpus(1, 25))
    answer = stored(template)
    exactly_of(answer)["capacity"]["requests"]["cores"] = "100"
    assert not claims.keeps_capacity(template, answer)


def test_a_whole_device_needs_no_feature_gate() -> None:
    template = claims.make_claim_template(some_gpus(2, 100, A100))
    assert "capacity" not in exactly_of(template)
    assert "allowMultipleAllocations" not in str(template)
