"""kubectl's connections to a container: exec, attach, logs, port-forward, cp."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import urllib.request
from typing import TYPE_CHECKING

import pytest

from tests.integration.devcluster.places import eventually
from tests.integration.devcluster.pods import WEB, a_container, a_pod, with_volume

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.devcluster.places import Place

pytestmark = pytest.mark.cluster


@contextlib.contextmanager
def talking(place: Place, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*place.command, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def test_exec_tells_the_exit_code(place: Place) -> None:
    place.runs(a_pod())
    done = subprocess.run([*place.command, "exec", "p", "--", "sh", "-c", "exit 7"], check=False)
    assert done.returncode == 7


def test_exec_passes_standard_input_and_output(place: Place) -> None:
    place.runs(a_pod())
    sent = "".join(f"line {number}\n" for number in range(5000))
    assert place.run("exec", "-i", "p", "--", "cat", stdin=sent) == sent


def test_exec_with_a_terminal_has_a_terminal(place: Place) -> None:
    place.runs(a_pod())
    ours, theirs = pty.openpty()
    done = subprocess.run(
        [*place.command, "exec", "-it", "p", "--", "sh", "-c", "test -t 0 && tty"],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=False,
        timeout=60,
    )
    said = os.read(ours, 4096).decode()
    os.close(ours)
    os.close(theirs)
    assert done.returncode == 0
    assert "/dev/pts/" in said


def test_attach_speaks_with_the_container_itself(place: Place) -> None:
    place.runs(a_pod("p", a_container("read word; echo heard $word; exec sleep 1000", stdin=True)))
    with talking(place, "attach", "-i", "p") as attached:
        assert attached.stdin is not None
        assert attached.stdout is not None
        attached.stdin.write("hello\n")
        attached.stdin.flush()
        eventually(lambda: "heard hello" in place.run("logs", "p"), "it has heard")


def test_logs_follow_until_the_container_ends(place: Place) -> None:
    script = "for n in 1 2 3; do echo $n; sleep 0.3; done"
    place.create(a_pod("p", a_container(script), restartPolicy="Never"))
    eventually(lambda: "state" in place.status_of("p"), "a status")
    eventually(lambda: "waiting" not in place.status_of("p")["state"], "it has begun")
    assert place.run("logs", "-f", "p") == "1\n2\n3\n"


def test_logs_of_the_container_before_are_kept(place: Place) -> None:
    # One restart only: of several lives the kubelet keeps the last.
    script = "test -e /kept/f && exec sleep 1000; touch /kept/f; echo first life; exit 1"
    container = with_volume(a_container(script), "/kept")
    place.create(a_pod("p", container, volumes=[{"name": "data", "emptyDir": {}}]))
    eventually(lambda: place.status_of("p").get("restartCount", 0) >= 1, "a restart")
    place.wait("pod/p", "condition=Ready")
    assert place.run("logs", "--previous", "p") == "first life\n"


def test_logs_tail_and_timestamps(place: Place) -> None:
    pod = a_pod("p", a_container("for n in 1 2 3; do echo $n; done"), restartPolicy="Never")
    assert place.finishes(pod) == "1\n2\n3\n"
    assert place.run("logs", "p", "--tail=1") == "3\n"
    assert place.run("logs", "p", "--timestamps").split()[1] == "1"


def test_port_forward_reaches_a_server(place: Place) -> None:
    probe = {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}
    place.runs(a_pod("p", {"name": "main", "image": WEB, "readinessProbe": probe}))
    with talking(place, "port-forward", "p", ":8080") as forward:
        assert forward.stdout is not None
        line = forward.stdout.readline()
        port = line.split("127.0.0.1:")[1].split(" ")[0]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20) as answer:
            assert answer.status == 200


def test_cp_brings_a_file_and_takes_it_back(place: Place) -> None:
    place.runs(a_pod())
    (place.folder / "there").write_text("content")
    place.run("cp", str(place.folder / "there"), f"{place.name}/p:/tmp/file")
    place.run("cp", f"{place.name}/p:/tmp/file", str(place.folder / "back"))
    assert (place.folder / "back").read_text() == "content"


def test_debug_adds_an_ephemeral_container(place: Place) -> None:
    place.runs(a_pod())
    place.run(
        "debug", "p", "--image=registry.example/eugo/sh:1", "--container=look", "--profile=general",
        "--", "sh", "-c", "echo looking",
    )  # fmt: skip
    state = "{.status.ephemeralContainerStatuses[0].state.terminated.reason}"
    place.wait("pod/p", f"jsonpath={state}=Completed")
    assert place.run("logs", "p", "-c", "look") == "looking\n"
