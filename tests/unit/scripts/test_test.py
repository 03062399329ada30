import importlib.util
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def entry(monkeypatch):
    """`scripts/test.py`, whose name is also that of a package of the standard library."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    spec = importlib.util.spec_from_file_location("test_entry", ROOT / "scripts" / "test.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_paths_mean_what_they_mean_in_the_folder_of_the_caller(entry, tmp_path):
    (tmp_path / "test_x.py").touch()
    given = ["test_x.py", "test_x.py::test_y[a]", "-k", "test_x.py", "--nightly", "-x"]
    assert entry.pytest_arguments(given, folder=tmp_path) == [
        f"{tmp_path}/test_x.py",
        f"{tmp_path}/test_x.py::test_y[a]",
        "-k",
        "test_x.py",
        "--nightly",
        "-x",
    ]


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"EUGO_GO_CACHE": "/warm", "XDG_CACHE_HOME": "/c"}, "/warm"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/eugo/go"),
    ],
)
def test_compiled_go_packages_are_kept_where_the_user_says(entry, variables, folder):
    assert entry.go_cache(variables) == folder


def test_ci_runs_scripts_test_and_nothing_else():
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert len(commands) == 1
    assert "scripts/test" in commands[0]


@pytest.mark.parametrize(
    ("arguments", "cores", "kubeconfig", "parallel"),
    [
        ([], 2, "", True),
        (["--nightly", "-x", "--durations=9"], 8, "", True),
        (["-n4"], 8, "", False),
        (["tests/unit"], 2, "", False),
        (["-k", "x"], 2, "", False),
        ([], 1, "", False),
        ([], 2, "/some/file", False),
    ],
)
def test_only_a_whole_suite_runs_in_several_processes(
    entry, monkeypatch, arguments, cores, kubeconfig, parallel
):
    monkeypatch.setattr(entry.os, "cpu_count", lambda: cores)
    monkeypatch.setenv("EUGO_TEST_KUBECONFIG", kubeconfig)
    assert bool(entry.workers(arguments)) is parallel


@pytest.mark.parametrize(("gibibytes", "processes"), [(2, 1), (8, 1), (12, 2), (16, 3), (256, 3)])
def test_there_are_as_many_as_there_is_memory_for(entry, gibibytes, processes):
    assert entry.processes(gibibytes * 2**30) == processes
