import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.local import chromium, tiers

ROOT = Path(__file__).resolve().parents[3]


def test_cheap_tiers_come_first_and_those_with_a_cluster_mixed():
    mixed = [
        "tests/browser/test_a.py::x",
        "tests/integration/demo/test_b.py::x",
        "elsewhere/test_c.py::x",
        "tests/unit/test_d.py::x[a/b]",
        "tests/house/test_e.py::x",
        "tests/contract/test_f.py::x",
    ]
    order = [tiers.tier(nodeid) for nodeid in sorted(mixed, key=tiers.rank)]
    # Of the two with a cluster the one that was first in the random order.
    assert order == ["house", "unit", "contract", "browser", "integration", "other"]


SUITE = """
import pytest

@pytest.mark.nightly
def test_slow(): pass

def test_quick(): pass
"""


def test_the_longest_files_go_first_and_exist():
    assert all((ROOT / path).is_file() for path in tiers.LONGEST)
    first, last = (
        tiers.rank(f"{path}::x") for path in (tiers.LONGEST[0], "tests/integration/a.py")
    )
    assert first < last
    assert tiers.rank("tests/unit/a.py::x") < first


def outcome(folder, *options, unavailable):
    """Return what a small suite's run with the plugin says."""
    (folder / "tests" / "browser").mkdir(parents=True)
    (folder / "tests" / "browser" / "test_it.py").write_text(SUITE)
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = nightly: slow\n")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "scripts.local.tiers", "-p", "xdist.plugin"),
            *("-ra", *options),
        ],
        cwd=folder,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT),
            # The others are not looked at here, and take most of the time.
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            tiers.UNAVAILABLE: json.dumps(unavailable),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout


def test_slow_tests_run_only_when_asked_for(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "1 passed, 1 skipped" in outcome(tmp_path / "a", unavailable={})
    assert "2 passed" in outcome(tmp_path / "b", "--nightly", unavailable={})


def test_two_processes_count_together(tmp_path):
    said = outcome(tmp_path, "--nightly", "--numprocesses=2", unavailable={})
    (line,) = [line for line in said.splitlines() if line.startswith("browser ")]
    assert line.split()[1:3] == ["2", "tests"]


def test_a_tier_that_cannot_run_is_named_with_the_command_and_the_summary_stays_last(tmp_path):
    said = outcome(tmp_path, unavailable={"browser": "enable it with: get-one"}).splitlines()
    (line,) = [line for line in said if line.startswith("browser ")]
    assert line.endswith("NOT RUN: enable it with: get-one")
    assert "2 skipped" in said[-1]


@pytest.mark.parametrize(
    ("release", "command"),
    [
        ("ID=debian\nVERSION_ID=12", "apt-get install"),
        ("ID=ubuntu\nID_LIKE=debian", "playwright install"),
        ("", "playwright install"),
    ],
)
def test_the_command_that_gets_a_browser_fits_the_distribution(release, command):
    assert command in chromium.remedy(release)


def test_a_chromium_that_only_explains_itself_does_not_count(tmp_path, monkeypatch):
    stub = tmp_path / "chromium"
    stub.write_text("#!/bin/sh\necho 'Command requires the chromium snap'; exit 10\n")
    stub.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert chromium.find() is None


def test_the_browser_of_playwright_counts(tmp_path, monkeypatch):
    kept = tmp_path / "chromium-1200" / "chrome-linux64" / "chrome"
    kept.parent.mkdir(parents=True)
    kept.write_text("#!/bin/sh\necho Chromium 156\n")
    kept.chmod(0o755)
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    assert chromium.find() == kept
