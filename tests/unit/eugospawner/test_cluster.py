"""Objects beside the Pod: made once, found again, never somebody else's, whatever the API does."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from kubernetes_asyncio import client
from kubernetes_asyncio.client import ApiException

from eugospawner import cluster
from eugospawner.cluster import send_as_it_stands, settle_route
from eugospawner.manifests import claims, labels
from eugospawner.policy.errors import ClusterError
from tests.factories import some_gpus


@pytest.mark.parametrize(
    ("variable", "looks"), [("", False), ("HTTPS_PROXY", True), ("https_proxy", True)]
)
async def test_proxies_and_netrc_are_looked_for_at_each_request_only_where_there_are_any(
    monkeypatch, variable, looks
):
    for name in ("HTTPS_PROXY", "HTTP_PROXY", "https_proxy", "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, "http://proxy.example:3128")
    async with client.ApiClient() as api:
        connector = api.rest_client.pool_manager.connector
        settle_route(api)
        session = api.rest_client.pool_manager
        assert session.trust_env is looks
        assert session.connector is connector
        assert not session.closed
    assert connector.closed


async def test_json_is_sent_as_it_stands_and_models_as_the_client_makes_them():
    async with client.ApiClient() as api:
        sent = []

        async def request(_method, _url, *, body=None, **_keywords):
            sent.append(body)
            return SimpleNamespace(status=200, read=read, release=lambda: None)

        async def read():
            return b"{}"

        api.request = request
        send_as_it_stands(api)
        core, pod = client.CoreV1Api(api), {"metadata": {"name": "a", "labels": {"b": "c"}}}
        await cluster.call("try", core.create_namespaced_pod, "eugo", pod)
        assert sent == [pod]
        assert sent[0]["metadata"] is pod["metadata"]
        model = client.V1Pod(metadata=client.V1ObjectMeta(name="a"))
        assert api.sanitize_for_serialization(model) == {"metadata": {"name": "a"}}


class FakeApi:
    """An API server that holds objects by kind and name, with faults switched on by name."""

    def __init__(self) -> None:
        self.api_client = client.ApiClient.__new__(client.ApiClient)
        self.api_client.configuration = client.Configuration()
        self.held: dict[tuple[str, str], Any] = {}
        self.calls: list[str] = []
        self.faults: list[BaseException] = []
        #: What it says the time is; empty: nothing.
        self.date = ""
        #: The object is stored and the answer is lost.
        self.loses_answers = 0
        #: The feature gate is off: capacity is dropped in silence.
        self.drops_capacity = False

    def __getattr__(self, name: str) -> Any:
        verb, kind = name.split("_namespaced_")

        async def call(*arguments: Any, **keywords: Any) -> Any:
            self.calls.append(f"{verb} {kind}")
            assert keywords.pop("_preload_content") is False
            assert keywords.pop("_request_timeout") > 0
            try:
                if self.faults:
                    raise self.faults.pop(0)
                answer = getattr(self, f"_{verb}")(kind, *arguments, **keywords)
            except ApiException as refusal:
                return a_response(refusal.status, refusal.reason, refusal.body)
            return a_response(200, "OK", json.dumps(answer), date=self.date)

        return call

    def _create(self, kind: str, _namespace: str, body: Any) -> Any:
        key = (kind, body["metadata"]["name"])
        if key in self.held:
            raise api_error(409, "AlreadyExists", f"{key[1]} already exists")
        stored = json.loads(json.dumps(body))
        stored["metadata"].setdefault("uid", f"uid-{len(self.calls)}")
        if self.drops_capacity:
            for request in stored["spec"]["spec"]["devices"]["requests"]:
                request["exactly"].pop("capacity", None)
        self.held[key] = stored
        if self.loses_answers:
            self.loses_answers -= 1
            raise TimeoutError
        return stored

    def _read(self, kind: str, name: str, _namespace: str) -> Any:
        if (kind, name) not in self.held:
            raise api_error(404, "NotFound", f"{name} not found")
        return self.held[kind, name]

    def _delete(self, kind: str, name: str, _namespace: str, *, body: Any) -> None:
        found = self._read(kind, name, _namespace)
        uid = (body.get("preconditions") or {}).get("uid")
        if uid is not None and uid != found["metadata"]["uid"]:
            raise api_error(409, "Conflict", "the uid differs")
        del self.held[kind, name]


def a_response(status: int, reason: str, body: str, *, date: str = "") -> Any:
    """An answer as aiohttp gives it; the client raises nothing for one that is not preloaded."""

    async def read() -> bytes:
        return body.encode()

    headers = {"Date": date} if date else {}
    return SimpleNamespace(
        status=status, reason=reason, read=read, release=lambda: None, headers=headers
    )


def api_error(status: int, reason: str, message: str) -> ApiException:
    error = ApiException(status=status, reason=reason)
    error.body = json.dumps({"kind": "Status", "reason": reason, "message": message})
    return error


def a_volume_claim(owner: str = "alice") -> dict[str, Any]:
    return {"metadata": {"name": "volume-1", "annotations": {labels.USER: owner}}, "spec": {}}


def a_workspace_pod(session: str = "s1") -> dict[str, Any]:
    return {"metadata": {"name": "jupyter-alice", "labels": {labels.SESSION: session}}, "spec": {}}


@pytest.fixture
def api() -> FakeApi:
    return FakeApi()


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(cluster, "_FIRST_DELAY", 0)
    monkeypatch.setattr(cluster, "_LEFTOVER_SECONDS", 0)
    return iter(())


PASSING = [
    api_error(429, "TooManyRequests", "slow down"),
    api_error(500, "InternalError", "oops"),
    api_error(503, "ServiceUnavailable", "starting"),
    TimeoutError(),
    aiohttp.ClientConnectionError("reset"),
    ConnectionRefusedError(111, "refused"),
]


@pytest.mark.parametrize("fault", PASSING, ids=repr)
async def test_a_passing_fault_is_tried_again(api: FakeApi, fault: BaseException) -> None:
    api.faults = [fault] * 3
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=True)
    assert ("persistent_volume_claim", "volume-1") in api.held


@pytest.mark.parametrize("fault", PASSING, ids=repr)
async def test_a_fault_that_stays_is_an_error_in_words(api: FakeApi, fault: BaseException) -> None:
    api.faults = [fault] * 100
    with pytest.raises(ClusterError, match="Could not read the volume volume-1"):
        await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=True)


@pytest.mark.parametrize(("status", "reason"), [(403, "Forbidden"), (422, "Invalid")])
async def test_a_refusal_is_not_tried_again_and_keeps_the_clusters_sentence(
    api: FakeApi, status: int, reason: str
) -> None:
    api.faults = [api_error(status, reason, "exceeded quota: q")]
    with pytest.raises(ClusterError, match="exceeded quota: q") as caught:
        await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=False)
    assert (caught.value.status, caught.value.reason) == (status, reason)
    assert api.calls.count("create persistent_volume_claim") == 1


async def test_an_answer_that_is_no_status_object_is_still_told(api: FakeApi) -> None:
    error = ApiException(status=403, reason="Forbidden by the proxy")
    error.body = "<html>no</html>"
    api.faults = [error]
    with pytest.raises(ClusterError, match="Forbidden by the proxy"):
        await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=False)


@pytest.mark.parametrize("known", [True, False])
async def test_a_volume_that_is_there_is_used(api: FakeApi, known: bool) -> None:
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=False)
    assert api.calls == ["create persistent_volume_claim"]
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=known)
    assert len(api.held) == 1


async def test_a_volume_that_was_seen_before_and_is_gone_is_made_anew(api: FakeApi) -> None:
    """KubeSpawner 7.1 remembers and does not look: the Pod then waits for ever."""
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=True)
    assert len(api.held) == 1


async def test_a_full_quota_does_not_keep_from_a_volume_that_exists(api: FakeApi) -> None:
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=False)
    api.faults = [api_error(403, "Forbidden", "exceeded quota: q")]
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=False)


async def test_a_volume_whose_creation_was_not_answered_is_found(api: FakeApi) -> None:
    api.loses_answers = 1
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim(), known=False)
    assert len(api.held) == 1


async def test_a_volume_of_somebody_else_is_never_used(api: FakeApi) -> None:
    await cluster.ensure_volume_claim(api, "eugo", a_volume_claim("mallory"), known=False)
    for known in (True, False):
        with pytest.raises(ClusterError, match="belongs to somebody else"):
            await cluster.ensure_volume_claim(api, "eugo", a_volume_claim("alice"), known=known)


async def test_a_template_is_asked_for_once(api: FakeApi) -> None:
    templates, template = cluster.ClaimTemplates(), claims.make_claim_template(some_gpus(1, 25))
    await templates.ensure(api, "eugo", template)
    await templates.ensure(api, "eugo", template)
    assert api.calls == ["create resource_claim_template"]


async def test_a_template_that_another_hub_made_is_used(api: FakeApi) -> None:
    template = claims.make_claim_template(some_gpus(1, 25))
    await cluster.ClaimTemplates().ensure(api, "eugo", template)
    await cluster.ClaimTemplates().ensure(api, "eugo", template)
    assert api.calls[1:] == ["create resource_claim_template", "read resource_claim_template"]


async def test_a_template_that_is_said_to_be_gone_is_made_anew(api: FakeApi) -> None:
    templates, template = cluster.ClaimTemplates(), claims.make_claim_template(some_gpus(1, 25))
    await templates.ensure(api, "eugo", template)
    api.held.clear()
    templates.forget("eugo", template)
    await templates.ensure(api, "eugo", template)
    assert len(api.held) == 1


@pytest.mark.parametrize("made_before", [False, True], ids=["created", "found"])
async def test_an_api_server_that_drops_capacity_is_refused(
    api: FakeApi, made_before: bool
) -> None:
    api.drops_capacity = True
    template = claims.make_claim_template(some_gpus(1, 25))
    if made_before:
        api._create("resource_claim_template", "eugo", template)
    for _ in range(2):  # and it is not remembered as fine
        templates = cluster.ClaimTemplates()
        with pytest.raises(ClusterError, match="a share would become whole GPUs") as caught:
            await templates.ensure(api, "eugo", template)
        assert caught.value.reason == "DropsShares"


async def test_a_pod_whose_creation_was_not_answered_is_ours(api: FakeApi) -> None:
    api.loses_answers = 1
    created = await cluster.create_pod(api, "eugo", a_workspace_pod("s1"))
    assert created["metadata"]["labels"][labels.SESSION] == "s1"
    assert "delete pod" not in api.calls


async def test_a_leftover_of_another_session_is_deleted_by_its_uid_first(api: FakeApi) -> None:
    await cluster.create_pod(api, "eugo", a_workspace_pod("old"))
    created = await cluster.create_pod(api, "eugo", a_workspace_pod("new"))
    assert created["metadata"]["labels"][labels.SESSION] == "new"
    assert api.calls.count("delete pod") == 1


async def test_a_leftover_that_does_not_go_is_told(
    api: FakeApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    await cluster.create_pod(api, "eugo", a_workspace_pod("old"))
    monkeypatch.setattr(FakeApi, "_delete", lambda *_args, **_keywords: None)
    with pytest.raises(ClusterError, match="does not go away"):
        await cluster.create_pod(api, "eugo", a_workspace_pod("new"))


async def test_deleting_what_is_gone_is_fine(api: FakeApi) -> None:
    await cluster.delete_pod(api, "eugo", "nobody", grace_seconds=0)


async def test_a_new_pod_of_the_same_name_survives_a_deletion_by_uid(api: FakeApi) -> None:
    await cluster.create_pod(api, "eugo", a_workspace_pod())
    await cluster.delete_pod(api, "eugo", "jupyter-alice", grace_seconds=0, uid="another")
    assert ("pod", "jupyter-alice") in api.held


async def test_a_deletion_that_is_refused_is_an_error(api: FakeApi) -> None:
    api.faults = [api_error(403, "Forbidden", "no")]
    with pytest.raises(ClusterError, match="Could not stop the Pod p"):
        await cluster.delete_pod(api, "eugo", "p", grace_seconds=0)
