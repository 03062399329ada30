import importlib
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = ROOT / "scripts"


@pytest.fixture
def bootstrap(monkeypatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    return importlib.import_module("bootstrap")


@pytest.mark.parametrize("has_go", [True, False])
@pytest.mark.parametrize("has_node", [True, False])
def test_compilers_and_interpreters_come_as_wheels_only_where_there_are_none(
    bootstrap, monkeypatch, has_go, has_node
):
    monkeypatch.setattr(bootstrap.tools, "has_go", lambda *_, **__: has_go)
    monkeypatch.setattr(bootstrap.tools, "has_node", lambda *_, **__: has_node)
    groups = bootstrap.groups_for("demo", path="", environment=bootstrap.Environment(ROOT))
    assert groups[0] == "demo"
    assert ("go" in groups) is not has_go
    assert ("node" in groups) is not has_node


def test_every_group_is_one_of_the_project(bootstrap):
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    wanted = {group for groups in bootstrap.GROUPS.values() for group in groups} | {"go", "node"}
    assert wanted <= set(known)


def test_help_answers_before_anything_is_installed(tmp_path):
    """The standard library is enough: -S and -I leave nothing else."""
    code = (
        f"import sys; sys.path.insert(0, {str(SCRIPTS)!r}); "
        "import bootstrap; bootstrap.main('demo', ['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: scripts/demo")


@pytest.mark.parametrize("word", ["eight", "-1", "65536", "８000"])
def test_a_port_that_is_none_is_refused_before_anything_is_installed(word):
    done = subprocess.run(
        [SCRIPTS / "demo", f"--port={word}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert f"'{word}' is not a port number" in done.stderr


def find_python(tmp_path, *, path: str) -> subprocess.CompletedProcess:
    """Run find-python.sh as a script that stands in a checkout without an environment would."""
    (tmp_path / "scripts").mkdir(exist_ok=True)
    script = f'here={tmp_path}/scripts; . "{SCRIPTS}/find-python.sh"; echo "$python"'
    return subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": path}, capture_output=True, text=True, check=False
    )


def a_python(folder: Path, name: str, *, works: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\nexit {0 if works else 1}\n")
    (folder / name).chmod(0o755)


def test_the_newest_python_that_runs_is_taken(tmp_path):
    a_python(tmp_path / "bin", "python3.14", works=False)  # e.g. a shim of an unselected version
    a_python(tmp_path / "bin", "python3.12", works=True)
    a_python(tmp_path / "bin", "python3", works=True)
    assert find_python(tmp_path, path=f"{tmp_path}/bin").stdout == "python3.12\n"


def test_the_python_of_the_environment_goes_first(tmp_path):
    a_python(tmp_path / ".venv" / "bin", "python", works=True)
    a_python(tmp_path / "bin", "python3.14", works=True)
    found = find_python(tmp_path, path=f"{tmp_path}/bin").stdout
    assert Path(found.strip()).resolve() == tmp_path / ".venv" / "bin" / "python"


def test_a_machine_without_python_311_is_told_in_one_line(tmp_path):
    a_python(tmp_path / "bin", "python3", works=False)
    done = find_python(tmp_path, path=f"{tmp_path}/bin")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3 python3-venv" in done.stderr
