"""
The suite's tiers, as a pytest plugin: their order, their time, and which could not run.

Tests come in tiers, one folder below `tests/` each, cheapest first, so that a slip in a rule is
seen before a cluster starts. Those with a cluster come last and mixed: integration tests wait while
browsers compute. Otherwise the order stays random, but for files that take longest and go first:
run beside others, they must not be what is left at the end. A tier that this
machine cannot run is skipped, and the closing lines say by which command that changes. The
summary of pytest itself stays the last line of all.

A module and no object, because the workers of pytest-xdist load it by its name.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping

TIERS = ("house", "unit", "contract", "integration", "deploy", "browser")
_MIXED = {"browser": "integration", "deploy": "integration"}
"""Tiers that run among those of another."""

LONGEST = (
    "tests/browser/test_lives.py",
    "tests/integration/demo/test_demo.py",
    "tests/integration/devcluster/test_lifecycle.py",
    "tests/browser/test_sso.py",
    "tests/integration/hub/test_kills.py",
    "tests/browser/test_home_page.py",
    "tests/browser/test_export.py",
    "tests/integration/hub/test_entitlements.py",
    "tests/browser/test_spawn_page.py",
    "tests/integration/hub/test_start.py",
    "tests/integration/hub/test_forgery.py",
    "tests/integration/devcluster/test_pods.py",
    "tests/integration/hub/test_strategies.py",
    "tests/integration/hub/test_permissions.py",
    "tests/integration/demo/test_plain_user.py",
)
"""A minute or more each."""

UNAVAILABLE = "EUGO_TEST_UNAVAILABLE"
"""Variable: JSON of tier → what is missing and the command that enables it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that lets the slow tests run."""
    parser.addoption("--nightly", action="store_true", help="run the slow tests, too")


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    unavailable = json.loads(os.environ.get(UNAVAILABLE, "{}"))
    config.pluginmanager.register(Tiers(unavailable), "eugo-tiers")


class Tiers:
    """Knows to which tier a test belongs, and what each has cost."""

    def __init__(self, unavailable: Mapping[str, str]) -> None:
        """
        Skip the tiers in *unavailable*.

        Args:
            unavailable: Tier → what is missing and the command that enables it.
        """
        self._unavailable = unavailable
        self._seconds: dict[str, float] = defaultdict(float)
        self._tests: dict[str, set[str]] = defaultdict(set)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Put the tiers in order, after pytest-randomly has mixed the tests, and skip some."""
        items.sort(key=lambda item: rank(item.nodeid))
        for item in items:
            if item.get_closest_marker("nightly") and not config.getoption("--nightly"):
                item.add_marker(pytest.mark.skip(reason="slow: scripts/test --nightly runs it"))
            reason = self._unavailable.get(tier(item.nodeid))
            if reason is not None:
                item.add_marker(pytest.mark.skip(reason=reason))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Add up what a test cost, its fixtures included."""
        name = tier(report.nodeid)
        self._seconds[name] += report.duration
        self._tests[name].add(report.nodeid)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print one line for each tier that had tests."""
        terminalreporter.section("tiers")
        for name in sorted(self._tests, key=_position):
            line = f"{name:<12} {len(self._tests[name]):>5} tests {self._seconds[name]:>7.1f} s"
            missing = self._unavailable.get(name)
            terminalreporter.line(line + (f"  NOT RUN: {missing}" if missing else ""))


def tier(nodeid: str) -> str:
    """
    Return the tier of the test *nodeid*: the folder below `tests/`.

    >>> tier("tests/unit/scripts/test_ports.py::test_x")
    'unit'
    """
    parts = nodeid.partition("::")[0].split("/")
    return parts[1] if len(parts) > 2 and parts[0] == "tests" else "other"  # noqa: PLR2004


def rank(nodeid: str) -> tuple[int, int]:
    """Return where *nodeid* stands: by tier, unknown ones last, and the longest files first."""
    path, name = nodeid.partition("::")[0], tier(nodeid)
    longest = LONGEST.index(path) if path in LONGEST else len(LONGEST)
    return _position(_MIXED.get(name, name)), longest


def _position(name: str) -> int:
    return TIERS.index(name) if name in TIERS else len(TIERS)
