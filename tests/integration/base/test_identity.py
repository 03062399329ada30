"""eugo-identity-immutable: a running Pod stays whose and what it was admitted as (design §5)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import pytest

from tests.integration.base.caller import STRATEGIC_PATCH
from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import OTHER_IMAGE, a_container, a_workspace
from tests.integration.base.prepared import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY: Final = "eugo-identity-immutable"
PROTECTED: Final = (
    "component",
    "hub.jupyter.org/username",
    "hub.jupyter.org/servername",
    "eugo.dev/user",
    "eugo.dev/workspace",
    "eugo.dev/project",
    "eugo.dev/profile",
)


@pytest.fixture(scope="module")
def pod(base: Prepared) -> Iterator[str]:
    """The path of a workspace that exists."""
    setup = a_container(name="setup", ports=None)
    base.run(a_workspace("identity", spec={"initContainers": [setup]}))
    path = f"{base.pods}/identity"
    yield path
    base.hub.delete(path, gracePeriodSeconds="0")


def labels(**values: str | None) -> Json:
    return {"metadata": {"labels": values}}


@pytest.mark.parametrize("label", PROTECTED)
def test_the_hub_cannot_change_whose_workspace_it_is(base: Prepared, pod: str, label: str) -> None:
    answer = base.hub.patch(pod, labels(**{label: "mallory"}))
    assert_refused(answer, policy=POLICY, saying=f"stay as they are: {label}. Stop the workspace")


@pytest.mark.parametrize("label", PROTECTED)
def test_the_hub_cannot_take_a_label_away(base: Prepared, pod: str, label: str) -> None:
    assert_refused(base.hub.patch(pod, labels(**{label: None})), policy=POLICY, saying=label)


def test_a_label_cannot_be_added_later(base: Prepared, pod: str) -> None:
    answer = base.hub.patch(pod, labels(**{"eugo.dev/gpu-model": "H100"}))
    assert_refused(answer, policy=POLICY, saying="eugo.dev/gpu-model")


def test_an_admin_cannot_change_them_either(base: Prepared, pod: str) -> None:
    answer = base.admin.patch(pod, labels(**{"eugo.dev/user": "mallory"}))
    assert_refused(answer, policy=POLICY, saying="eugo.dev/user")


@pytest.mark.parametrize("subresource", ["status", "ephemeralcontainers", "resize"])
def test_no_subresource_is_a_back_door_to_the_labels(
    base: Prepared, pod: str, subresource: str
) -> None:
    base.admin.patch(f"{pod}/{subresource}", labels(**{"eugo.dev/user": "mallory"}))
    kept = base.admin.get(pod).body["metadata"]["labels"]
    assert kept["eugo.dev/user"] == "alice"


def test_the_hub_may_move_a_workspace_to_another_queue(base: Prepared, pod: str) -> None:
    assert_admitted(base.hub.patch(pod, labels(**{"eugo.dev/queue": "batch"})))
    assert base.hub.get(pod).body["metadata"]["labels"]["eugo.dev/queue"] == "batch"


def test_nobody_else_may_move_it(base: Prepared, pod: str) -> None:
    answer = base.admin.patch(pod, labels(**{"eugo.dev/queue": "high"}))
    assert_refused(answer, policy=POLICY, saying="eugo.dev/queue")


def test_a_hub_of_another_namespace_is_not_the_hub(
    base: Prepared, own_base: Prepared, pod: str
) -> None:
    """The account is held by its namespace, even where somebody gave it the right to patch."""
    bind = {
        "metadata": {"name": "foreign-hub"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "Role",
            "name": "eugo-hub",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "hub", "namespace": own_base.namespace}],
    }
    bindings = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{base.namespace}/rolebindings"
    assert_admitted(base.admin.create(bindings, bind))
    until(lambda: own_base.hub.get(pod).status == HTTPStatus.OK, "the binding is not in force")
    answer = own_base.hub.patch(pod, labels(**{"eugo.dev/queue": "high"}))
    base.admin.delete(f"{bindings}/foreign-hub")
    assert_refused(answer, policy=POLICY, saying="eugo.dev/queue")


def test_other_labels_annotations_and_finalizers_stay_free(base: Prepared, pod: str) -> None:
    metadata = {
        "labels": {"team.example/note": "x"},
        "annotations": {"eugo.dev/note": "x"},
        "finalizers": ["eugo.dev/test"],
    }
    assert_admitted(base.hub.patch(pod, {"metadata": metadata}))
    assert_admitted(base.hub.patch(pod, {"metadata": {"finalizers": None}}))


@pytest.mark.parametrize("kind", ["containers", "initContainers"])
def test_the_image_of_a_running_workspace_cannot_be_replaced(
    base: Prepared, pod: str, kind: str
) -> None:
    name = {"containers": "notebook", "initContainers": "setup"}[kind]
    change = {"spec": {kind: [{"name": name, "image": OTHER_IMAGE}]}}
    answer = base.hub.patch(pod, change, content_type=STRATEGIC_PATCH)
    assert_refused(
        answer, policy=POLICY, saying="The image of a running workspace cannot be replaced."
    )
