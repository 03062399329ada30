"""`eugo export` against a running service: what is asked for is there, whole, or not at all."""

import asyncio
import json
import os
import zipfile

import pytest
from click.testing import CliRunner

from hub_services.cli import exports
from hub_services.cli.app import main


@pytest.fixture
def eugo(service, monkeypatch):
    """Run `eugo export` as Alice; what is asked for is prepared meanwhile."""
    monkeypatch.setattr(exports, "_LOOK_SECONDS", 0.05)
    # Which workspace is meant is the workspaces service's to know.
    monkeypatch.setattr(exports, "place_of", lambda _client, named: ("alice", named))

    async def prepare():
        while True:
            await service.preparer.sweep_once()
            await asyncio.sleep(0.05)

    preparing = asyncio.run_coroutine_threadsafe(prepare(), service.loop)

    def run(*arguments, token="t-alice"):  # noqa: S107 - a test's
        environment = {
            "EUGO_URL": service.url,
            "EUGO_TOKEN": token,
            "NO_PROXY": "*",
            "COLUMNS": "200",
        }
        result = CliRunner().invoke(main, list(arguments), env=environment)
        assert result.exception is None or isinstance(result.exception, SystemExit), (
            result.exception
        )
        return result.exit_code, result.stdout, result.stderr

    yield run
    preparing.cancel()


@pytest.fixture
def home(service):
    made = service.has_workspace("alice")
    (made / "a.ipynb").write_text("{}")
    (made / "link").symlink_to("/etc/passwd")
    return made


@pytest.mark.usefixtures("home")
def test_an_export_is_made_listed_shown_and_revoked(service, eugo):
    code, stdout, stderr = eugo("--output", "json", "export", "create", "lab")
    assert code == 0, stderr
    made = json.loads(stdout)
    assert (made["standing"], made["files"]) == ("ready", 1)
    code, stdout, _ = eugo("export", "show", made["id"])
    assert code == 0
    assert f"{service.url}{made['link']}" in stdout
    assert "A symbolic link" in stdout
    code, stdout, _ = eugo("export", "list")
    assert code == 0
    assert made["id"] in stdout
    code, stdout, _ = eugo("export", "revoke", made["id"])
    assert (code, stdout.strip()) == (0, "Revoked.")
    assert eugo("export", "show", made["id"])[1].count("http") == 0


@pytest.mark.usefixtures("home")
def test_it_is_downloaded_to_a_folder_a_file_or_standard_output(eugo, tmp_path):
    target = tmp_path / "here"
    target.mkdir()
    code, stdout, stderr = eugo("export", "create", "lab", "--to", str(target))
    assert code == 0, stderr
    (path,) = target.iterdir()
    assert stdout.replace("\n", "").endswith(path.name)
    with zipfile.ZipFile(path) as found:
        assert "home/a.ipynb" in found.namelist()
    code, _, _ = eugo("export", "create", "lab", "--to", str(target / "mine.zip"))
    assert code == 0
    assert zipfile.is_zipfile(target / "mine.zip")


@pytest.mark.usefixtures("home")
def test_what_cannot_be_had_says_why(eugo, tmp_path):
    code, _, stderr = eugo("export", "create", "lab", "--folder", "nowhere")
    assert code == 1
    assert "There is no folder 'nowhere'" in stderr
    code, _, stderr = eugo("export", "create", "lab", "--folder", "/etc")
    assert code == 1
    assert "[malformed]" in stderr
    code, _, stderr = eugo("export", "create", "lab", "--to", str(tmp_path / "no" / "where.zip"))
    assert code == 1
    assert "cannot be written" in stderr


def test_what_was_downloaded_is_restored(eugo, home, tmp_path):
    assert eugo("export", "create", "lab", "--to", str(tmp_path / "a.zip"))[0] == 0
    code, stdout, stderr = eugo(
        "export", "restore", str(tmp_path / "a.zip"), "lab", "--folder", "x"
    )
    assert code == 0, stderr
    assert "1 file," in stdout
    assert "/home/user/x" in stdout
    assert (home / "x/home/a.ipynb").read_text() == "{}"
    code, _, stderr = eugo("export", "restore", str(tmp_path / "a.zip"), "lab", "--folder", "x")
    assert code == 1
    assert "[not-restored]" in stderr
    assert eugo("export", "restore", str(tmp_path / "none.zip"), "lab")[0] == 2


def test_a_download_that_breaks_off_says_so_and_leaves_no_file(
    service, eugo, home, tmp_path, monkeypatch
):
    (home / "large.ipynb").write_bytes(os.urandom(60_000_000))
    target = tmp_path / "target"
    target.mkdir()

    def watched(chunks, _size, _label=""):
        yield next(chunks)
        assert list(target.iterdir())
        service.cluster.kill()
        yield from chunks

    monkeypatch.setattr(exports, "_watched", watched)
    code, _, stderr = eugo("export", "create", "lab", "--to", str(target))
    assert code == 3
    assert "broke off" in stderr
    assert list(target.iterdir()) == []
