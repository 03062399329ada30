"""The hub's own token: what it may do, what it may not, and that neither list has slack."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from tests.integration.base.judged import assert_admitted
from tests.integration.base.overlay import BASE
from tests.integration.base.permissions import ALL, IN_THE_NAMESPACE, OF_THE_CLUSTER, Permission
from tests.integration.base.pods import a_gpu_workspace

if TYPE_CHECKING:
    from tests.integration.base.caller import Answer, Caller
    from tests.integration.base.prepared import Prepared

pytestmark = pytest.mark.cluster

#: Granted by the cluster to every authenticated caller: questions about oneself.
EVERYBODYS = {
    ("authentication.k8s.io", "selfsubjectreviews"),
    ("authorization.k8s.io", "selfsubjectaccessreviews"),
    ("authorization.k8s.io", "selfsubjectrulesreviews"),
}


def expected() -> set[tuple[str, str, str]]:
    return {(each.group, each.resource, verb) for each in ALL for verb in each.verbs}


def test_the_roles_grant_exactly_what_the_table_says_somebody_needs() -> None:
    for file, table in (
        ("hub-role.yaml", IN_THE_NAMESPACE),
        ("hub-cluster-role.yaml", OF_THE_CLUSTER),
    ):
        role, _binding = yaml.safe_load_all((BASE / file).read_text())
        granted = {
            (group, resource, verb)
            for rule in role["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert granted == {
            (each.group, each.resource, verb) for each in table for verb in each.verbs
        }


def test_no_rule_has_a_wildcard() -> None:
    for file in ("hub-role.yaml", "hub-cluster-role.yaml"):
        role, _binding = yaml.safe_load_all((BASE / file).read_text())
        assert "*" not in [
            entry for rule in role["rules"] for part in rule.values() for entry in part
        ]


def test_the_api_server_knows_the_hub_by_the_same_table(base: Prepared) -> None:
    review = base.hub.create(
        "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews",
        {"spec": {"namespace": base.namespace}},
    ).body["status"]
    assert not review["incomplete"]
    granted = {
        (group, resource, verb)
        for rule in review["resourceRules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
        if (group, resource) not in EVERYBODYS
    }
    assert granted == expected()


def call(caller: Caller, verb: str, collection: str) -> Answer:
    """Do *verb* on *collection* in the cheapest form that passes through authorization."""
    single = collection if "/absent" in collection else f"{collection}/absent"
    match verb:
        case "get":
            return caller.get(single)
        case "list":
            return caller.get(collection, limit="1")
        case "watch":
            return caller.get(collection, watch="1", timeoutSeconds="1")
        case "create":
            return caller.create(collection, {}, dryRun="All")
        case "update":
            return caller.update(single, {"metadata": {"name": "absent"}}, dryRun="All")
        case "patch":
            return caller.patch(single, {}, dryRun="All")
        case "delete":
            return caller.delete(single, dryRun="All")
        case _:
            raise AssertionError(verb)


@pytest.mark.parametrize("permission", ALL, ids=lambda each: each.resource)
def test_the_hub_may_do_what_it_needs(base: Prepared, permission: Permission) -> None:
    for verb in sorted(permission.verbs):
        answer = call(base.hub, verb, permission.path(base.namespace))
        assert answer.status != HTTPStatus.FORBIDDEN, (verb, answer.message)


def test_the_hub_can_carry_a_workspace_through_its_life(own_base: Prepared) -> None:
    hub, core = own_base.hub, own_base.path
    claims = f"/apis/resource.k8s.io/v1/namespaces/{own_base.namespace}"
    share: dict[str, Any] = {"name": "gpu", "exactly": {"deviceClassName": "gpu.devcluster.test"}}
    template = {
        "metadata": {"name": "h100-25"},
        "spec": {"spec": {"devices": {"requests": [share]}}},
    }
    volume = {
        "metadata": {"name": "home-alice"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }
    assert_admitted(hub.create(f"{claims}/resourceclaimtemplates", template))
    assert_admitted(hub.create(f"{core}/persistentvolumeclaims", volume))
    larger = {"spec": {"resources": {"requests": {"storage": "20Gi"}}}}
    answer = hub.patch(f"{core}/persistentvolumeclaims/home-alice", larger)
    # Kubernetes' word on a volume that is not made yet, not a lack of permission.
    assert answer.status == HTTPStatus.OK or "bound" in answer.message, answer
    assert_admitted(hub.create(own_base.pods, a_gpu_workspace()))
    pod = f"{own_base.pods}/jupyter-alice"
    assert_admitted(hub.get(pod))
    assert_admitted(hub.patch(pod, {"metadata": {"labels": {"eugo.dev/queue": "batch"}}}))
    assert_admitted(hub.delete(pod, gracePeriodSeconds="0"))
    assert_admitted(hub.delete(f"{core}/persistentvolumeclaims/home-alice"))
    assert_admitted(hub.delete(f"{claims}/resourceclaimtemplates/h100-25"))


def forbidden(verb: str, path: str, *, named: str) -> Any:
    return pytest.param(verb, path, id=named)


NAMESPACE = "/api/v1/namespaces/{namespace}"
CLAIMS = "/apis/resource.k8s.io/v1/namespaces/{namespace}"
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        # Secrets and whatever leads to them
        forbidden("get", NAMESPACE + "/secrets", named="read a secret"),
        forbidden("list", NAMESPACE + "/secrets", named="list the secrets"),
        forbidden("create", NAMESPACE + "/secrets", named="create a secret"),
        forbidden("create", NAMESPACE + "/serviceaccounts/absent/token", named="mint a token"),
        forbidden("create", NAMESPACE + "/serviceaccounts", named="create an account"),
        forbidden("list", "/api/v1/secrets", named="list the secrets of the cluster"),
        # The rules that bind the hub
        forbidden("get", NAMESPACE + "/configmaps", named="read the list of images"),
        forbidden("create", NAMESPACE + "/configmaps", named="write a list of images"),
        forbidden("patch", NAMESPACE + "/configmaps", named="change the list of images"),
        forbidden("delete", NAMESPACE + "/configmaps", named="delete the list of images"),
        forbidden("patch", "/api/v1/namespaces", named="change the namespace's labels"),
        forbidden("create", RBAC + "/namespaces/{namespace}/roles", named="create a role"),
        forbidden("patch", RBAC + "/namespaces/{namespace}/roles", named="widen its role"),
        forbidden(
            "create", RBAC + "/namespaces/{namespace}/rolebindings", named="bind itself to a role"
        ),
        forbidden("create", RBAC + "/clusterrolebindings", named="bind itself to cluster-admin"),
        forbidden("delete", ADMISSION + "/validatingadmissionpolicies", named="delete a policy"),
        forbidden(
            "delete", ADMISSION + "/validatingadmissionpolicybindings", named="unbind a policy"
        ),
        forbidden("list", ADMISSION + "/validatingadmissionpolicies", named="read the policies"),
        # Into running Pods, or past the scheduler
        forbidden("create", NAMESPACE + "/pods/absent/exec", named="run a command in a Pod"),
        forbidden("get", NAMESPACE + "/pods/absent/exec", named="run a command by websocket"),
        forbidden("create", NAMESPACE + "/pods/absent/attach", named="attach to a Pod"),
        forbidden("create", NAMESPACE + "/pods/absent/portforward", named="forward a port"),
        forbidden("get", NAMESPACE + "/pods/absent/proxy", named="call a Pod through the API"),
        forbidden("get", NAMESPACE + "/pods/absent/log", named="read what a Pod printed"),
        forbidden("patch", NAMESPACE + "/pods/absent/ephemeralcontainers", named="add a container"),
        forbidden("patch", NAMESPACE + "/pods/absent/resize", named="resize a Pod in place"),
        forbidden("patch", NAMESPACE + "/pods/absent/status", named="forge a Pod's status"),
        forbidden("create", NAMESPACE + "/pods/absent/binding", named="bind a Pod to a Node"),
        forbidden("create", NAMESPACE + "/pods/absent/eviction", named="evict a Pod"),
        forbidden("create", NAMESPACE + "/bindings", named="bind Pods to Nodes"),
        # Claims: made by Kubernetes, allocated by the scheduler
        forbidden("create", CLAIMS + "/resourceclaims", named="create a claim"),
        forbidden("delete", CLAIMS + "/resourceclaims", named="delete a claim"),
        forbidden("patch", CLAIMS + "/resourceclaims", named="change a claim"),
        forbidden("patch", CLAIMS + "/resourceclaims/absent/status", named="forge an allocation"),
        forbidden("patch", CLAIMS + "/resourceclaimtemplates", named="change a template"),
        forbidden("create", "/apis/resource.k8s.io/v1/resourceslices", named="publish a device"),
        forbidden("delete", "/apis/resource.k8s.io/v1/deviceclasses", named="delete a class"),
        # Other objects of the namespace
        forbidden(
            "patch",
            NAMESPACE + "/persistentvolumeclaims/absent/status",
            named="forge what a volume has",
        ),
        forbidden("update", NAMESPACE + "/persistentvolumeclaims", named="replace a volume claim"),
        forbidden("create", NAMESPACE + "/services", named="create a service"),
        forbidden(
            "delete",
            "/apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies",
            named="open a workspace to others",
        ),
        forbidden("create", NAMESPACE + "/events", named="forge an event"),
        forbidden("create", "/apis/apps/v1/namespaces/{namespace}/deployments", named="deploy"),
        forbidden("create", "/apis/batch/v1/namespaces/{namespace}/jobs", named="create a job"),
        forbidden("create", NAMESPACE + "/limitranges", named="set a limit range"),
        forbidden("list", NAMESPACE + "/resourcequotas", named="read the resource quotas"),
        # Other namespaces, and the cluster
        forbidden("list", "/api/v1/namespaces/default/pods", named="list Pods elsewhere"),
        forbidden("create", "/api/v1/namespaces/default/pods", named="create a Pod elsewhere"),
        forbidden("delete", "/api/v1/namespaces/kube-system/pods", named="delete a system Pod"),
        forbidden("list", "/api/v1/pods", named="list all Pods of the cluster"),
        forbidden("list", "/api/v1/namespaces", named="list the namespaces"),
        forbidden("create", "/api/v1/namespaces", named="create a namespace"),
        forbidden("patch", "/api/v1/nodes", named="change a Node"),
        forbidden("delete", "/api/v1/nodes", named="delete a Node"),
        forbidden("get", "/api/v1/nodes/absent/proxy", named="talk to a kubelet"),
        forbidden("patch", "/api/v1/nodes/absent/status", named="forge a Node's status"),
        forbidden("list", "/api/v1/persistentvolumes", named="list the volumes of the cluster"),
        forbidden(
            "create", "/apis/scheduling.k8s.io/v1/priorityclasses", named="create a priority class"
        ),
        forbidden(
            "create", "/apis/storage.k8s.io/v1/storageclasses", named="create a storage class"
        ),
        forbidden(
            "create",
            "/apis/certificates.k8s.io/v1/certificatesigningrequests",
            named="ask for a certificate",
        ),
        forbidden(
            "create", "/apis/authentication.k8s.io/v1/tokenreviews", named="check others' tokens"
        ),
    ],
)
def test_the_hub_may_not(base: Prepared, verb: str, path: str) -> None:
    answer = call(base.hub, verb, path.format(namespace=base.namespace))
    assert answer.status == HTTPStatus.FORBIDDEN, answer
    # Refused by authorization, not by a policy that happened to catch the request.
    assert f'User "system:serviceaccount:{base.namespace}:hub" cannot' in answer.message


def test_the_hub_has_no_power_in_the_namespace_of_another_hub(
    base: Prepared, own_base: Prepared
) -> None:
    assert own_base.hub.get(base.pods).status == HTTPStatus.FORBIDDEN
    assert base.hub.get(own_base.pods).status == HTTPStatus.FORBIDDEN


def test_a_workspace_account_may_do_nothing(base: Prepared) -> None:
    token = base.admin.create(
        f"{base.path}/serviceaccounts/workspace/token", {"spec": {"expirationSeconds": 600}}
    ).body["status"]["token"]
    workspace = base.admin.with_token(token)
    for permission in ALL:
        answer = call(workspace, min(permission.verbs), permission.path(base.namespace))
        assert answer.status == HTTPStatus.FORBIDDEN
    workspace.close()


def test_no_token_no_answer(base: Prepared) -> None:
    nobody = base.admin.with_token("not-a-token")
    assert nobody.get(base.pods).status == HTTPStatus.UNAUTHORIZED
    nobody.close()
