"""The reaper as a process: what it needs to be told, and how it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eugospawner.policy.errors import ConfigError
from eugospawner.store import upgrade
from hub_services.reaper.__main__ import Settings
from scripts.local import ports

ROOT = Path(__file__).resolve().parents[3]
COMMAND = [sys.executable, "-m", "hub_services.reaper"]
SECONDS = 30

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: here, user: here}}]
clusters: [{name: here, cluster: {server: "http://127.0.0.1:9"}}]
users: [{name: here, user: {token: none}}]
"""


@pytest.fixture
def environment(tmp_path):
    """Everything is set, and nobody answers."""
    kubeconfig, url = tmp_path / "kubeconfig", f"sqlite:///{tmp_path / 'store.sqlite'}"
    kubeconfig.write_text(KUBECONFIG)
    upgrade(url)
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith(("JUPYTERHUB_", "EUGO_", "KUBE"))
    }
    return kept | {
        "JUPYTERHUB_API_URL": "http://127.0.0.1:9/hub/api",
        "JUPYTERHUB_API_TOKEN": "token",
        "EUGO_LISTEN": f"http://127.0.0.1:{ports.choose(1)[0]}",
        "EUGO_DATABASE_URL": url,
        "KUBECONFIG": str(kubeconfig),
    }


def test_the_namespace_is_eugo_unless_told_otherwise(environment):
    assert Settings.of(environment).namespace == "eugo"
    assert Settings.of(environment | {"EUGO_NAMESPACE": "team-a"}).namespace == "team-a"


def test_every_missing_setting_is_named_at_once():
    with pytest.raises(ConfigError) as caught:
        Settings.of({"JUPYTERHUB_API_URL": "http://hub", "EUGO_DATABASE_URL": ""})
    assert "Not set: JUPYTERHUB_API_TOKEN, EUGO_LISTEN, EUGO_DATABASE_URL." in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"EUGO_DATABASE_URL": ""}, "Not set: EUGO_DATABASE_URL"),
        ({"KUBECONFIG": "absent"}, "set KUBECONFIG to a readable kubeconfig"),
    ],
)
def test_a_wrong_setting_ends_it_with_one_line(environment, changes, said):
    done = subprocess.run(
        COMMAND,
        cwd=ROOT,
        env=environment | changes,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_cleanly_even_while_nobody_answers(environment, number):
    process = subprocess.Popen(
        COMMAND, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True
    )
    with process:
        try:
            # Before it says so it listens to no signal, and whoever starts the tests may have it ignore SIGINT.
            first = process.stderr.readline()
            process.send_signal(number)
            _, rest = process.communicate(timeout=SECONDS)
            said = first + rest
        finally:
            process.kill()
    assert process.returncode == 0, said
    assert "Traceback" not in said


def _imports(pid: int) -> bool:
    """Whether it has begun with its imports, of which the first library is no sign of the last."""
    return "/site-packages/" in Path(f"/proc/{pid}/maps").read_text()


@pytest.mark.parametrize("moment", ["while it starts", "while it runs"])
def test_it_ends_when_whoever_started_it_is_killed(environment, moment):
    starter = f"""if True:
        import subprocess, time
        print(subprocess.Popen({COMMAND!r}, start_new_session=True).pid, flush=True)
        time.sleep(60)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", starter],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        try:
            while not _imports(pid):
                time.sleep(0.001)
            if moment == "while it runs":
                time.sleep(3)
            parent.kill()
            parent.wait(SECONDS)
            deadline = time.monotonic() + SECONDS
            while _runs(pid):
                assert time.monotonic() < deadline, "it outlives its hub"
                time.sleep(0.1)
        finally:
            if _runs(pid):
                os.kill(pid, signal.SIGKILL)


def _runs(pid: int) -> bool:
    try:
        return b"hub_services.reaper" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
