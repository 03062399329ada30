"""
`scripts/demo` from a user's seat: it starts, says where to go, remembers, and leaves nothing behind.

The demos here use the test run's cluster (`--kubeconfig`); one alone brings its own.
"""

import json
import os
import signal
import stat
import subprocess
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from scripts.local import cluster, processes
from tests.integration.demo import demos
from tests.integration.hub.hubs import Hub

pytestmark = pytest.mark.cluster


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """A working directory that is not the checkout."""
    return tmp_path_factory.mktemp("elsewhere")


@pytest.fixture(scope="module")
def demo(kubeconfig, elsewhere, tmp_path_factory):
    """A demo that the tests of this module share, started from another folder."""
    data = tmp_path_factory.mktemp("shared") / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=elsewhere) as running:
        yield running


def wait_until_gone(pids, *, seconds=10.0):
    """Return those of *pids* that still run after *seconds*."""
    deadline = time.monotonic() + seconds
    left = set(pids)
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if _runs(pid)}
        time.sleep(0.05)
    return left


def _runs(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_the_ready_file_says_where_who_and_with_what(demo, kubeconfig):
    ready = demo.ready
    assert set(ready) == {"url", "namespace", "kubeconfig", "admin_token", "users"}
    assert ready["url"].startswith("http://127.0.0.1:")
    assert ready["namespace"] == "eugo"
    assert Path(ready["kubeconfig"]) == Path(kubeconfig)
    assert {user["name"] for user in ready["users"]} == {"ada", "alice", "bob", "carol", "dave"}
    assert stat.S_IMODE((demo.data / "ready.json").stat().st_mode) == 0o600


def test_people_exist_before_their_first_sign_in(demo):
    users = {user["name"]: user["admin"] for user in demo.ask("/users")}
    assert users.items() >= {"ada": True, "alice": False, "dave": False}.items()


def test_everybody_signs_in_with_the_printed_password_and_new_names_too(demo):
    passwords = {user["name"]: user["password"] for user in demo.ready["users"]}
    assert all(demo.sign_in(name, password) for name, password in passwords.items())
    assert demo.sign_in("somebody-new", passwords["alice"])


def test_the_shared_password_does_not_open_the_admins_door(demo):
    passwords = {user["name"]: user["password"] for user in demo.ready["users"]}
    assert not demo.sign_in("ada", passwords["alice"])
    assert not demo.sign_in("alice", "wrong")


def test_the_hub_is_its_own_service_account_and_no_admin(demo):
    kubectl = [*cluster.kubectl_command(embedded=False), "--kubeconfig"]
    own = subprocess.run(
        [*kubectl, demo.data / "hub.kubeconfig", "auth", "whoami", "-o", "json"],
        cwd=demos.ROOT,
        capture_output=True,
        check=True,
    )
    user = json.loads(own.stdout)["status"]["userInfo"]["username"]
    assert user == "system:serviceaccount:eugo:hub"


def test_the_hub_listens_on_loopback_only(demo):
    listening = subprocess.run(["ss", "-Hltnp"], capture_output=True, text=True, check=True)
    own = {demo.process.pid, *processes.descendants(demo.process.pid)}
    lines = [
        line.split()[3]
        for line in listening.stdout.splitlines()
        if any(f"pid={pid}," in line for pid in own)
    ]
    assert len(lines) >= 3  # people, hub API, proxy API
    assert all(address.startswith("127.0.0.1:") for address in lines)


def test_the_image_list_is_the_catalogs(demo):
    kubectl = [*cluster.kubectl_command(embedded=False), f"--kubeconfig={demo.ready['kubeconfig']}"]
    listed = subprocess.run(
        [*kubectl, "get", "configmap", "eugo-images", "-n", "eugo", "-o", "json"],
        cwd=demos.ROOT,
        capture_output=True,
        check=True,
    )
    catalog = demos.ROOT / "helm-values" / "catalog.yaml"
    assert json.loads(listed.stdout)["data"] == cluster.image_list(catalog)["data"]


def test_a_second_demo_on_the_same_folder_is_refused_in_one_line(demo, elsewhere):
    refused = demos.fails("--port=0", "--data", demo.data, cwd=elsewhere)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert f"Another demo (process {demo.process.pid}) uses" in refused.stderr
    assert (demo.data / "ready.json").exists()


def test_a_busy_port_is_refused_in_one_line_before_anything_starts(demo, elsewhere, tmp_path):
    port = demo.ready["url"].rpartition(":")[2]
    refused = demos.fails("--port", port, "--data", tmp_path / "demo", cwd=elsewhere)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert refused.stderr.count("\n") == 1
    assert f"Port {port}" in refused.stderr
    assert "--port N" in refused.stderr


def test_a_folder_that_cannot_be_written_is_refused_in_one_line(elsewhere):
    refused = demos.fails("--port=0", "--data", "/proc/demo", cwd=elsewhere)
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "Cannot write to the data folder /proc/demo" in refused.stderr
    assert "--data DIR" in refused.stderr


@pytest.mark.nightly  # by day the demos of all test processes run side by side, anyway
@pytest.mark.usefixtures("free_gpus")
def test_two_demos_run_side_by_side_and_a_start_remembers_what_the_hubs_death_left(
    demo, kubeconfig, kubectl, elsewhere, tmp_path
):
    """The hub is killed while a Pod waits for the only A100: the next hub goes on with it (F25)."""
    data = tmp_path / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=elsewhere) as second:
        assert second.ready["url"] != demo.ready["url"]
        first_users = second.ready["users"]
        assert second.sign_in("erin", first_users[1]["password"])
        children = set(processes.descendants(second.process.pid))
        assert len(children) >= 2  # hub and proxy
        hub = Hub(second, kubectl)
        holder, waiter = hub.new_user(), hub.new_user()
        hub.start_light(holder, profile="gpu-a100-1x")
        hub.until_ready(holder)
        with ThreadPoolExecutor(1) as thread:  # the answer takes as long as it waits
            asked = thread.submit(hub.start_light, waiter, profile="gpu-a100-1x")
            hub.until(lambda: hub.objects("pods", waiter), "no Pod")
            os.kill(hub_of(children), signal.SIGKILL)
            assert asked.exception() is not None
        said, _ = second.process.communicate(timeout=60)
        assert second.process.returncode == 1
        assert "The hub ended by itself with code -9" in said
        assert holder in said  # the end of its log
        assert str(data / "log" / "hub.log") in said
        assert wait_until_gone(children) == set()  # its proxy, too
        assert not (data / "ready.json").exists()
    assert demo.ask("/")["version"]  # the other one did not notice
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=elsewhere) as again:
        assert again.ready["users"] == first_users
        assert "erin" in {user["name"] for user in again.ask("/users")}
        hub = Hub(again, kubectl)
        assert hub.objects("pods", waiter), "the waiting Pod was lost"
        hub.stop(holder)
        hub.until(
            lambda: hub.server(waiter).get("ready") or not hub.objects("pods", waiter),
            "neither adopted nor removed",
        )
        assert hub.server(waiter).get("ready")
        hub.stop(waiter)
        hub.until(lambda: not hub.objects("pods,resourceclaims", waiter), "something is left")
        children = set(processes.descendants(again.process.pid))
        said = again.stop()
        assert again.process.returncode == 0, said
        assert wait_until_gone(children) == set()
        assert not (data / "ready.json").exists()


@pytest.mark.nightly
def test_a_hub_that_hangs_is_ended_by_a_second_signal_but_not_by_the_firsts_echo(
    kubeconfig, elsewhere, tmp_path
):
    data = tmp_path / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=elsewhere) as running:
        children = set(processes.descendants(running.process.pid))
        os.kill(hub_of(children), signal.SIGSTOP)
        for _ in range(2):  # as timeout(1) sends it: once to the process, once to its group
            running.process.send_signal(signal.SIGINT)
            time.sleep(0.6)
        assert running.process.poll() is None
        time.sleep(0.6)
        running.process.send_signal(signal.SIGINT)
        said, _ = running.process.communicate(timeout=30)
    assert running.process.returncode == 0, said
    assert wait_until_gone(children) == set()


def test_when_the_demo_is_killed_nothing_survives(kubeconfig, elsewhere, tmp_path):
    """That the next start works is tried at night by `hub/test_kills.py`."""
    data = tmp_path / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=elsewhere) as running:
        children = set(processes.descendants(running.process.pid))
        running.process.kill()
        running.process.wait()
        assert wait_until_gone(children, seconds=30) == set()


@pytest.mark.nightly
def test_the_embedded_cluster_ends_with_its_demo(elsewhere, tmp_path):
    data = tmp_path / "demo"
    with demos.started(data=data, cwd=elsewhere) as running:
        assert stat.S_IMODE((data / "kubeconfig").stat().st_mode) == 0o600
        health = urllib.request.urlopen(f"{running.ready['url']}/hub/health", timeout=10)  # noqa: S310
        with health:
            assert health.status == 200
        children = set(processes.descendants(running.process.pid))
        assert len(children) >= 8  # hub, proxy, cluster and its parts
        said = running.stop()
        assert running.process.returncode == 0, said
    assert wait_until_gone(children) == set()


def hub_of(pids):
    """Return which of *pids* is the hub."""
    return next(
        pid for pid in pids if b"demo_hub_config.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    )
