"""A root shell is root in a user namespace of its own Pod, and nowhere else (F38)."""

import pytest

pytestmark = pytest.mark.cluster

#: Looks at a program that keeps ending, until that is the answer.
_MOST_LOGS = 5
#: What the embedded node says where the machine has no user namespaces.
_NOT_HERE = "hostUsers: false is not possible on this machine"


def pods_of(hub, server):
    return [
        each
        for each in hub.objects("pods", "alice")
        if each["metadata"]["name"].endswith(f"--{server}")
    ]


def pod_of(hub, server):
    (found,) = pods_of(hub, server)
    return found


def inside(hub, server, script):
    return hub.run_inside("alice", "sh", "-c", script, server=server).strip()


def process_of(hub, server, words):
    """Return the first process whose command has *words*, a pattern that does not match itself."""
    pid = inside(hub, server, f"grep -l '{words}' /proc/[0-9]*/cmdline | cut -d / -f 3 | head -1")
    assert pid, words
    return pid


def user_of(hub, server, pid):
    """Return the process's real, effective, saved and file system user, as the Pod sees them."""
    return inside(hub, server, f"grep ^Uid: /proc/{pid}/status").split()[1:]


#: Every place where the process $1 listens, as IPv4 `address:port`; needs nothing that an image may lack.
_LISTENS = """\
import os, pathlib, socket, struct, sys
held = set()
for each in pathlib.Path("/proc", sys.argv[1], "fd").iterdir():
    try:
        held.add(os.readlink(each))
    except OSError:
        pass  # closed since
for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]:
    _, local, _, state, *_, inode = line.split()[:10]
    if state == "0A" and f"socket:[{inode}]" in held:
        address, port = local.split(":")
        print(socket.inet_ntoa(struct.pack("=I", int(address, 16))), int(port, 16), sep=":")
"""


def listens(hub, server, pid):
    return hub.run_inside("alice", "python3", "-c", _LISTENS, pid, server=server).split()


def stop(hub, server):
    """Stop it, and return when its Pod is gone: the next may be another's of the same name."""
    hub.stop("alice", server)
    hub.until(lambda: not pods_of(hub, server), "the Pod stays")


@pytest.fixture
def start(hub):
    """Start workspaces of alice, whose own project allows a root shell; they end with the test."""
    running = []

    def refused():
        said = hub.kubectl("get", "events", "-n", "eugo", "-o", "jsonpath={..message}").stdout
        return _NOT_HERE in said

    logs = []

    def answers(server):
        """Whether it is ready; what its program says is kept, for it goes with the Pod."""
        if hub.server("alice", server).get("ready"):
            return True
        for pod in pods_of(hub, server):
            if any(each.get("restartCount") for each in pod["status"].get("containerStatuses", ())):
                name = pod["metadata"]["name"]
                said = hub.kubectl("logs", "-n", "eugo", name, "--tail=30", "--previous")
                logs.append(said.stdout)
        assert len(logs) < _MOST_LOGS, logs[-1]
        return refused()

    def started(server, **words):
        answer = hub.start("alice", server, **words)
        assert answer.status in {201, 202}, answer.message
        running.append(server)
        hub.until(lambda: answers(server), "it does not start")
        if not hub.server("alice", server).get("ready"):
            pytest.skip(f"{_NOT_HERE}: docs/howto/devcluster.md has the command that allows it")

    yield started
    for server in dict.fromkeys(running):
        stop(hub, server)


def test_its_process_is_root_inside_and_nobody_outside_and_can_do_no_more_than_others(hub, start):
    start("rooted", root_shell=True)
    assert inside(hub, "rooted", "id -u") == "0"
    first, outside, count = map(int, inside(hub, "rooted", "head -1 /proc/self/uid_map").split())
    assert first == 0
    assert outside > 0
    assert 0 < count < 2**32 - 1
    pid = process_of(hub, "rooted", "[j]upyterhub-singleuser")
    status = dict(
        line.split(":\t", 1)
        for line in inside(hub, "rooted", f"cat /proc/{pid}/status").splitlines()
        if ":\t" in line
    )
    assert user_of(hub, "rooted", pid) == ["0"] * 4
    held = {each: status[each] for each in ("CapEff", "CapPrm", "CapInh", "CapBnd", "CapAmb")}
    assert held == dict.fromkeys(held, "0" * 16)
    assert status["NoNewPrivs"] == "1"
    assert inside(hub, "rooted", "ls /var/run/secrets/kubernetes.io 2>/dev/null || true") == ""
    address = pod_of(hub, "rooted")["status"]["podIP"]
    places = listens(hub, "rooted", pid)
    assert f"{address}:8888" in places
    assert not [each for each in places if each.startswith("0.0.0.0:")]

    spec = pod_of(hub, "rooted")["spec"]
    assert spec["hostUsers"] is False
    assert spec["automountServiceAccountToken"] is False
    assert not {"hostNetwork", "hostPID", "hostIPC"} & {key for key, on in spec.items() if on}
    assert {key for each in spec["volumes"] for key in each} == {"name", "persistentVolumeClaim"}
    assert spec["securityContext"]["runAsUser"] == 0
    for container in spec["containers"] + spec.get("initContainers", []):
        security = container["securityContext"]
        assert not security.get("privileged")
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}


def test_a_home_in_use_is_opened_by_root_and_afterwards_by_its_owner_again(hub, start):
    """What either of them keeps to itself must not keep the other from starting."""
    start("plain")
    inside(hub, "plain", "mkdir -p ~/work && echo ours > ~/work/notes.txt && chmod 700 ~/.local")
    stop(hub, "plain")
    start("rooted", root_shell=True)
    assert inside(hub, "rooted", "cat ~/work/notes.txt") == "ours"
    inside(hub, "rooted", "echo roots > ~/roots.txt")
    stop(hub, "rooted")
    start("plain")
    assert inside(hub, "plain", "cat ~/work/notes.txt ~/roots.txt") == "ours\nroots"
    inside(hub, "plain", "chmod 755 ~/.local; rm -f ~/roots.txt")


def test_vs_code_runs_as_root_too(hub, start):
    """The real one is tried by the nightly run (tests/browser/test_vscode.py)."""
    start("rooted", profile="code", root_shell=True)
    assert inside(hub, "rooted", "id -u") == "0"
    # Its proxy begins it when somebody looks.
    hub.until(lambda: hub.opens("alice/rooted"), "the editor does not answer")
    editor = process_of(hub, "rooted", "[-]-socket=/")
    assert user_of(hub, "rooted", editor) == ["0"] * 4
    proxy = process_of(hub, "rooted", "[j]upyter_server_proxy")
    assert listens(hub, "rooted", proxy) == [f"{pod_of(hub, 'rooted')['status']['podIP']}:8888"]
