"""eugo-no-token: no key to the Kubernetes API in a workspace (design §9; F46)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.base.judged import assert_admitted, assert_refused
from tests.integration.base.pods import IMAGE, a_container, a_workspace, changed
from tests.integration.base.prepared import until

if TYPE_CHECKING:
    from tests.integration.base.pods import Json
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

POLICY = "eugo-no-token"


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"automountServiceAccountToken": None}, id="the account workspace says no"),
        pytest.param({"serviceAccountName": None}, id="the Pod says no, account default"),
        pytest.param({}, id="both say no"),
    ],
)
def test_a_workspace_without_token_is_admitted(base: Prepared, spec: Json) -> None:
    assert_admitted(base.attempt(a_workspace(spec=spec)))


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(
            {"serviceAccountName": None, "automountServiceAccountToken": None},
            id="the account default, which mounts one",
        ),
        pytest.param({"automountServiceAccountToken": True}, id="the Pod overrides its account"),
        pytest.param(
            {
                "volumes": [
                    {
                        "name": "key",
                        "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
                    }
                ]
            },
            id="a projected volume of the Pod's own",
        ),
    ],
)
def test_a_token_in_a_workspace_is_refused_however_it_is_asked_for(
    base: Prepared, spec: Json
) -> None:
    assert_refused(
        base.attempt(a_workspace(spec=spec)),
        policy=POLICY,
        saying="A workspace gets no token of the Kubernetes API.",
    )


def test_a_workspace_cannot_run_as_the_hub(base: Prepared) -> None:
    answer = base.attempt(a_workspace(spec={"serviceAccountName": "hub"}))
    assert_refused(answer, policy=POLICY, saying="cannot run as the ServiceAccount hub.")


def test_an_unlabelled_pod_gets_no_token_either(base: Prepared) -> None:
    pod = a_workspace(spec={"serviceAccountName": "hub", "automountServiceAccountToken": True})
    del pod["metadata"]["labels"]
    assert_refused(base.attempt(pod), policy=POLICY, saying="A workspace gets no token")


def test_projected_volumes_without_token_are_admitted(base: Prepared) -> None:
    volume = {"name": "about", "projected": {"sources": [{"configMap": {"name": "settings"}}]}}
    assert_admitted(base.attempt(a_workspace(spec={"volumes": [volume]})))


def a_deployment(name: str, *, labels: Json, priority_class: str | None) -> Json:
    """Return a Deployment as the chart would run the hub: with the hub's account and its token."""
    spec = changed(
        a_workspace()["spec"],
        {
            "serviceAccountName": "hub",
            "automountServiceAccountToken": True,
            "priorityClassName": priority_class,
            "containers": [a_container(image=IMAGE)],
        },
    )
    return {
        "metadata": {"name": name},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name, **labels}}, "spec": spec},
        },
    }


def deploy(base: Prepared, deployment: Json) -> None:
    path = f"/apis/apps/v1/namespaces/{base.namespace}/deployments"
    assert_admitted(base.admin.create(path, deployment))


def test_the_hub_itself_may_run_here_with_its_own_token(own_base: Prepared) -> None:
    deploy(own_base, a_deployment("hub", labels={"component": "hub"}, priority_class=None))

    def pods_of_the_hub() -> list[Json]:
        answer = own_base.admin.get(own_base.pods, labelSelector="app=hub")
        items: list[Json] = answer.body["items"]
        return items

    until(lambda: bool(pods_of_the_hub()), "the Deployment of the hub has no Pod")
    volumes = pods_of_the_hub()[0]["spec"]["volumes"]
    assert any("serviceAccountToken" in s for v in volumes for s in v["projected"]["sources"])


def test_a_deployment_that_calls_itself_a_workspace_gets_no_token(own_base: Prepared) -> None:
    labels = {"component": "singleuser-server"}
    deploy(own_base, a_deployment("disguised", labels=labels, priority_class="eugo-default"))
    path = f"/apis/apps/v1/namespaces/{own_base.namespace}/replicasets"

    def complaint() -> str:
        sets = own_base.admin.get(path, labelSelector="app=disguised").body["items"]
        conditions = [c for each in sets for c in each["status"].get("conditions", [])]
        return " ".join(c["message"] for c in conditions if c["type"] == "ReplicaFailure")

    until(lambda: bool(complaint()), "the ReplicaSet reports no failure")
    assert f"'{POLICY}'" in complaint()
