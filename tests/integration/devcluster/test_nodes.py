"""Nodes without machines, for tests of scheduling and scale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.devcluster.places import eventually
from tests.integration.devcluster.pods import a_pod, a_share, a_template, with_claim

if TYPE_CHECKING:
    from tests.integration.devcluster.places import Place
    from tests.integration.devcluster.pods import Json

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("embedded")]


def elsewhere(name: str) -> Json:
    """A Pod for the run's extra Nodes."""
    return a_pod(
        name,
        nodeSelector={"devcluster.test/extra": "true"},
        tolerations=[{"key": "devcluster.test/extra", "operator": "Exists"}],
    )


def test_they_are_ready(place: Place) -> None:
    place.run("wait", "node/extra-0", "node/extra-1", "--for=condition=Ready", "--timeout=60s")


def test_pods_on_them_are_running_and_ready(place: Place) -> None:
    place.runs(elsewhere("p"))
    pod = place.get("pod", "p")
    assert pod["spec"]["nodeName"].startswith("extra-")
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["podIP"]


def test_pods_on_them_are_gone_when_deleted(place: Place) -> None:
    place.runs(elsewhere("p"))
    place.run("delete", "pod", "p", "--timeout=30s")
    assert place.all("pods") == []


def test_their_gpus_are_shared_like_any(place: Place) -> None:
    place.create(a_template("half", a_share(50, product="NVIDIA H100 80GB HBM3")))
    place.runs(with_claim(elsewhere("p"), "half"))
    (claim,) = eventually(lambda: place.all("resourceclaims"), "a claim")
    (result,) = claim["status"]["allocation"]["devices"]["results"]
    assert result["pool"].startswith("extra-")
    assert result["consumedCapacity"]["cores"] == "50"


def test_a_pod_that_does_not_ask_for_them_stays_away(place: Place) -> None:
    place.runs(a_pod())
    assert place.get("pod", "p")["spec"]["nodeName"] == "devnode"


def test_the_node_claims_what_the_inventory_says(place: Place) -> None:
    capacity = place.get("node", "devnode")["status"]["capacity"]
    assert (capacity["cpu"], capacity["memory"], capacity["pods"]) == ("96", "768Gi", "250")
