import pytest

from scripts.local import chromium, tiers


def test_cheap_tiers_come_first():
    mixed = [
        "tests/browser/test_a.py::x",
        "tests/integration/demo/test_b.py::x",
        "elsewhere/test_c.py::x",
        "tests/unit/test_d.py::x[a/b]",
        "tests/house/test_e.py::x",
        "tests/contract/test_f.py::x",
    ]
    order = [tiers.tier(nodeid) for nodeid in sorted(mixed, key=tiers.rank)]
    assert order == ["house", "unit", "contract", "integration", "browser", "other"]


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
