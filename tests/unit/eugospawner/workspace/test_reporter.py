"""
The reporter sees work as it is: in terminals, kernels, processes and code-server; an open tab is none. F66; L5.

Terminals and processes are real ones of this machine; the Jupyter server and the hub are small servers.
"""

import json
import os
import pty
import signal
import subprocess
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from eugospawner.manifests.reporter import make_lifecycle
from eugospawner.workspace import reporter

PROGRAM = Path(reporter.__file__)


class Server(ThreadingHTTPServer):
    """A Jupyter server with kernels, and a hub that is told of activity."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.kernels = []
        self.told = []
        self.status = 200

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self):
        return {
            "JUPYTERHUB_SERVICE_URL": f"{self.url}/user/alice/thesis/",
            "JUPYTERHUB_API_TOKEN": "secret",
            "JUPYTERHUB_ACTIVITY_URL": f"{self.url}/hub/api/users/alice/activity",
            "JUPYTERHUB_SERVER_NAME": "thesis",
        }


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        assert self.headers["Authorization"] == "token secret"
        assert self.path == "/user/alice/thesis/api/kernels"
        self._answer(self.server.kernels)

    def do_POST(self):
        length = int(self.headers["Content-Length"])
        self.server.told.append((self.path, json.loads(self.rfile.read(length))))
        self._answer({})

    def _answer(self, content):
        body = json.dumps(content).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = Server()
    Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture
def terminal():
    """A shell in a terminal of its own; returns what types into it and the processes it has."""
    pid, file = pty.fork()
    if not pid:  # pragma: no cover - the child
        # Whoever runs tests in the background has them ignore it, and so would all that they start.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execvp("sh", ["sh", "-i"])  # noqa: S606

    def own():
        found = reporter.processes()
        return {key: value for key, value in found.items() if value[0] == pid}

    def until(holds):
        deadline = time.monotonic() + 10
        while not holds(own()):
            assert time.monotonic() < deadline, own()
            time.sleep(0.02)
        return own()

    yield lambda text: os.write(file, text.encode()), until
    os.write(file, b"\x03\nexit\n")
    os.close(file)
    os.waitpid(pid, 0)


def test_a_shell_that_waits_is_no_work_and_a_silent_program_in_it_is(terminal):
    types, until = terminal
    assert not reporter.works_in_terminal(until(lambda found: len(found) == 1))
    types("sleep 60\n")
    assert reporter.works_in_terminal(until(lambda found: len(found) == 2))
    types("\x03")
    assert not reporter.works_in_terminal(until(lambda found: len(found) == 1))
    types("sleep 60 &\n")
    assert reporter.works_in_terminal(until(lambda found: len(found) == 2))


def test_a_process_that_computes_is_work_and_one_that_sleeps_is_not():
    for code, expected in (("while True: pass", True), ("import time; time.sleep(60)", False)):
        with subprocess.Popen([sys.executable, "-c", code]) as process:
            try:
                time.sleep(0.3)
                before, began = reporter.processes(), time.monotonic()
                time.sleep(0.6)
                found, passed = reporter.processes(), time.monotonic() - began
                mine = {process.pid: found[process.pid]}
                assert reporter.computes(before, mine, passed) is expected
            finally:
                process.kill()
    assert not reporter.computes({}, {1: (1, 0, 99.0)}, 1)
    assert not reporter.computes({1: (1, 0, 0.0)}, {1: (1, 0, 99.0)}, 0)


def test_a_command_with_brackets_and_blanks_in_its_name_is_read(tmp_path):
    for pid, text in {
        "7": "7 (a) b (c)) S 1 7 7 34816 7 0 0 0 0 0 100 50 0 0 20 0 1 0 5 0 0",
        "8": "8 (gone) Z 1 8 8 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5 0 0",
        "self": "",
    }.items():
        (tmp_path / pid).mkdir()
        (tmp_path / pid / "stat").write_text(text)
    (tmp_path / "9").mkdir()  # ended between two looks
    ticks = os.sysconf("SC_CLK_TCK")
    assert reporter.processes(tmp_path) == {7: (7, 34816, 150 / ticks)}


@pytest.mark.parametrize(
    ("kernels", "busy"),
    [
        ([], False),
        ([{"execution_state": "idle"}], False),
        ([{"execution_state": "idle"}, {"execution_state": "busy"}], True),
        ([{"execution_state": "starting"}], True),
        (["strange"], False),
        (None, False),
    ],
)
def test_a_kernel_is_busy_if_the_jupyter_server_says_so(server, kernels, busy):
    server.kernels = kernels
    assert reporter.has_busy_kernel(server.environment) is busy


def test_an_editor_without_kernels_or_a_server_that_is_away_is_no_work(server):
    server.status = 404
    assert not reporter.has_busy_kernel(server.environment)
    away = server.environment | {"JUPYTERHUB_SERVICE_URL": "http://127.0.0.1:9/user/x/"}
    assert not reporter.has_busy_kernel(away)


class Ended(Exception):
    """The workspace has ended."""


def run(monkeypatch, server, looks, *, works=(), beats=()):
    """Have the reporter look *looks* times, a minute each; return when it told of work."""
    state = {"now": 1000.0, "looks": 0}

    def sleep(seconds):
        assert seconds == 60
        if state["looks"] == looks:
            raise Ended
        state["looks"] += 1
        state["now"] += seconds

    monkeypatch.setattr(reporter, "processes", dict)
    monkeypatch.setattr(reporter, "has_busy_kernel", lambda _environment: state["looks"] in works)
    monkeypatch.setattr(
        reporter, "heartbeat", lambda: max((each for at, each in beats if at <= state["looks"]), default=0),
    )  # fmt: skip
    with pytest.raises(Ended):
        reporter.main(server.environment, clock=lambda: state["now"], sleep=sleep)
    return [body["servers"]["thesis"]["last_activity"][11:19] for _, body in server.told]


def test_work_is_told_at_each_look_and_nothing_while_there_is_none(monkeypatch, server):
    assert run(monkeypatch, server, 6, works={2, 3, 6}) == ["00:18:40", "00:19:40", "00:22:40"]
    path, body = server.told[0]
    assert path == "/hub/api/users/alice/activity"
    assert body["last_activity"] == body["servers"]["thesis"]["last_activity"]


def test_a_heartbeat_counts_as_of_when_it_was_and_once(monkeypatch, server):
    beats = [(1, 1030.0), (3, 1170.0), (4, 9e9)]
    assert run(monkeypatch, server, 5, beats=beats) == ["00:17:10", "00:19:30"]


def test_a_hub_that_is_away_is_told_at_the_next_look(monkeypatch, server):
    server.status = 503
    assert len(run(monkeypatch, server, 3, works={1})) == 1  # asked, refused
    server.told.clear()
    server.status = 200
    assert run(monkeypatch, server, 3, works={1, 2}) == ["00:17:40", "00:18:40"]


def test_the_hook_ends_at_once_and_the_program_goes_on_by_itself(tmp_path, server):
    """As Kubernetes runs it, with the program as an argument and nothing of ours to import."""
    server.kernels = [{"execution_state": "busy"}]
    (tmp_path / "python3").symlink_to(sys.executable)
    command = make_lifecycle()["postStart"]["exec"]["command"]
    environment = server.environment | {
        "PATH": f"{tmp_path}:/usr/bin:/bin", "EUGO_ACTIVITY_SECONDS": "0.2",
        "PYTHONPATH": "", "HOME": str(tmp_path),
    }  # fmt: skip
    hook = subprocess.Popen(command, env=environment, start_new_session=True)
    try:
        assert hook.wait(5) == 0
        deadline = time.monotonic() + 20
        while not server.told:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        os.killpg(hook.pid, signal.SIGKILL)  # fails if the program did not go on


def test_an_image_without_python_starts_nevertheless(tmp_path):
    command = make_lifecycle()["postStart"]["exec"]["command"]
    subprocess.run(["/bin/sh", *command[1:]], env={"PATH": str(tmp_path)}, check=True, timeout=10)


def test_the_program_imports_nothing_of_ours():
    code = f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p]; exec(open({str(PROGRAM)!r}).read().replace('__main__', 'never'))"
    subprocess.run([sys.executable, "-I", "-S", "-c", code], check=True, timeout=20, cwd="/")
