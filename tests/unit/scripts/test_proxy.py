import json
import re
from pathlib import Path

import pytest

from scripts.local.environment import Environment
from scripts.local.proxy import PROXY
from scripts.local.tools import Node
from scripts.local.trouble import Trouble

SOURCES = Path(__file__).resolve().parents[3] / "scripts" / "proxy"


def an_npm(folder: Path, body: str) -> Node:
    """Return a Node whose npm is a shell script; it appends a line to `calls` each time."""
    npm = folder / "npm"
    npm.write_text(f'#!/bin/sh\necho "$@" >> {folder}/calls\n{body}\n')
    npm.chmod(0o755)
    return Node(executable=folder / "node", npm=(str(npm),))


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


@pytest.fixture
def environment(tmp_path):
    return Environment(tmp_path / "checkout")


@pytest.fixture(autouse=True)
def checkout(tmp_path):
    (tmp_path / "checkout").mkdir()


WORKS = f"mkdir -p {PROXY.script.parent} && touch {PROXY.script}"


def test_it_is_installed_once_from_the_lock_file_and_without_scripts_of_packages(
    environment, tmp_path
):
    for _ in range(2):
        PROXY.install(SOURCES, environment, node=an_npm(tmp_path, WORKS))
    (call,) = calls(tmp_path)
    assert call.startswith("ci ")
    assert "--ignore-scripts" in call
    assert PROXY.installed(environment.share).is_file()


def test_a_failed_installation_leaves_what_was_there(environment, tmp_path):
    PROXY.install(SOURCES, environment, node=an_npm(tmp_path, WORKS))
    (environment.share / "proxy" / "package-lock.json").write_text("an older one")
    with pytest.raises(Trouble):
        PROXY.install(SOURCES, environment, node=an_npm(tmp_path, f"{WORKS}; exit 1"))
    assert PROXY.installed(environment.share).is_file()
    assert [path.name for path in environment.share.iterdir()] == ["proxy"]


def test_another_lock_file_installs_anew(environment, tmp_path):
    PROXY.install(SOURCES, environment, node=an_npm(tmp_path, WORKS))
    (environment.share / "proxy" / "package-lock.json").write_text("an older one")
    PROXY.install(SOURCES, environment, node=an_npm(tmp_path, WORKS))
    assert len(calls(tmp_path)) == 2


def test_the_lock_file_names_no_host():
    assert "resolved" not in (SOURCES / "package-lock.json").read_text()


def test_versions_are_exact():
    wanted = json.loads((SOURCES / "package.json").read_text())["dependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
