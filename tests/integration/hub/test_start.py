"""From a request to JupyterLab on a share of a GPU, on real Kubernetes (F1, F40, F42, F43, F51 to F56)."""

import asyncio
import json

import pytest

from eugospawner.manifests.names import volume_claim_name
from eugospawner.policy.lifecycle import Ending, State
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.volumes import Volume
from hub_services.common.clock import SystemClock
from tests.integration.hub.test_entitlements import asked

pytestmark = pytest.mark.cluster


def test_a_quarter_of_an_h100_is_what_pod_claim_and_process_show(hub, user):
    hub.start(user, profile="nb-gpu-h100", sm_percent=25)
    hub.until_ready(user)
    (pod,) = hub.objects("pods", user)
    labels = pod["metadata"]["labels"]
    assert {key: labels[f"eugo.dev/{key}"] for key in ("gpu-model", "gpu-count", "sm-percent")} == {
        "gpu-model": "H100",
        "gpu-count": "1",
        "sm-percent": "25",
    }
    assert labels["eugo.dev/effective-gpus"] == "0.25"
    assert labels["eugo.dev/profile"] == "nb-gpu-h100"
    assert labels["eugo.dev/queue"] == "default"
    assert pod["spec"]["schedulerName"] == "default-scheduler"
    assert pod["spec"]["priorityClassName"] == "eugo-default"
    assert pod["spec"]["resourceClaims"][0]["name"] == "gpu"
    resources = pod["spec"]["containers"][0]["resources"]
    assert resources["claims"] == [{"name": "gpu"}]
    assert resources["limits"] == {"cpu": "8", "memory": "64Gi"} or resources["limits"] == {
        "cpu": "8",
        "memory": str(64 * 2**30),
    }
    (claim,) = hub.objects("resourceclaims", user)
    (device,) = claim["status"]["allocation"]["devices"]["results"]
    assert device["consumedCapacity"]["cores"] == "25"
    assert device["consumedCapacity"]["memory"] == "20Gi"
    environment = hub.run_inside(user, "env")
    assert "NVIDIA_VISIBLE_DEVICES=GPU-" in environment
    assert "CUDA_DEVICE_SM_LIMIT_0=25" in environment


@pytest.mark.usefixtures("free_gpus")
def test_four_quarters_share_one_gpu_and_a_fifth_takes_the_next(hub):
    users = [hub.new_user() for _ in range(5)]
    try:
        for name in users:
            hub.start_light(name, profile="nb-gpu-l40s", sm_percent=25)
        for name in users:
            hub.until_ready(name)
        devices = [
            hub.objects("resourceclaims", name)[0]["status"]["allocation"]["devices"]["results"][0][
                "device"
            ]
            for name in users
        ]
        assert sorted(devices.count(device) for device in set(devices)) == [1, 4]
    finally:
        for name in users:
            hub.stop(name)
    for name in users:
        hub.until(
            lambda name=name: not hub.objects("pods,resourceclaims", name), "something is left"
        )


def test_the_workspace_is_not_root_and_holds_no_token(hub, user):
    hub.start(user, profile="nb-cpu-2")
    hub.until_ready(user)
    assert hub.run_inside(user, "sh", "-c", "ls /var/run/secrets 2>&1 || true").count("token") == 0
    status = hub.run_inside(user, "cat", "/proc/self/status")
    assert "NoNewPrivs:\t1" in status
    assert "CapBnd:\t0000000000000000" in status
    assert "CapEff:\t0000000000000000" in status


def test_a_file_is_still_there_after_stop_and_start_and_nothing_else_is_left(hub, user):
    hub.start(user, profile="nb-cpu-2", volumes=[{"claim": "data", "mount_path": "/data"}])
    hub.until_ready(user)
    hub.run_inside(
        user, "sh", "-c", "echo kept > /home/user/a; echo too > /data/b; echo no > /tmp/eugo-c"
    )
    hub.stop(user)
    hub.until(lambda: not hub.objects("pods,resourceclaims", user), "something is left")
    hub.start(user, profile="nb-cpu-2", volumes=[{"claim": "data", "mount_path": "/data"}])
    hub.until_ready(user)
    assert hub.run_inside(user, "cat", "/home/user/a", "/data/b").split() == ["kept", "too"]
    assert "No such" in hub.run_inside(user, "sh", "-c", "cat /tmp/eugo-c 2>&1 || true")


def test_a_projects_volume_is_shared_by_its_members_and_by_nobody_else(hub):
    """F44; its claim is made at the first mount if it is not there."""
    volume = Volume(
        key="shared", claim_name=volume_claim_name("project/vision", "shared"), size_bytes=1 << 30
    )

    async def make(store):
        vision = [Subject(SubjectKind.PROJECT, "vision")]
        await store.volumes.add("project/vision", volume, payers=vision, at=SystemClock().now())

    async def recorded(store):
        found = await store.workspaces.get("bob", "of-vision")
        return found.options["volumes"]

    def inside(name, command):
        (pod,) = [
            each
            for each in hub.objects("pods", name)
            if each["metadata"]["labels"]["eugo.dev/workspace"] == "of-vision"
        ]
        where = ("-n", "eugo", pod["metadata"]["name"], "-c", "notebook")
        return hub.kubectl("exec", *where, "--", "sh", "-c", command).stdout

    asyncio.run(asked(hub, make))
    mounts = [{"claim": "shared@vision", "mount_path": "/data"}]
    words = {"profile": "nb-cpu-2", "project": "vision"}
    try:
        for name, claim in (("alice", "shared@vision"), ("bob", "shared")):
            asked_for = [{"claim": claim, "mount_path": "/data"}]
            answer = hub.start_light(name, "of-vision", volumes=asked_for, **words)
            assert answer.status in {201, 202}, answer
        for name in ("alice", "bob"):
            hub.until_ready(name, "of-vision")
        inside("alice", "echo ours > /data/note")
        assert "ours" in inside("bob", "cat /data/note")
        refused = hub.start_light("carol", "of-vision", profile="nb-cpu-2", volumes=mounts)
        assert (refused.status, refused.message.split()[-1]) == (403, "[volume-unknown]")
        listed = hub.kubectl(
            "get", "pvc", "-n", "eugo", "-l", "eugo.dev/volume=shared", "-o", "json"
        )
        claims = {each["metadata"]["name"]: each for each in json.loads(listed.stdout)["items"]}
        labels = claims[volume.claim_name]["metadata"]["labels"]
        assert labels["eugo.dev/project"] == "vision"
        assert "eugo.dev/user" not in labels
        assert asyncio.run(asked(hub, recorded)) == mounts  # in full
    finally:
        for name in ("alice", "bob"):
            hub.stop(name, "of-vision")


@pytest.fixture
def single(hub, user):
    """Give somebody whose home one Node at a time can attach."""
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {
            "name": f"home-{user}",
            "namespace": "eugo",
            "labels": {"component": "singleuser-storage", "app": "jupyterhub"},
            "annotations": {"hub.jupyter.org/username": user},
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "10Gi"}},
        },
    }
    hub.kubectl("apply", "-f", "-", stdin=json.dumps(claim))
    return user


def test_a_home_on_one_node_is_said_before_the_start_and_binds_it_there(hub, single):
    """F44: what would wait for ever in Kubernetes is refused in words."""

    def pod(server):
        (found,) = [
            each
            for each in hub.objects("pods", single)
            if each["metadata"]["labels"]["eugo.dev/workspace"] == server
        ]
        return found

    hub.start_light(single, "first", profile="nb-cpu-2")
    hub.until_ready(single, "first")
    hub.start_light(single, "second", profile="nb-gpu-h100", sm_percent=10)
    hub.until_ready(single, "second")
    required = pod("second")["spec"]["affinity"]["nodeAffinity"][
        "requiredDuringSchedulingIgnoredDuringExecution"
    ]
    here = {"key": "metadata.name", "operator": "In", "values": [pod("first")["spec"]["nodeName"]]}
    assert required == {"nodeSelectorTerms": [{"matchFields": [here]}]}
    copy = pod("first")
    for server in ("first", "second"):
        hub.stop(single, server)
    hub.until(lambda: not hub.objects("pods", single), "a Pod is left")

    # The same on a Node without a GPU, which this cluster does not have.
    copy["metadata"] = {name: copy["metadata"][name] for name in ("name", "labels", "annotations")}
    copy["metadata"] |= {"namespace": "eugo", "name": f"elsewhere-{single}"}
    del copy["spec"]["nodeName"]
    copy["spec"]["nodeSelector"] = {"eugo.dev/tests": "nowhere"}
    binding = {
        "apiVersion": "v1", "kind": "Binding", "metadata": {"name": f"elsewhere-{single}"},
        "target": {"apiVersion": "v1", "kind": "Node", "name": "elsewhere"},
    }  # fmt: skip
    del copy["status"]
    copy |= {"apiVersion": "v1", "kind": "Pod"}
    hub.kubectl("create", "-f", "-", stdin=json.dumps(copy))
    address = f"/api/v1/namespaces/eugo/pods/elsewhere-{single}/binding"
    hub.kubectl("create", "--raw", address, "-f", "-", stdin=json.dumps(binding))
    try:
        hub.until(
            lambda: hub.start_light(single, "third", profile="nb-gpu-h100").status == 409, "x"
        )
        answer = hub.start_light(single, "third", profile="nb-gpu-h100", sm_percent=10)
        assert answer.status == 409, answer
        assert "Your home is in use by “first”, on a Node without such GPUs" in answer.message
        assert answer.message.endswith("[volume-attached]")
    finally:
        hub.kubectl(
            "delete", "pod", "-n", "eugo", f"elsewhere-{single}", "--grace-period=0", "--force"
        )
    hub.until(lambda: not hub.objects("pods", single), "a Pod is left")


@pytest.mark.nightly
def test_whatever_stops_a_workspace_its_files_are_there(hub, user):
    """F31: idle, quota, the window's close and a suspension, by the services that do it."""
    stops = {
        "idle": (Ending.IDLE, State.STOPPING),
        "quota": (Ending.QUOTA, State.STOPPING),
        "window": (Ending.WINDOW, State.STOPPING),
        "suspended": (Ending.SUSPENSION, State.SUSPENDING),
    }
    for name in stops:
        mounts = [{"claim": name, "mount_path": "/data"}]
        hub.start_light(user, name, profile="nb-cpu-2", volumes=mounts)
    for name in stops:
        hub.until_ready(user, name)
        (pod,) = [
            each
            for each in hub.objects("pods", user)
            if each["metadata"]["labels"]["eugo.dev/workspace"] == name
        ]
        hub.kubectl(
            "exec", "-n", "eugo", pod["metadata"]["name"], "-c", "notebook", "--", "sh", "-c",
            f"echo {name} > /data/kept; echo {name} > /home/user/{name}",
        )  # fmt: skip
    before = {each["metadata"]["uid"] for each in hub.objects("pvc", user)}
    assert len(before) == 5

    async def end(store):
        for session in await store.sessions.open_sessions():
            if session.owner == user:
                reason, state = stops[session.workspace]
                at = SystemClock().now()
                await store.sessions.ask_to_stop(
                    session.id, reason=reason, actor="a-service", at=at, to=state
                )

    async def states(store):
        return {each.server: each.state for each in await store.workspaces.of_owner(user)}

    asyncio.run(asked(hub, end))
    gone = {State.STOPPED, State.SUSPENDED}
    hub.until(lambda: set(asyncio.run(asked(hub, states)).values()) <= gone, "one still runs")
    hub.until(lambda: not hub.objects("pods", user), "a Pod is left")
    assert {each["metadata"]["uid"] for each in hub.objects("pvc", user)} == before
    mounts = [{"claim": name, "mount_path": f"/{name}"} for name in stops]
    hub.start_light(user, profile="nb-cpu-2", volumes=mounts)
    hub.until_ready(user)
    said = hub.run_inside(user, "sh", "-c", "cat /*/kept; ls /home/user")
    assert sorted(said.split()) == sorted([*stops, *stops])


def test_cpu_and_memory_can_be_chosen(hub, user):
    hub.start_light(user, profile="nb-cpu-2", cpu="500m", memory="1Gi")
    hub.until_ready(user)
    (pod,) = hub.objects("pods", user)
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    assert limits["cpu"] == "500m"
    assert limits["memory"] in {"1Gi", str(2**30)}


def test_a_named_workspace_has_a_display_name_and_a_pod_of_its_own(hub, user):
    body = {"display_name": "My <b>first</b>", "user_options": {"profile": "nb-cpu-2"}}
    hub.ask("POST", f"/users/{user}/servers/first", body)
    hub.until_ready(user, "first")
    assert hub.server(user, "first")["display_name"] == "My <b>first</b>"
    (pod,) = hub.objects("pods", user)
    assert pod["metadata"]["labels"]["eugo.dev/workspace"] == "first"
    hub.ask("DELETE", f"/users/{user}/servers/first", {"remove": True})


REFUSED = {
    "unknown word": ({"color": "red"}, 400, "unknown-option"),
    "true for a count": ({"gpu_count": True}, 400, "malformed"),
    "text for a percent": ({"sm_percent": "25"}, 400, "malformed"),
    "no such profile": ({"profile": "nb-gpu-h200"}, 400, "profile-unknown"),
    "0 percent": ({"profile": "nb-gpu-h100", "sm_percent": 0}, 400, "sm-percent-out-of-bounds"),
    "101 percent": ({"profile": "nb-gpu-h100", "sm_percent": 101}, 400, "sm-percent-out-of-bounds"),
    "half a T4": ({"profile": "gpu-t4-1x", "sm_percent": 50}, 400, "sm-percent-not-divisible"),
    "too many": ({"profile": "nb-gpu-h100", "gpu_count": 5}, 400, "gpu-count-out-of-bounds"),
    # Eight more stand on Nodes whose taint no workspace tolerates.
    "three of two": ({"profile": "nb-gpu-h100", "gpu_count": 3}, 409, "gpu-count-absent"),
    "a model and no count": (
        {"profile": "nb-cpu-2", "gpu_model": "H100", "sm_percent": 25}, 400, "gpu-count-missing",
    ),
    "other image": ({"image": "registry.example/other:1"}, 403, "image-not-allowed"),
    "root": ({"root_shell": True}, 403, "root-not-allowed"),
    "other project": ({"project": "vision"}, 403, "project-unknown"),
    "other queue": ({"queue": "research-high"}, 403, "queue-unknown"),
    "system folder": (
        {"volumes": [{"claim": "a", "mount_path": "/etc"}]}, 400, "mount-path-unsafe",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("words", "status", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_refusal_is_an_answer_with_its_reason_and_leaves_nothing(hub, words, status, reason):
    user = hub.new_user()
    answer = hub.start(user, "first", **words)
    assert answer.status == status
    assert answer.message.endswith(f"[{reason}]")
    assert hub.server(user, "first") == {}, "a refused start leaves no server row"
    assert hub.objects("pods,pvc,resourceclaims", user) == []


def test_twenty_refusals_in_a_row_leave_the_hub_alive(hub, user):
    before = hub.demo.ask("/info")
    for _ in range(20):
        assert hub.start(user, profile="nope").status == 400
    assert hub.demo.ask("/info") == before
    hub.start_light(user, profile="nb-cpu-2")
    hub.until_ready(user)


ALLOWLIST = ("configmap", "eugo-images", "-n", "eugo")


def allow(hub, images: dict[str, str]) -> None:
    """Replace the cluster's own list of images."""
    hub.kubectl("patch", *ALLOWLIST, "--type=merge", "-p", json.dumps({"data": images}))


def test_an_image_that_the_catalog_allows_and_nobody_has_fails_with_its_cause(hub, user):
    """The allowlist of the cluster says no: the answer is Kubernetes' own sentence."""
    before = json.loads(hub.kubectl("get", *ALLOWLIST, "-o", "json").stdout)["data"]
    allow(hub, {"images": "registry.example/nothing:1"})
    try:
        hub.until(
            lambda: hub.start(user, profile="nb-cpu-2").message.endswith("[cluster-refused]"),
            "the policy does not refuse",
        )
        answer = hub.start(user, profile="nb-cpu-2")
        assert "base-notebook" in answer.message
        assert hub.objects("pods", user) == []
    finally:
        allow(hub, before)
    hub.until(lambda: hub.start(user, profile="nb-cpu-2").status in {201, 202}, "still refused")


def test_the_store_remembers_every_session_with_its_end(hub):
    user = hub.new_user()
    hub.start_light(user, profile="nb-gpu-l4", sm_percent=50)
    hub.until_ready(user)
    hub.stop(user)
    assert hub.sessions(user)[0] == (50, "admin")
