"""
Slices of an A100 and a throttled T4, from the request to the process, on real Kubernetes.

Design §6: what a strategy claims, what it is charged, and what its process sees. One test at a
time has the GPUs: each counts on finding them free.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from eugospawner.manifests import claims, names
from eugospawner.policy.decisions import Gpus
from eugospawner.settings import load
from tests.integration.devcluster.places import Place, eventually
from tests.integration.devcluster.pods import a_pod, with_claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.conftest import Kubectl
    from tests.integration.hub.hubs import Hub

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("free_gpus")]

CATALOG = Path(__file__).resolve().parents[3] / "helm-values" / "catalog.yaml"
NVIDIA = "gpu.nvidia.com"
A100 = "NVIDIA A100-SXM4-40GB"


@pytest.fixture
def new_user(hub: Hub) -> Iterator[Callable[[], str]]:
    """Makes users whose workspaces end with the test."""
    made: list[str] = []

    def make() -> str:
        made.append(hub.new_user())
        return made[-1]

    yield make
    for name in made:
        hub.stop(name)


def results(hub: Hub, user: str) -> list[dict[str, Any]]:
    """Return what the user's claim was given."""
    (claim,) = hub.objects("resourceclaims", user)
    found: list[dict[str, Any]] = claim["status"]["allocation"]["devices"]["results"]
    return found


def attributes(hub: Hub, result: dict[str, Any]) -> dict[str, str]:
    """Return the text attributes of an allocated device, as its driver publishes it."""
    listed = json.loads(hub.kubectl("get", "resourceslices", "-o", "json").stdout)["items"]
    (device,) = (
        device
        for each in listed
        if each["spec"]["driver"] == result["driver"]
        and each["spec"]["pool"]["name"] == result["pool"]
        for device in each["spec"].get("devices") or ()
        if device["name"] == result["device"]
    )
    return {
        name: value["string"] for name, value in device["attributes"].items() if "string" in value
    }


def seen_inside(hub: Hub, user: str) -> dict[str, str]:
    """Return the environment of the workspace's container."""
    lines = hub.run_inside(user, "env").splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def effective_gpus(hub: Hub, user: str) -> set[str]:
    """Return the figure on Pod and claim."""
    found = hub.objects("pods", user) + hub.objects("resourceclaims", user)
    assert len(found) == 2
    return {each["metadata"]["labels"]["eugo.dev/effective-gpus"] for each in found}


def waits(hub: Hub, user: str) -> bool:
    """Whether the scheduler has said that the user's Pod must wait for a GPU."""
    return any(
        condition["reason"] == "Unschedulable" and "claim" in condition["message"]
        for pod in hub.objects("pods", user)
        for condition in pod["status"].get("conditions", ())
        if condition["type"] == "PodScheduled" and condition["status"] == "False"
    )


def test_three_sevenths_of_an_a100_are_what_claim_process_and_charge_show(
    hub: Hub, new_user: Callable[[], str]
) -> None:
    user = new_user()
    assert hub.start_light(user, profile="gpu-a100-mig", sm_percent=43).status in {201, 202}
    hub.until_ready(user)
    (device,) = results(hub, user)
    assert device["driver"] == NVIDIA
    assert "mig-3g20gb" in device["device"]
    found = attributes(hub, device)
    assert (found["type"], found["profile"], found["productName"]) == ("mig", "3g.20gb", A100)
    assert seen_inside(hub, user)["NVIDIA_VISIBLE_DEVICES"].startswith("MIG-")
    assert effective_gpus(hub, user) == {"0.43"}
    assert hub.sessions(user)[0][0] == 43


def test_slices_share_an_a100_and_all_of_it_waits_until_they_are_gone(
    hub: Hub, new_user: Callable[[], str]
) -> None:
    small, large, whole = new_user(), new_user(), new_user()
    hub.start_light(small, profile="gpu-a100-mig", sm_percent=15)
    hub.start_light(large, profile="gpu-a100-mig", sm_percent=43)
    hub.until_ready(small)
    hub.until_ready(large)
    parents = set()
    for user, profile in ((small, "1g.5gb"), (large, "3g.20gb")):
        found = attributes(hub, results(hub, user)[0])
        assert found["profile"] == profile
        parents.add(found["parentUUID"])
    assert len(parents) == 1
    assert [hub.sessions(user)[0][0] for user in (small, large)] == [15, 43]

    hub.start_light(whole, profile="gpu-a100-1x")
    hub.until(lambda: waits(hub, whole), "the whole A100 does not wait")
    assert not hub.server(whole).get("ready")
    hub.stop(small)
    hub.stop(large)
    hub.until_ready(whole)
    (device,) = results(hub, whole)
    assert attributes(hub, device)["uuid"] in parents
    assert effective_gpus(hub, whole) == {"1.00"}
    assert hub.sessions(whole)[0][0] == 100


def test_a_slice_waits_while_the_whole_a100_is_in_use(
    hub: Hub, new_user: Callable[[], str]
) -> None:
    whole, part = new_user(), new_user()
    hub.start_light(whole, profile="gpu-a100-1x")
    hub.until_ready(whole)
    hub.start_light(part, profile="gpu-a100-mig", sm_percent=15)
    hub.until(lambda: waits(hub, part), "the slice does not wait")
    hub.stop(whole)
    hub.until_ready(part)
    assert hub.sessions(part)[0][0] == 15


REFUSED = {
    "a share between two sizes": ({"sm_percent": 30}, 400, "sm-percent-not-a-size", "43 % (3g.20gb)"),
    # The sample asks for slices of different GPUs (F40), and there is one A100.
    "two slices of one GPU": (
        {"sm_percent": 15, "gpu_count": 2}, 409, "gpu-count-absent", "no node has more than 1",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "status", "reason", "said"), REFUSED.values(), ids=REFUSED)
def test_a_slice_that_cannot_be_had_is_refused_with_what_can(
    hub: Hub,
    new_user: Callable[[], str],
    words: dict[str, Any],
    status: int,
    reason: str,
    said: str,
) -> None:
    user = new_user()
    answer = hub.start_light(user, profile="gpu-a100-mig", **words)
    assert answer.status == status
    assert answer.message.endswith(f"[{reason}]")
    assert said in answer.message
    assert hub.objects("pods,resourceclaims", user) == []


def test_half_the_speed_of_a_t4_holds_and_costs_all_of_it(
    hub: Hub, new_user: Callable[[], str]
) -> None:
    throttled, other = new_user(), new_user()
    assert hub.start_light(throttled, profile="gpu-t4-mps", sm_percent=50).status in {201, 202}
    hub.until_ready(throttled)
    (device,) = results(hub, throttled)
    found = attributes(hub, device)
    assert (found["type"], found["productName"]) == ("gpu", "Tesla T4")
    assert "consumedCapacity" not in device
    inside = seen_inside(hub, throttled)
    assert inside["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "50"
    assert inside["NVIDIA_VISIBLE_DEVICES"] == found["uuid"]
    assert effective_gpus(hub, throttled) == {"1.00"}
    (pod,) = hub.objects("pods", throttled)
    assert pod["metadata"]["labels"]["eugo.dev/sm-percent"] == "50"
    assert hub.sessions(throttled)[0][0] == 100

    hub.start_light(other, profile="gpu-t4-mps", sm_percent=1)
    hub.until(lambda: waits(hub, other), "what the limit leaves was given to somebody else")
    hub.stop(throttled)
    hub.until_ready(other)
    assert seen_inside(hub, other)["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "1"


def test_a_t4_at_full_speed_has_no_limit(hub: Hub, new_user: Callable[[], str]) -> None:
    user = new_user()
    hub.start_light(user, profile="gpu-t4-mps")
    hub.until_ready(user)
    assert "CUDA_MPS_ACTIVE_THREAD_PERCENTAGE" not in seen_inside(hub, user)
    assert hub.sessions(user)[0][0] == 100


# --- two slices for one Pod: what the scheduler makes of our constraint ---


def two_slices(**changes: Any) -> dict[str, Any]:
    """The template of two sevenths of the sample's A100; *changes* replace fields of the model."""
    model = replace(load(CATALOG).catalog.gpu_models["A100-MIG"], **changes)
    template: dict[str, Any] = claims.make_claim_template(Gpus(model=model, count=2, sm_percent=15))
    return template


def test_the_api_server_keeps_what_a_strategy_asks_for(namespace: str, kubectl: Kubectl) -> None:
    models = load(CATALOG).catalog.gpu_models
    for template in (
        two_slices(),
        claims.make_claim_template(Gpus(model=models["T4-MPS"], count=1, sm_percent=50)),
        claims.make_claim_template(Gpus(model=models["H100"], count=2, sm_percent=25)),
    ):
        stored = kubectl(
            "create", "-n", namespace, "-f", "-", "-o", "json", stdin=json.dumps(template)
        )
        assert claims.keeps_capacity(template, json.loads(stored.stdout))


def test_two_slices_are_of_one_gpu_unless_the_catalog_wants_them_apart(
    namespace: str, kubectl: Kubectl, tmp_path: Path
) -> None:
    place = Place(namespace, kubectl, (), tmp_path)
    together, apart = two_slices(distinct_attribute=None), two_slices()
    assert names.of(together) != names.of(apart)
    place.create(together, apart)
    place.runs(with_claim(a_pod("together"), names.of(together)))
    (claim,) = place.all("resourceclaims")
    assert (
        len({each["device"] for each in claim["status"]["allocation"]["devices"]["results"]}) == 2
    )
    place.run("delete", "pod", "together")
    place.create(with_claim(a_pod("apart"), names.of(apart)))
    message = eventually(lambda: place.reasons("apart").get("FailedScheduling"), "it waits")
    assert "cannot allocate all claims" in message
