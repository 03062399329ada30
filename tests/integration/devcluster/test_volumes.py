"""PersistentVolumeClaims: folders of this machine behind the real binder, resizer and kubelet."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.devcluster.places import eventually
from tests.integration.devcluster.pods import (
    a_container,
    a_pod,
    a_volume_claim,
    from_claim,
    with_volume,
)

if TYPE_CHECKING:
    from tests.integration.devcluster.clusters import Cluster
    from tests.integration.devcluster.places import Place

pytestmark = pytest.mark.cluster


def test_a_claim_is_bound_and_keeps_what_was_written(place: Place) -> None:
    place.create(a_volume_claim())
    place.wait("pvc/data", "jsonpath={.status.phase}=Bound")

    def writing(name: str, word: str) -> str:
        container = with_volume(a_container(f"echo {word} >> /data/f; cat /data/f"), "/data")
        pod = a_pod(name, container, volumes=[from_claim()], restartPolicy="Never")
        return place.finishes(pod)

    assert writing("first", "one") == "one\n"
    place.run("delete", "pod", "first")
    assert writing("second", "two") == "one\ntwo\n"


def test_a_claim_grows(place: Place) -> None:
    place.create(a_volume_claim(size="1Gi"))
    place.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    place.create(a_volume_claim(size="3Gi"))
    place.wait("pvc/data", "jsonpath={.status.capacity.storage}=3Gi")


def test_a_claim_does_not_shrink(place: Place) -> None:
    place.create(a_volume_claim(size="2Gi"))
    place.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    with pytest.raises(AssertionError, match="can not be less than"):
        place.create(a_volume_claim(size="1Gi"))


def test_a_deleted_claim_takes_its_folder_with_it(place: Place, embedded: Cluster) -> None:
    place.create(a_volume_claim())
    place.wait("pvc/data", "jsonpath={.status.phase}=Bound")
    volume = place.get("pvc", "data")["spec"]["volumeName"]
    folder = embedded.layout.volumes / volume
    assert folder.is_dir()
    place.run("delete", "pvc", "data")
    eventually(lambda: not folder.exists(), "the folder is gone")


def test_a_claim_of_a_class_that_does_not_exist_stays_pending(place: Place) -> None:
    place.create(a_volume_claim(storageClassName="no-such-class"))
    eventually(lambda: "ProvisioningFailed" in place.reasons("data"), "an event")
    assert place.get("pvc", "data")["status"]["phase"] == "Pending"


def test_two_pods_share_a_volume(place: Place) -> None:
    place.create(a_volume_claim())
    container = with_volume(a_container(), "/data")
    place.runs(
        a_pod("one", container, volumes=[from_claim()]),
        a_pod("two", container, volumes=[from_claim()]),
    )
    place.shell("one", "echo hello > /data/word")
    assert place.shell("two", "cat /data/word") == "hello\n"
