import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scripts.local import opener, processes


@pytest.fixture
def browser(tmp_path, monkeypatch):
    """A browser that writes down what it was asked to show, and by whom it was started."""
    program = tmp_path / "browser"
    program.write_text(
        f'#!/bin/sh\necho "$1" > {tmp_path}/shown.part\nmv {tmp_path}/shown.part {tmp_path}/shown\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{program} %s")
    return tmp_path / "shown"


def test_the_page_opens_when_the_demo_is_ready_and_not_before(browser, tmp_path):
    opener.cut_loose(tmp_path / "ready.json")
    time.sleep(0.5)
    assert not browser.exists()
    (tmp_path / "ready.part").write_text(json.dumps({"url": "http://127.0.0.1:8000"}))
    (tmp_path / "ready.part").rename(tmp_path / "ready.json")
    deadline = time.monotonic() + 10
    while not browser.exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert browser.read_text() == "http://127.0.0.1:8000\n"


@pytest.mark.usefixtures("browser")
def test_the_opener_and_its_browser_are_no_descendants_of_the_demo(tmp_path):
    before = set(processes.descendants(os.getpid()))
    opener.cut_loose(tmp_path / "ready.json")
    mine = [
        pid
        for pid in set(processes.descendants(os.getpid())) - before
        if b"opener.py" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    (tmp_path / "ready.json").write_text('{"url": ""}')  # lets it go
    assert mine == []


def test_it_gives_up_when_the_demo_is_gone(tmp_path):
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    opener.wait_and_open(tmp_path / "ready.json", ended.pid)
