"""Labels fit Kubernetes' grammar and say the same on Pod, template and claim (F52, F53, F56)."""

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.manifests import labels
from tests.factories import a_catalog, a_grant, a_project, a_queue, some_gpus

VALUE = re.compile(r"(([A-Za-z0-9][A-Za-z0-9_.-]*)?[A-Za-z0-9])?")
KEY = re.compile(r"[a-z0-9.-]{1,253}/[A-Za-z0-9][A-Za-z0-9_.-]*")


def test_a_cpu_workspace_says_whose_it_is_and_nothing_of_gpus() -> None:
    grant = a_grant(project=a_project("vision"), queue=a_queue("batch"))
    assert labels.make_pod_labels(grant, owner_slug="alice", workspace_slug="", session="s-1") == {
        "eugo.dev/user": "alice",
        "eugo.dev/workspace": "",
        "eugo.dev/session": "s-1",
        "eugo.dev/project": "vision",
        "eugo.dev/profile": "notebook",
        "eugo.dev/queue": "batch",
    }


def test_a_pod_names_the_queue_of_kueue_where_there_is_one() -> None:
    grant = a_grant(queue=replace(a_queue("batch"), local_queue="team-a"))
    carried = labels.make_pod_labels(grant, owner_slug="a", workspace_slug="", session="s-1")
    assert carried["kueue.x-k8s.io/queue-name"] == "team-a"
    assert carried["eugo.dev/queue"] == "batch"


def test_a_gpu_workspace_says_model_count_share_and_effective_gpus() -> None:
    assert labels.make_gpu_labels(some_gpus(2, 25)) == {
        "eugo.dev/gpu-model": "H100",
        "eugo.dev/gpu-count": "2",
        "eugo.dev/sm-percent": "25",
        "eugo.dev/effective-gpus": "0.50",
    }


@pytest.mark.parametrize(
    ("model", "count", "sm_percent", "effective"),
    [
        ("T4", 1, 50, "1.00"),
        ("T4", 2, 1, "2.00"),
        ("A100", 2, 100, "2.00"),
        ("A100-MIG", 1, 15, "0.15"),
        ("A100-MIG", 2, 43, "0.86"),
    ],
)
def test_effective_gpus_are_what_the_claim_holds(
    model: str, count: int, sm_percent: int, effective: str
) -> None:
    """Promise 5, F52: the figure of the label is the one that is charged."""
    carried = labels.make_gpu_labels(some_gpus(count, sm_percent, a_catalog().gpu_models[model]))
    assert carried["eugo.dev/effective-gpus"] == effective
    assert carried["eugo.dev/sm-percent"] == str(sm_percent)


def test_the_pod_carries_the_labels_of_its_claim() -> None:
    gpus = some_gpus(2, 25)
    carried = labels.make_pod_labels(
        a_grant(gpus=gpus), owner_slug="alice", workspace_slug="two", session="s-1"
    )
    assert labels.make_gpu_labels(gpus).items() <= carried.items()
    assert set(labels.GPU_LABELS) <= set(carried)


@given(st.integers(1, 32), st.integers(1, 100), st.from_regex(r"[a-z0-9]{1,48}", fullmatch=True))
def test_every_key_and_value_fits_kubernetes(count: int, percent: int, slug: str) -> None:
    carried = labels.make_pod_labels(
        a_grant(gpus=some_gpus(count, percent), project=a_project(f"personal-{slug}")),
        owner_slug=slug,
        workspace_slug=slug,
        session=slug,
    )
    for key, value in carried.items():
        assert KEY.fullmatch(key)
        assert VALUE.fullmatch(value)
        assert len(value) <= 63


@pytest.mark.parametrize("label", labels.GPU_LABELS)
def test_what_counts_as_a_gpu_label_has_our_prefix(label: str) -> None:
    assert label.startswith("eugo.dev/")
