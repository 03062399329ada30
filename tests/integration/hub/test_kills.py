"""
Kill -9 of any part of the cluster under a workspace that runs and one that starts (promise 6).

The demo of this module brings a cluster of its own, as people start it. What holds after each
kill: the workspace that ran is the same process and answers through the proxy, the start that was
under way has come up or can be asked for again, and after its stop nothing of it is left.
"""

import io
import json
import os
import signal
import time
import urllib.request
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from devcluster import components, supervisor
from devcluster.layout import ETCD_SOCKET, Layout
from scripts.local import processes
from tests.integration.demo import demos
from tests.integration.devcluster.clusters import kubectl_of
from tests.integration.hub.hub_process import hub_pid
from tests.integration.hub.hubs import Hub

pytestmark = pytest.mark.cluster

KEEPER_STARTED = "ps -o lstart= -p 1; cat /home/user/kept.txt"
#: What runs beside the containers; the end of their enclosure is another matter. Those that a
#: start talks to or runs under are killed in every run, the others at night: devcluster's own
#: tests kill all of them.
PARTS = (
    components.KUBELET,
    *(
        pytest.param(part, marks=pytest.mark.nightly)
        for part in (
            components.API_SERVER,
            components.RUNTIME,
            components.ETCD,
            components.CONTROLLER_MANAGER,
            components.SCHEDULER,
            components.GPU_DRIVER,
        )
    ),
)


@dataclass(frozen=True)
class Whole:
    """Hub and cluster, both killable, and somebody whose workspace runs all the time."""

    hub: Hub
    layout: Layout
    keeper: str

    def kill(self, part: str) -> None:
        """Kill a part with -9 and return once it is started again."""
        before = self.pid(part)
        assert before is not None
        os.kill(before, signal.SIGKILL)
        self.hub.until(lambda: self.pid(part) not in {None, before}, f"{part} stays away")

    def pid(self, part: str) -> int | None:
        try:
            return int(self.layout.pid(part).read_text())
        except (OSError, ValueError):
            return None

    def start(self, user: str, **words: object) -> None:
        """Ask for a workspace until the cluster can give it: devices come back last of all."""
        self.hub.until(
            lambda: self.hub.start(user, **words).status in {201, 202}, "every start is refused"
        )

    def life(self) -> str:
        """Return when the keeper's server began and what its file says; empty: nobody answers."""
        try:
            return self.hub.run_inside(self.keeper, "sh", "-c", KEEPER_STARTED)
        except AssertionError:  # a kubelet that has just begun knows no Pod
            return ""

    def answers(self) -> bool:
        """Tell whether the cluster can be asked."""
        try:
            self.hub.kubectl("get", "pods", "-n", "eugo")
        except AssertionError:
            return False
        return True


def whole_of(demo: demos.Demo, keeper: str) -> Whole:
    hub = Hub(demo, kubectl_of(Path(demo.ready["kubeconfig"])))
    return Whole(hub, Layout(root=demo.data / "cluster"), keeper)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    data = tmp_path_factory.mktemp("kills") / "demo"
    with demos.started(data=data, cwd=data.parent) as started:
        made = whole_of(started, "")
        keeper = made.hub.new_user()
        made.hub.start(keeper, profile="nb-gpu-h100", sm_percent=25)
        made.hub.until_ready(keeper)
        made.hub.run_inside(keeper, "sh", "-c", "echo work > /home/user/kept.txt")
        yield whole_of(started, keeper)


@pytest.mark.parametrize("part", PARTS)
def test_a_workspace_runs_on_and_a_start_under_way_comes_up_when_killed_is_the(whole, part):
    hub, keeper = whole.hub, whole.keeper
    (pod,) = hub.objects("pods", keeper)
    before = whole.life()
    assert before.endswith("work\n")
    starter = hub.new_user()
    with ThreadPoolExecutor(1) as pool:
        # The hub's answer would come when the workspace is ready, which is too late to kill.
        pool.submit(whole.start, starter, profile="nb-gpu-l4", sm_percent=50)
        hub.until(lambda: hub.objects("pods", starter), "no Pod")
        assert not hub.server(starter)["ready"]
        whole.kill(part)

    hub.until(whole.answers, "the cluster stays away")
    hub.until(
        lambda: (there := hub.server(starter)).get("ready") or not there.get("pending"),
        "the start neither comes up nor ends",
    )
    if not hub.server(starter).get("ready"):
        whole.start(starter, profile="nb-gpu-l4", sm_percent=50)
        hub.until_ready(starter)
    assert hub.opens(starter)
    assert hub.server(keeper)["ready"]
    hub.until(lambda: hub.opens(keeper), "the workspace that ran does not answer")
    (same,) = hub.objects("pods", keeper)
    assert same["metadata"]["uid"] == pod["metadata"]["uid"]
    hub.until(whole.life, "no command can be run in the workspace")
    assert whole.life() == before

    hub.until(lambda: hub.stop(starter).status == 204, "it does not stop")
    hub.until(lambda: not hub.objects("pods,resourceclaims", starter), "something is left")
    assert all(reason for _, reason in hub.sessions(starter)), "a session is left open"


def test_a_workspace_starts_anew_when_its_node_died_and_its_files_are_there(whole):
    hub, keeper = whole.hub, whole.keeper
    whole.kill(supervisor.ENCLOSURE)
    hub.until(lambda: hub.opens(keeper), "it does not come back")
    assert hub.server(keeper)["ready"]
    assert hub.run_inside(keeper, "cat", "/home/user/kept.txt") == "work\n"
    environment = hub.run_inside(keeper, "env")
    assert "CUDA_DEVICE_SM_LIMIT_0=25" in environment


def test_the_reaper_is_started_again(whole):
    def reaper() -> int | None:
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "cmdline").read_bytes()
                environment = (folder / "environ").read_bytes()
            except OSError:
                continue
            ours = str(whole.hub.demo.data / "store.sqlite").encode() in environment
            if ours and b"hub_services.reaper" in words:
                return int(folder.name)
        return None

    before = reaper()
    assert before is not None
    os.kill(before, signal.SIGKILL)
    whole.hub.until(lambda: reaper() not in {None, before}, "the reaper stays away")


def compact(whole, revision):
    """Have etcd forget what was before *revision* (etcd's rpc.proto, CompactionRequest)."""
    varint, rest = b"", revision
    while rest:
        rest, bits = rest >> 7, rest & 0x7F
        varint += bytes([bits | (0x80 if rest else 0)])
    with grpc.insecure_channel(f"unix:{whole.layout.root / ETCD_SOCKET}") as channel:
        ask = channel.unary_unary("/etcdserverpb.KV/Compact")
        ask(b"\x08" + varint + b"\x10\x01", timeout=30)  # revision; physical: return when done


@pytest.mark.nightly
def test_what_went_while_the_watch_was_cut_and_etcd_compacted_is_noticed(whole):
    """
    The hub's watch cannot go on where it was: a real 410, which no retry mends.

    The services list, so they have no place to lose; what they would do to others is looked at.
    """
    hub, keeper = whole.hub, whole.keeper
    life = whole.life()
    gone = hub.new_user()
    whole.start(gone, profile="nb-cpu-2")
    hub.until_ready(gone)
    pid = hub_pid(hub.demo)
    os.kill(pid, signal.SIGSTOP)
    try:
        hub.kubectl("delete", "pod", f"jupyter-{gone}", "-n", "eugo", "--wait", "--grace-period=1")
        for number in range(3):
            hub.kubectl("annotate", "pod", f"jupyter-{keeper}", "-n", "eugo", f"test={number}",
                        "--overwrite")  # fmt: skip
        listed = json.loads(hub.kubectl("get", "--raw", "/api/v1/namespaces/eugo/pods").stdout)
        compact(whole, int(listed["metadata"]["resourceVersion"]))
        whole.kill(components.API_SERVER)
        hub.until(whole.answers, "the cluster does not come back")
        # What the hub knows by heart is from before; nobody can tell what happened since.
        refused = hub.kubectl(
            "get",
            "--raw",
            "/api/v1/namespaces/eugo/pods?watch=1&resourceVersion=1&timeoutSeconds=1",
        ).stdout
        assert json.loads(refused.splitlines()[0])["object"]["code"] == 410
    finally:
        os.kill(pid, signal.SIGCONT)
    hub.until(lambda: not hub.server(gone).get("ready"), "it is still believed to run")
    hub.until(lambda: hub.sessions(gone)[0][1] is not None, "its session stays open")
    whole.start(gone, profile="nb-cpu-2")
    hub.until_ready(gone)
    hub.stop(gone)
    assert hub.server(keeper)["ready"]
    assert whole.life() == life


@pytest.mark.nightly
def test_after_kill_9_of_everything_the_next_start_finds_the_workspace_and_leaves_nothing(
    tmp_path,
):
    data = tmp_path / "demo"
    with demos.started(data=data, cwd=tmp_path) as first:
        hub = whole_of(first, "").hub
        keeper, waiter = hub.new_user(), hub.new_user()
        hub.start(keeper, profile="nb-gpu-h100", sm_percent=25)
        hub.until_ready(keeper)
        hub.run_inside(keeper, "sh", "-c", "echo work > /home/user/kept.txt")
        pool = ThreadPoolExecutor(1)
        pool.submit(hub.start, waiter, profile="nb-gpu-l4")  # ends with the hub
        hub.until(lambda: hub.objects("pods", waiter), "no Pod")
        assert not hub.server(waiter)["ready"]
        children = set(processes.descendants(first.process.pid))
        first.process.kill()
        first.process.wait()
        deadline = time.monotonic() + 5
        while any(Path(f"/proc/{pid}/exe").exists() for pid in children):
            assert time.monotonic() < deadline, "something outlives the demo"
            time.sleep(0.05)
        (data / "ready.json").unlink()
    with demos.started(data=data, cwd=tmp_path) as second:
        hub = whole_of(second, keeper).hub
        for user in (keeper, waiter):
            hub.until(
                lambda user=user: (
                    (there := hub.server(user)).get("ready")
                    or not (there.get("pending") or hub.objects("pods", user))
                ),
                "neither adopted nor removed",
            )
        if not hub.server(keeper).get("ready"):
            hub.start(keeper, profile="nb-gpu-h100", sm_percent=25)
            hub.until_ready(keeper)
        assert hub.run_inside(keeper, "cat", "/home/user/kept.txt") == "work\n"
        for user in (keeper, waiter):
            hub.stop(user)
            hub.until(
                lambda user=user: not hub.objects("pods,resourceclaims", user), "something is left"
            )
            assert all(reason for _, reason in hub.sessions(user)), "a session is left open"


@pytest.mark.nightly
def test_an_export_outlives_the_api_server_and_leaves_nothing(whole):
    """Killed while it is prepared, and again while it is sent; the Pod goes, and the next one works (L8)."""
    hub, keeper = whole.hub, whole.keeper
    hub.run_inside(keeper, "sh", "-c", "head -c 200000000 /dev/urandom > /home/user/large.bin")
    token = hub.ask("POST", f"/users/{keeper}/tokens", {"note": "exports"}).body["token"]

    def ask(method, path, body=None):
        request = urllib.request.Request(  # noqa: S310 - loopback
            f"{hub.demo.ready['url']}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {token}", "Content-Type": "application/json"},
            method=method,
        )
        return urllib.request.urlopen(request, timeout=120)  # noqa: S310

    def answer(method, path, body=None):
        with ask(method, f"/services/export/api/v1{path}", body) as found:
            return json.loads(found.read())

    def pods():
        return [
            each
            for each in hub.kubectl.objects("pods", "eugo")
            if "eugo.dev/export" in each["metadata"]["labels"]
        ]

    def ready(identifier):
        found = answer("GET", f"/exports/{identifier}")
        assert found["standing"] in {"preparing", "ready"}, found["problem"]
        return found["standing"] == "ready" and found["link"]

    made = answer("POST", "/exports", {"everything": True})
    whole.kill(components.API_SERVER)
    hub.until(whole.answers, "the cluster stays away")
    hub.until(lambda: ready(made["id"]), "it is not prepared")
    with ask("GET", ready(made["id"])) as sent:
        content = sent.read(5_000_000)
        whole.kill(components.API_SERVER)
        content += sent.read()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.getinfo("home/large.bin").file_size == 200_000_000
    hub.until(whole.answers, "the cluster stays away")
    answer("DELETE", f"/exports/{made['id']}")
    hub.until(lambda: not pods(), "a Pod is left")
    again = answer("POST", "/exports", {})
    hub.until(lambda: ready(again["id"]), "the next try does not work")
    answer("DELETE", f"/exports/{again['id']}")
    hub.until(lambda: not pods(), "a Pod is left")
