"""
Each verb of the hub's roles is needed: take one away, and the part of the product that uses it is refused.

One namespace as the base prepares it. For each verb the product's own code does its work as the hub, with the roles as
they are and with roles that lack this verb. A verb that could go without anybody being refused would fail here.
"""

from __future__ import annotations

import asyncio
import copy
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import pytest
from kubernetes_asyncio import client as kubernetes
from kubernetes_asyncio.client import ApiException

from eugospawner import cluster, reflector
from eugospawner.manifests import claims, labels, names
from eugospawner.policy.catalog import Engine
from eugospawner.policy.errors import ClusterError
from hub_services import prepare as preparing
from hub_services.common.lease import Lease
from hub_services.export.cluster import Claim
from hub_services.export.cluster import Cluster as Exports
from hub_services.reaper.cluster import Cluster as Reaper
from hub_services.reaper.observed import Shape, Template
from hub_services.workspaces.cluster import Cluster as Workspaces
from tests.factories import some_gpus
from tests.integration.base.overlay import reader_binding
from tests.integration.base.permissions import ALL, Permission
from tests.integration.base.pods import a_workspace, changed
from tests.integration.base.prepared import Prepared, prepare, remove, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from tests.integration.base.caller import Caller
    from tests.integration.base.prepared import Kubectl

pytestmark = pytest.mark.cluster

RBAC: Final = "/apis/rbac.authorization.k8s.io/v1"
NOW: Final = datetime(2026, 11, 27, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Hub:
    """The product's code as the hub of one namespace."""

    api: kubernetes.ApiClient
    namespace: str
    #: What the admin does so that there is something to do it with.
    prepared: Prepared

    @property
    def core(self) -> Any:
        return kubernetes.CoreV1Api(self.api)

    @property
    def resource(self) -> Any:
        return kubernetes.ResourceV1Api(self.api)

    def there(self, pod: dict[str, Any]) -> dict[str, Any]:
        """Return *pod*, which the admin has made."""
        answer = self.prepared.admin.create(self.prepared.pods, pod)
        assert answer.status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}, answer.message
        return pod


def a_pod() -> dict[str, Any]:
    """A Pod that nobody else has."""
    own = {labels.SESSION: uuid4().hex}
    return changed(a_workspace(f"jupyter-{uuid4().hex[:8]}"), {"metadata": {"labels": own}})


def a_volume(owner: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": names.volume_claim_name(owner, "data"),
            "labels": {labels.USER: owner, labels.VOLUME: "data"},
            "annotations": {labels.USER: owner},
        },
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }


async def create_pod(hub: Hub) -> None:
    await cluster.create_pod(hub.core, hub.namespace, a_pod())


async def find_own_pod_again(hub: Hub) -> None:
    """Its answer was lost, so it is there already."""
    await cluster.create_pod(hub.core, hub.namespace, hub.there(a_pod()))


async def list_pods(hub: Hub) -> None:
    await Reaper(hub.api, hub.namespace).pods()


async def move_to_another_queue(hub: Hub) -> None:
    pod = hub.there(a_pod())
    await cluster.label_pod(
        hub.core, hub.namespace, pod["metadata"]["name"], {labels.QUEUE: "default"}
    )


async def delete_pod(hub: Hub) -> None:
    pod = hub.there(a_pod())
    await cluster.delete_pod(hub.core, hub.namespace, pod["metadata"]["name"], grace_seconds=0)


def following(kind: type[reflector.Reflector], *, watch: bool) -> Callable[[Hub], Awaitable[None]]:
    """Return what lists, or follows, objects of *kind*."""

    async def follow(hub: Hub) -> None:
        made = kind(namespace=hub.namespace)
        if not watch:
            await made._list()
            return
        # Closed here and not by chance: its connection would be blamed on whichever test comes next.
        async with aclosing(made._watch("1")) as news:
            async for _ in news:
                break

    return follow


async def make_volume(hub: Hub) -> None:
    await cluster.ensure_volume_claim(
        hub.core, hub.namespace, a_volume(uuid4().hex[:8]), known=False
    )


async def look_for_volume(hub: Hub) -> None:
    await cluster.ensure_volume_claim(hub.core, hub.namespace, made_volume(hub), known=True)


def made_volume(hub: Hub, owner: str = "") -> dict[str, Any]:
    volume = a_volume(owner or f"owner-{uuid4().hex[:8]}")
    answer = hub.prepared.admin.create(f"{hub.prepared.path}/persistentvolumeclaims", volume)
    assert answer.status == HTTPStatus.CREATED, answer.message
    return volume | {"metadata": volume["metadata"] | {"uid": answer.body["metadata"]["uid"]}}


async def list_volumes(hub: Hub) -> None:
    await Reaper(hub.api, hub.namespace).volume_claims()


async def enlarge_volume(hub: Hub) -> None:
    meta = made_volume(hub)["metadata"]
    claim = Claim(
        owner="alice", key="data", name=meta["name"], uid=meta["uid"], size_bytes=2**30,
        capacity_bytes=0, storage_class="", modes=("ReadWriteOnce",), awaits_restart=False,
        is_going=False,
    )  # fmt: skip
    await Exports(hub.api, hub.namespace).enlarge(claim, 2**31)


async def destroy_volume(hub: Hub) -> None:
    owner = f"owner-{uuid4().hex[:8]}"
    made_volume(hub, owner)
    await Workspaces(hub.api, hub.namespace).destroy_volume(owner, "data")


async def make_template(hub: Hub) -> None:
    template = claims.make_claim_template(some_gpus(1, 25))
    await cluster.ClaimTemplates().ensure(hub.resource, hub.namespace, template)


async def read_template_back(hub: Hub) -> None:
    """Another hub has made it."""
    template = claims.make_claim_template(some_gpus(1, 30))
    path = f"/apis/resource.k8s.io/v1/namespaces/{hub.namespace}/resourceclaimtemplates"
    answer = hub.prepared.admin.create(path, template)
    assert answer.status in {HTTPStatus.CREATED, HTTPStatus.CONFLICT}, answer.message
    await cluster.ClaimTemplates().ensure(hub.resource, hub.namespace, template)


async def list_templates(hub: Hub) -> None:
    await Reaper(hub.api, hub.namespace).templates()


async def delete_template(hub: Hub) -> None:
    shape = Shape(gpu_model="H100", gpu_count="1", sm_percent="25")
    gone = Template(name="gpu-gone", uid="u", shape=shape, created_at=NOW)
    await Reaper(hub.api, hub.namespace).delete_template(gone)


async def list_claims(hub: Hub) -> None:
    await Reaper(hub.api, hub.namespace).gpu_claims()


def a_lease(hub: Hub) -> Lease:
    return Lease(hub.api, hub.namespace, f"l-{uuid4().hex}", identity="one", now=lambda: NOW)


async def take_lease(hub: Hub) -> None:
    assert await a_lease(hub).renew_once()


async def renew_lease(hub: Hub) -> None:
    lease = a_lease(hub)
    assert await lease.renew_once()
    assert await lease.renew_once()


async def look_before_it_begins(hub: Hub) -> None:
    await preparing.Kubernetes(hub.namespace).offer(Engine.SCHEDULER)


#: Who needs each verb: what is refused without it.
USES: Final[dict[tuple[str, str], Callable[[Hub], Awaitable[None]]]] = {
    ("pods", "get"): find_own_pod_again,
    ("pods", "list"): list_pods,
    ("pods", "watch"): following(reflector.PodReflector, watch=True),
    ("pods", "create"): create_pod,
    ("pods", "patch"): move_to_another_queue,
    ("pods", "delete"): delete_pod,
    ("events", "list"): following(reflector.EventReflector, watch=False),
    ("events", "watch"): following(reflector.EventReflector, watch=True),
    ("persistentvolumeclaims", "get"): look_for_volume,
    ("persistentvolumeclaims", "list"): list_volumes,
    ("persistentvolumeclaims", "create"): make_volume,
    ("persistentvolumeclaims", "patch"): enlarge_volume,
    ("persistentvolumeclaims", "delete"): destroy_volume,
    ("resourceclaimtemplates", "get"): read_template_back,
    ("resourceclaimtemplates", "list"): list_templates,
    ("resourceclaimtemplates", "create"): make_template,
    ("resourceclaimtemplates", "delete"): delete_template,
    ("resourceclaims", "list"): list_claims,
    ("resourceclaims", "watch"): following(reflector.ClaimReflector, watch=True),
    ("leases", "get"): take_lease,
    ("leases", "create"): take_lease,
    ("leases", "update"): renew_lease,
    ("deviceclasses", "list"): look_before_it_begins,
    ("resourceslices", "list"): following(reflector.SliceReflector, watch=False),
    ("resourceslices", "watch"): following(reflector.SliceReflector, watch=True),
    ("nodes", "list"): following(reflector.NodeReflector, watch=False),
    ("nodes", "watch"): following(reflector.NodeReflector, watch=True),
    ("priorityclasses", "list"): look_before_it_begins,
    ("storageclasses", "list"): look_before_it_begins,
}


def test_every_verb_of_the_table_is_tried() -> None:
    assert set(USES) == {(each.resource, verb) for each in ALL for verb in each.verbs}


class Roles:
    """The roles of one namespace's hub, from which a verb can be taken."""

    def __init__(self, prepared: Prepared) -> None:
        self._prepared = prepared
        admin, binding = prepared.admin, reader_binding(prepared.namespace)
        self._of_the_cluster = f"{RBAC}/clusterroles/{binding}"
        self._in_the_namespace = f"{RBAC}/namespaces/{prepared.namespace}/roles/eugo-hub"
        # The ClusterRole of the base is that of other namespaces, too, so this one gets a copy.
        rules = admin.get(f"{RBAC}/clusterroles/eugo-hub-reader").body["rules"]
        assert (
            admin.create(
                f"{RBAC}/clusterroles", {"metadata": {"name": binding}, "rules": rules}
            ).status
            == HTTPStatus.CREATED
        )
        bound = admin.get(f"{RBAC}/clusterrolebindings/{binding}").body
        admin.delete(f"{RBAC}/clusterrolebindings/{binding}")
        bound["metadata"] = {"name": binding}
        bound["roleRef"]["name"] = binding
        assert admin.create(f"{RBAC}/clusterrolebindings", bound).status == HTTPStatus.CREATED
        until(lambda: self.allows(ALL[-1], "list"), "the copy of the ClusterRole is not in force")

    def remove(self) -> None:
        self._prepared.admin.delete(self._of_the_cluster)

    def allows(self, permission: Permission, verb: str) -> bool:
        """Whether the API server lets the hub do this now."""
        attributes = {"group": permission.group, "resource": permission.resource, "verb": verb}
        if permission.namespaced:
            attributes["namespace"] = self._prepared.namespace
        review = self._prepared.hub.create(
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            {"spec": {"resourceAttributes": attributes}},
        )
        return bool(review.body["status"]["allowed"])

    def without(self, permission: Permission, verb: str) -> Callable[[], None]:
        """Take *verb* away; what is returned gives it back."""
        path = self._in_the_namespace if permission.namespaced else self._of_the_cluster
        whole = self._prepared.admin.get(path).body
        less = copy.deepcopy(whole)
        for rule in less["rules"]:
            if permission.resource in rule["resources"] and permission.group in rule["apiGroups"]:
                rule["verbs"].remove(verb)
        less["rules"] = [rule for rule in less["rules"] if rule["verbs"]]
        self._put(path, less)
        until(lambda: not self.allows(permission, verb), f"{verb} is still allowed")

        def give_back() -> None:
            self._put(path, whole)
            until(lambda: self.allows(permission, verb), f"{verb} is still refused")

        return give_back

    def _put(self, path: str, role: dict[str, Any]) -> None:
        body = {"metadata": {"name": role["metadata"]["name"]}, "rules": role["rules"]}
        answer = self._prepared.admin.update(path, body)
        assert answer.status == HTTPStatus.OK, answer.message


@pytest.fixture(scope="module")
def prepared(
    kubectl: Kubectl, admin: Caller, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("verbs")
    made = prepare(f"eugo-{uuid4().hex[:8]}", folder=folder, kubectl=kubectl, admin=admin)
    yield made
    remove(made)


@pytest.fixture(scope="module")
def roles(prepared: Prepared) -> Iterator[Roles]:
    made = Roles(prepared)
    yield made
    made.remove()


def connections() -> int:
    """Return how much the running loop listens to."""
    loop: Any = asyncio.get_running_loop()
    return len(loop._selector.get_map())


async def closed(before: int) -> None:
    """
    Return once the loop listens to no more than *before*.

    A watch that is cut off says goodbye to the server and waits for its answer; what is not closed when the loop ends
    would be blamed on whichever test comes next.
    """
    async with asyncio.timeout(30):
        while connections() > before:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


@pytest.fixture
async def hub(
    prepared: Prepared, roles: Roles, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Hub]:
    """The product's code with the hub's own token, wherever it looks for Kubernetes."""
    assert roles
    token = prepared.admin.create(f"{prepared.path}/serviceaccounts/hub/token", {}).body
    configuration = kubernetes.Configuration()
    configuration.host = prepared.hub.server
    configuration.ssl_ca_cert = prepared.hub.authority
    configuration.api_key = {"BearerToken": f"Bearer {token['status']['token']}"}

    open_before = connections()

    async def as_hub() -> kubernetes.Configuration:
        return configuration

    async with kubernetes.ApiClient(configuration) as api:
        groups = {name: getattr(kubernetes, name)(api) for name in ("CoreV1Api", "ResourceV1Api")}
        monkeypatch.setattr("kubespawner.reflector.shared_client", groups.__getitem__)
        monkeypatch.setattr(reflector, "_WATCH_SECONDS", 1)
        monkeypatch.setattr(preparing, "process", SimpleNamespace(kubernetes=as_hub))
        yield Hub(api, prepared.namespace, prepared)
    await closed(open_before)


async def refusal(use: Callable[[Hub], Awaitable[None]], hub: Hub) -> str:
    """Return how Kubernetes' permissions refuse *use*; empty: they do not."""
    try:
        await use(hub)
    except (ClusterError, ApiException) as error:
        said = str(error).replace("\\", "")
        return said if "is forbidden: User" in said or "cannot " in said else ""
    return ""


@pytest.mark.parametrize(
    ("permission", "verb"),
    [
        pytest.param(each, verb, id=f"{each.resource}-{verb}")
        for each in ALL
        for verb in sorted(each.verbs)
    ],
)
async def test_without_this_verb_the_product_is_refused(
    roles: Roles, hub: Hub, permission: Permission, verb: str
) -> None:
    use = USES[permission.resource, verb]
    assert await refusal(use, hub) == ""
    give_back = await asyncio.to_thread(roles.without, permission, verb)
    try:
        said = await refusal(use, hub)
    finally:
        await asyncio.to_thread(give_back)
    assert f'cannot {verb} resource "{permission.resource}"' in said
