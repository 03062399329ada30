"""Whatever is killed while a workspace starts or runs, everything agrees again (promise 6)."""

import os
import signal
from pathlib import Path

import pytest

from tests.integration.demo import demos
from tests.integration.hub.hubs import Hub

pytestmark = pytest.mark.cluster


def hub_pid(demo) -> int:
    """The hub's process: the demo's child that runs jupyterhub."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            environment = (folder / "environ").read_bytes()
        except OSError:
            continue
        if b"jupyterhub" in words and str(demo.data).encode() in environment:
            return int(folder.name)
    pytest.fail("no hub")


@pytest.mark.usefixtures("free_gpus")
def test_a_pod_that_waits_when_the_hub_is_killed_is_adopted_after_the_restart(
    kubeconfig, kubectl, tmp_path
):
    """Two whole L40S are taken, a third request waits; the hub dies; the next hub goes on."""
    data = tmp_path / "demo"
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=tmp_path) as first:
        hub = Hub(first, kubectl)
        holder, waiter = hub.new_user(), hub.new_user()
        hub.start_light(holder, profile="gpu-a100-1x")
        hub.until_ready(holder)
        hub.start_light(waiter, profile="gpu-a100-1x")
        hub.until(lambda: hub.objects("pods", waiter), "no Pod")
        os.kill(hub_pid(first), signal.SIGKILL)
        first.process.wait(60)
    (data / "ready.json").unlink(missing_ok=True)
    with demos.started("--kubeconfig", kubeconfig, data=data, cwd=tmp_path) as second:
        hub = Hub(second, kubectl)
        assert hub.objects("pods", waiter), "the waiting Pod was lost"
        hub.stop(holder)
        hub.until(
            lambda: hub.server(waiter).get("ready") or not hub.objects("pods", waiter),
            "neither adopted nor removed",
        )
        assert hub.server(waiter).get("ready")
        hub.stop(waiter)
        hub.until(lambda: not hub.objects("pods,resourceclaims", waiter), "something is left")


def test_the_store_remembers_every_session_with_its_end(hub):
    user = hub.new_user()
    hub.start_light(user, profile="nb-gpu-l4", sm_percent=50)
    hub.until_ready(user)
    hub.stop(user)
    assert hub.sessions(user)[0] == (50, "admin")
