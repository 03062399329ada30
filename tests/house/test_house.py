"""
The house is in order: linters, types, import contracts, spelling, documentation.

Each check is the command that a developer would type, run in the checkout; its words are shown when
it fails. They are tests so that one summary tells everything, and stand apart from `tests/unit`
because they take seconds each and look at all files at once.
"""

import sys
from pathlib import Path

import pytest

from tests.house.commands import ROOT, run

TOOLS = Path(sys.executable).parent

CHECKS = {
    "ruff finds nothing": ["ruff", "check", "."],
    "ruff would format nothing": ["ruff", "format", "--check", "."],
    "the packages are typed": ["mypy"],
    "the scripts are typed": ["mypy", "scripts"],
    "imports keep the contracts": ["lint-imports"],
    "words are spelled right": ["codespell"],
    "YAML is tidy": ["yamllint", "--strict", "."],
}


@pytest.mark.parametrize("command", CHECKS.values(), ids=CHECKS.keys())
def test_check(command):
    run(str(TOOLS / command[0]), *command[1:], MYPYPATH="scripts")


@pytest.mark.parametrize("script", ["demo", "test", "find-python.sh", "../.ci/run"])
def test_shell_script_parses(script):
    run("sh", "-n", str(ROOT / "scripts" / script))


@pytest.mark.skipif(not (ROOT / "docs" / "conf.py").exists(), reason="there is no documentation")
def test_documentation_builds_without_a_warning(tmp_path):
    built = str(tmp_path / "html")
    run(str(TOOLS / "sphinx-build"), "-W", "--keep-going", "-q", "-b", "html", "docs", built)
