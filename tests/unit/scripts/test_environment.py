import subprocess
import sys

import pytest

from scripts.local import environment
from scripts.local.environment import Environment
from scripts.local.trouble import Trouble


@pytest.fixture
def checkout(tmp_path):
    """A checkout with an environment that stands, and no stamp."""
    (tmp_path / "uv.lock").write_text('[[package]]\nname = "uv"\nversion = "0.13.8"\n')
    (tmp_path / "pyproject.toml").write_text("")
    made = Environment(tmp_path)
    made.python.parent.mkdir(parents=True)
    made.python.symlink_to(sys.executable)
    (made.folder / "pyvenv.cfg").write_text("version = 3.12.1\n")
    return made


@pytest.fixture
def syncs(monkeypatch):
    """Count what would be installed, instead of installing it."""
    done = []
    monkeypatch.setattr(Environment, "_install_uv", lambda _: None)
    monkeypatch.setattr(Environment, "_sync", lambda _, groups: done.append(tuple(groups)))
    return done


def test_the_second_installation_starts_nothing(checkout, syncs):
    checkout.install(["demo", "node"])
    checkout.install(["demo", "node"])
    checkout.install(["demo"])
    assert syncs == [("demo", "node")]


def test_a_group_that_was_not_asked_for_before_is_installed(checkout, syncs):
    checkout.install(["demo"])
    checkout.install(["demo", "test"])
    assert syncs == [("demo",), ("demo", "test")]


@pytest.mark.parametrize("file", ["uv.lock", "pyproject.toml", ".venv/pyvenv.cfg"])
def test_what_decides_the_content_decides_whether_to_install(checkout, syncs, file):
    checkout.install(["demo"])
    (checkout.root / file).write_text("changed = 1")
    assert checkout.missing(["demo"]) == ("demo",)
    checkout.install(["demo"])
    assert len(syncs) == 2


def test_an_environment_whose_interpreter_has_gone_is_not_trusted(checkout, syncs):
    checkout.install(["demo"])
    assert syncs
    checkout.python.unlink()
    assert checkout.missing(["demo"]) == ("demo",)


def test_a_stamp_that_was_cut_short_counts_for_nothing(checkout, syncs):
    checkout.install(["demo"])
    stamp = checkout.share / "groups.json"
    stamp.write_text(stamp.read_text()[:-10])
    checkout.install(["demo"])
    assert len(syncs) == 2


def test_a_failed_installation_leaves_no_stamp(checkout, monkeypatch):
    monkeypatch.setattr(Environment, "_install_uv", lambda _: None)
    monkeypatch.setattr(Environment, "_sync", fail)
    with pytest.raises(Trouble):
        checkout.install(["demo"])
    assert checkout.missing(["demo"]) == ("demo",)


def fail(*_):
    raise Trouble(problem="No.", remedy="Nothing helps.")


def test_a_checkout_that_cannot_be_written_is_named_with_what_to_do(checkout, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", str(checkout.root / ".eugo"))

    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(Trouble, match=r"Cannot write to .*\.eugo: Permission denied\. .*clone it"):
        checkout.install(["demo"])


def test_the_version_of_uv_comes_from_the_lock_file(checkout):
    assert environment.locked_version(checkout.root / "uv.lock", "uv") == "0.13.8"


@pytest.mark.parametrize(
    "said",
    [
        "error sending request: dns error: failed to lookup address information",
        "Failed to establish a new connection: [Errno 101] Network is unreachable",
        "npm error code EAI_AGAIN",
        "ERROR: No matching distribution found for uv==0.13.8",
    ],
)
def test_without_a_network_one_line_says_so(said, capsys):
    command = [sys.executable, "-c", f"print({said!r}); raise SystemExit(2)"]
    with pytest.raises(Trouble, match=r"No package registry could be reached\. Check the network"):
        environment.download(command, {})
    assert capsys.readouterr().out == ""


def test_any_other_failure_shows_the_words_of_the_program(capsys):
    command = [sys.executable, "-c", "print('disk full'); raise SystemExit(3)"]
    with pytest.raises(Trouble, match="failed with exit code 3"):
        environment.download(command, {})
    assert "  disk full" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("Downloading jupyterlab (16.5MiB)", True),
        ("   Building eugo-workspaces @ file:///x", True),
        ("added 38 packages in 1s", True),
        (" + six==1.17.0", False),
        ("WARNING: Retrying (Retry(total=4))", False),
    ],
)
def test_progress_is_shown_and_lists_are_not(line, shown, capsys):
    environment.download([sys.executable, "-c", f"print({line!r})"], {})
    assert bool(capsys.readouterr().out) is shown


def test_two_installations_do_not_run_at_once(tmp_path):
    script = (
        "import sys, pathlib; from scripts.local.environment import Environment\n"
        "with Environment(pathlib.Path(sys.argv[1])).alone(): print('mine', flush=True); input()"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as first:
        assert first.stdout.readline() == "mine\n"
        with subprocess.Popen(command, **pipes) as second:
            assert second.stdout.readline().startswith("Another installation is under way")
            first.communicate("\n")
            assert second.stdout.readline() == "mine\n"
            second.communicate("\n")
