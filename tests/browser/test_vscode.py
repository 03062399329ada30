"""
The real VS Code in a workspace of the demo (F4, F8), where `scripts/demo --vscode` installed it.

What the hub does for it is tried everywhere with a program in its place:
`tests/integration/hub/test_editors.py`.
"""

from __future__ import annotations

import sys
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from scripts.local import code_server
from scripts.local.environment import Environment
from tests.browser.conftest import ARTIFACTS, MINUTE, open_form, sign_in
from tests.integration.demo import demos
from tests.integration.devcluster.clusters import ROOT, kubectl_of
from tests.integration.hub.hubs import Hub

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.browser,
    pytest.mark.nightly,
    pytest.mark.skipif(
        not code_server.is_installed(Environment(ROOT).share) or sys.platform != "linux",
        reason="VS Code is not installed: scripts/demo --vscode installs it",
    ),
]


@pytest.mark.usefixtures("embedded")
def test_vs_code_shows_the_file_that_jupyterlab_wrote_and_no_assistant(chromium, tmp_path):
    with demos.started(data=tmp_path / "demo", cwd=tmp_path) as demo:
        hub = Hub(demo, kubectl_of(Path(demo.ready["kubeconfig"])))
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page, name = context.new_page(), f"new-{uuid4().hex[:8]}"
        sign_in(page, hub, name)
        hub.start(name, profile="code", kind="jupyterlab")
        hub.until_ready(name)
        hub.run_inside(name, "sh", "-c", "echo 1 > $HOME/from-lab.txt")
        hub.stop(name)

        open_form(page, hub, name)
        page.locator("input[name=profile][value=code]").check()
        page.locator("input[name=kind][value='']").check()  # the profile's own: VS Code
        page.click("#eugo-start")
        page.wait_for_url(f"**/user/{name}/**", timeout=2 * MINUTE, wait_until="commit")
        page.wait_for_selector(".monaco-workbench", timeout=2 * MINUTE)
        expect(page.get_by_role("treeitem", name="from-lab.txt")).to_be_visible(timeout=MINUTE)
        expect(page.get_by_text("Build with Agent")).to_have_count(0)
        side_bar = page.locator(".part.auxiliarybar")  # the assistant's: empty without one
        expect(side_bar).not_to_be_visible()
        page.screenshot(path=ARTIFACTS / "vscode.png")
        processes = hub.run_inside(name, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
        assert "code-server" in processes
        assert "copilot" not in processes
        context.close()


@pytest.mark.usefixtures("embedded")
def test_vs_code_runs_as_root_on_a_home_in_use_and_afterwards_as_its_owner_again(
    chromium, tmp_path
):
    """F38: root there has no capabilities, so what the owner keeps to itself is closed to it."""
    with demos.started(data=tmp_path / "demo", cwd=tmp_path) as demo:
        hub = Hub(demo, kubectl_of(Path(demo.ready["kubeconfig"])))
        context = chromium.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        sign_in(page, hub, "alice")
        for turn, root_shell in enumerate((False, True, False)):
            answer = hub.start("alice", profile="code", root_shell=root_shell)
            assert answer.status in {201, 202}, answer.message
            hub.until_ready("alice")
            page.goto(f"{demo.ready['url']}/user/alice/", wait_until="commit")
            page.wait_for_selector(".monaco-workbench", timeout=2 * MINUTE)
            for before in range(turn):
                expect(page.get_by_role("treeitem", name=f"turn-{before}")).to_be_visible()
            hub.run_inside("alice", "sh", "-c", f"id -u > ~/turn-{turn}")
            if not root_shell:
                hub.run_inside("alice", "chmod", "-R", "go=", "/home/user/.local")
            hub.stop("alice")
            hub.until(lambda: not hub.objects("pods", "alice"), "the Pod stays")
        context.close()
