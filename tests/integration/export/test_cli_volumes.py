"""`eugo volume` against a running service says what the page says."""

import asyncio
import json
from datetime import timedelta

import pytest
from click.testing import CliRunner

from hub_services.cli import volumes
from hub_services.cli.app import main

MIB = 1 << 20


@pytest.fixture
def eugo(service, monkeypatch):
    """Run `eugo` as somebody; what is to be measured is measured meanwhile."""
    monkeypatch.setattr(volumes, "_LOOK_SECONDS", 0.05)

    async def measure():
        while True:
            await service.measurer.sweep_once(interval=timedelta(days=1))
            await asyncio.sleep(0.05)

    service.measurer._every = None
    measuring = asyncio.run_coroutine_threadsafe(measure(), service.loop)

    def run(*arguments, token="t-ada"):  # noqa: S107 - a test's
        environment = {
            "EUGO_URL": service.url, "EUGO_TOKEN": token, "NO_PROXY": "*", "COLUMNS": "200",
        }  # fmt: skip
        result = CliRunner().invoke(main, list(arguments), env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result.exit_code, result.stdout, result.stderr

    yield run
    measuring.cancel()


@pytest.fixture
def home(service):
    made = service.has_workspace("alice")
    (made / ".cache/pip").mkdir(parents=True)
    (made / ".cache/pip/wheel").write_bytes(b"x" * 3 * MIB)
    (made / "\x1b[31mred.bin").write_bytes(b"x" * MIB)
    return made


@pytest.mark.usefixtures("home")
def test_it_is_measured_shown_and_listed(eugo):
    code, stdout, stderr = eugo("volume", "measure", "home", token="t-alice")
    assert code == 0, stderr
    assert ".cache/pip" in stdout
    assert "downloaded again" in stdout
    assert "\x1b[31m" not in stdout
    code, stdout, _ = eugo("volume", "show", "home", token="t-alice")
    assert code == 0
    assert "lab at /home/user" in stdout
    code, stdout, _ = eugo("volume", "list", token="t-alice")
    assert code == 0
    assert "10.0 GiB" in stdout
    code, stdout, _ = eugo("--output", "json", "volume", "list", "--all")
    assert [each["owner"] for each in json.loads(stdout)["volumes"]] == ["alice"]


def test_one_is_made_for_a_project(eugo):
    code, stdout, stderr = eugo("volume", "create", "data@vision", "--size", "30Gi")
    assert code == 0, stderr
    assert "data@vision" in stdout
    assert "30.0 GiB" in stdout
    code, _, stderr = eugo("volume", "create", "data@vision")
    assert code == 1
    assert "already-there" in stderr
    code, _, stderr = eugo("volume", "create", "data")
    assert code == 2
    assert "datasets@vision" in stderr
    code, stdout, _ = eugo("volume", "show", "data@vision", token="t-alice")
    assert code == 0
    assert "data@vision" in stdout


@pytest.mark.usefixtures("home")
def test_it_is_made_larger_and_never_smaller(eugo):
    code, stdout, stderr = eugo("volume", "resize", "alice/home", "20Gi")
    assert code == 0, stderr
    assert "becomes 20.0 GiB" in stdout
    code, _, stderr = eugo("volume", "resize", "alice/home", "5Gi")
    assert code == 1
    assert "[volume-shrinks]" in stderr
    code, _, stderr = eugo("volume", "resize", "alice/data", "5Gi")
    assert code == 1
    assert "[not-found]" in stderr


@pytest.mark.usefixtures("home")
def test_somebody_elses_are_not_shown(eugo):
    code, _, stderr = eugo("volume", "list", "--owner", "alice", token="t-bob")
    assert code == 1
    assert "[not-permitted]" in stderr
