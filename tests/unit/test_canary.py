"""The search for secrets in logs finds them, so that a run in which it finds none says something."""

import base64
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest

from tests.canary import search
from tests.factories.providers import SECRET
from tests.factories.tokens import CLIENT, claims, signed

ROOT = Path(__file__).parents[2]
PLANTED = "5ec2e7" * 8

#: A run of its own: one demo, and a log with what the test says.
CONFTEST = "from tests.canary import watch as pytest_configure"
TEST = """
import json
import pytest

@pytest.mark.parametrize("number", range(2))
def test_demo(tmp_path, number):
    (tmp_path / "log").mkdir()
    (tmp_path / "secrets.json").write_text(json.dumps({{"admin_token": {secret!r}}}))
    (tmp_path / "log" / "hub.log").write_text("it starts\\n" + {said!r})
"""


@pytest.fixture
def folder():
    """A folder that is not pytest's, or the run of these tests would find what they plant."""
    with tempfile.TemporaryDirectory(prefix="eugo-planted-") as made:
        yield Path(made)


def written(folder, text, name="demo/log/hub.log"):
    """Write a demo's secrets, and *text* into a file of its."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"first line\n{text}\nlast line\n")
    (folder / "demo").mkdir(exist_ok=True)
    (folder / "demo" / "secrets.json").write_text(json.dumps({"admin_token": PLANTED}))
    return path


def basic(name, secret):
    return base64.b64encode(f"{quote_plus(name)}:{quote_plus(secret)}".encode()).decode()


OF_THE_DEMO = "admin_token of demo/secrets.json"
OF_THE_PROVIDER = "the client's secret at the provider in memory"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (f"token {PLANTED}", OF_THE_DEMO),
        (f"a{PLANTED}b", OF_THE_DEMO),
        (f"Basic {basic('eugo', PLANTED)}", OF_THE_DEMO),
        (f"Basic {basic('eugo1', PLANTED)}", OF_THE_DEMO),
        (f"Basic {basic('eugo12', PLANTED)}", OF_THE_DEMO),
        (SECRET, OF_THE_PROVIDER),
        (quote(SECRET, safe=""), OF_THE_PROVIDER),
        (quote_plus(SECRET), OF_THE_PROVIDER),
        (json.dumps({"client_secret": SECRET}), OF_THE_PROVIDER),
        (base64.urlsafe_b64encode(f"{CLIENT}:{SECRET}".encode()).decode(), OF_THE_PROVIDER),
        (f"Bearer {signed(claims())}", "a JSON Web Token"),
        ("Bearer access-12", "a token of the provider in memory"),
        ("{'refresh_token': 'refresh-3'}", "a token of the provider in memory"),
        ("invalid_grant: canary-55", "something called a canary"),
        ("canary-access-3", "something called a canary"),
        ("302 GET /hub/oauth_callback?code=x&state=[secret]", "a secret in an address"),
        ("GET /hub/eugo/invitation?a=b&token=five-token", "a secret in an address"),
        ("GET /lab?token=...five", "a secret in an address"),
    ],
)
def test_a_secret_is_found_however_it_is_spelled_and_is_not_told(folder, text, name):
    path = written(folder, f"[W] {text}")
    found = search(folder)
    assert name in {hit.name for hit in found.hits}
    assert {(hit.path, hit.line) for hit in found.hits} == {(path, 2)}
    assert not any(PLANTED in str(hit) or SECRET in str(hit) for hit in found.hits)


@pytest.mark.parametrize(
    ("name", "is_log"),
    [
        ("demo/log/hub.log", True),
        ("demo/log/hub.log.1", True),
        ("hub0/log", True),
        ("popen-gw0/cluster0/devcluster.log", True),
        ("demo/log/deeper/anything", True),
        ("demo/ready.json", False),
        ("demo/catalog", False),
        ("demo/dialog", False),
    ],
)
def test_all_logs_are_searched_and_nothing_else(folder, name, is_log):
    """What holds credentials by its nature, such as the ready file, is no log."""
    written(folder, PLANTED, name)
    found = search(folder)
    assert (found.logs, len(found.hits)) == ((1, 1) if is_log else (0, 0))


@pytest.mark.parametrize(
    "text",
    [
        "302 GET /hub/oauth_callback?code=[secret]&state=[secret] -> /hub/home",
        "http://127.0.0.1:8888/user/bob/lab?token=...",  # as Jupyter crosses it out
        "access-control, refresh-interval, no-access-1x, code-server, key",
        "Mounted /tmp/canary-look/cluster0",
        "s&cret",
    ],
)
def test_what_is_no_secret_is_let_be(folder, text):
    written(folder, text)
    found = search(folder)
    assert (found.hits, found.logs) == ((), 1)


def a_run(folder, said, *options):
    """Run a suite that writes logs which say *said*."""
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_demo.py").write_text(TEST.format(secret=PLANTED, said=said))
    return subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "xdist", "-c",
            "/dev/null", "--rootdir", folder, "--basetemp", folder / "base", *options, folder,
        ],
        cwd=ROOT, env={"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("options", [(), ("-n", "2")], ids=["alone", "with workers"])
def test_a_run_with_a_secret_in_a_log_fails_although_its_tests_pass(folder, options):
    ended = a_run(folder, f"token {PLANTED}", *options)
    assert ended.returncode == 1
    assert "2 passed" in ended.stdout
    assert ended.stdout.count("/log/hub.log:2: admin_token of ") == 2
    assert PLANTED not in ended.stdout


def test_a_run_without_a_secret_in_its_logs_passes_and_says_so(folder):
    ended = a_run(folder, "and ends")
    assert ended.returncode == 0
    assert "stands in 2 logs" in ended.stdout


def test_a_run_without_logs_passes(folder):
    ended = a_run(folder, "", "-k", "nothing")
    assert ended.returncode == pytest.ExitCode.NO_TESTS_COLLECTED
    assert "canary" not in ended.stdout
    assert search(folder).hits == ()


@pytest.mark.parametrize(
    "text", ['{"admin_token": "cu', '{"port": 8000, "admin_token": ""}', "[1]", ""]
)
def test_what_is_no_secret_in_its_file_is_not_searched(folder, text):
    written(folder, "8000 cu")
    (folder / "demo" / "secrets.json").write_text(text)
    assert search(folder).hits == ()
