"""
The first minute of a new user, in a browser: sign in, a quarter of an H100, a cell, stop, start.

Screenshots go to test-artifacts.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, MINUTE, open_form, sign_in
from tests.integration.demo import demos
from tests.integration.devcluster.clusters import kubectl_of
from tests.integration.hub.hubs import Hub

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


@pytest.fixture(
    params=[
        "as whoever tests",
        # Each day it is tests/integration/demo/test_plain_user.py that shows that it works.
        pytest.param("as a plain user", marks=pytest.mark.nightly),
    ]
)
def anybodys_hub(request, hub):
    """A hub and cluster run by whoever runs the tests, and by a user without privileges."""
    if request.param == "as whoever tests":
        yield hub
        return
    request.getfixturevalue("embedded")
    with demos.started_by_plain_user() as demo:
        yield Hub(demo, kubectl_of(Path(demo.ready["kubeconfig"])))


@pytest.mark.usefixtures("free_gpus")
def test_a_new_user_works_on_a_quarter_of_an_h100_and_finds_the_file_again(anybodys_hub, chromium):
    hub = anybodys_hub
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    page = context.new_page()
    name = f"new-{uuid4().hex[:8]}"
    sign_in(page, hub, name)
    page.screenshot(path=ARTIFACTS / "home.png")
    open_form(page, hub, name)
    page.locator("input[name=profile][value=nb-gpu-h100]").check()
    page.fill("#eugo-sm_percent", "25")
    expect(page.get_by_text(re.compile(r"1 x 25 % = 0\.25"))).to_be_visible()
    page.screenshot(path=ARTIFACTS / "form-h100.png", full_page=True)
    page.click("#eugo-start")
    page.wait_for_timeout(1500)
    page.screenshot(path=ARTIFACTS / "starting.png")
    page.wait_for_url(f"**/user/{name}/lab**", timeout=2 * MINUTE, wait_until="commit")
    page.wait_for_selector(".jp-Launcher", timeout=2 * MINUTE)
    page.screenshot(path=ARTIFACTS / "lab.png")

    page.locator(".jp-LauncherCard[data-category=Notebook]").first.click()
    # Before it is idle a cell that is run is not run, and nobody says so.
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=MINUTE)
    cell = page.locator(".jp-Notebook .cm-content").first
    cell.click(timeout=MINUTE)
    page.keyboard.type(
        "import os; open('kept.txt','w').write(os.environ['CUDA_DEVICE_SM_LIMIT_0']); 'done'+'!'"
    )
    page.keyboard.press("Control+Enter")
    expect(page.get_by_text("done!")).to_be_visible(timeout=MINUTE)
    page.screenshot(path=ARTIFACTS / "cell.png")

    (pod,) = hub.objects("pods", name)
    labels = pod["metadata"]["labels"]
    assert labels["eugo.dev/gpu-model"] == "H100"
    assert labels["eugo.dev/effective-gpus"] == "0.25"
    assert pod["spec"]["resourceClaims"][0]["resourceClaimTemplateName"]
    (device,) = devices_of(hub, name)
    assert device["consumedCapacity"]["cores"] == "25"

    page.goto(f"{hub.demo.ready['url']}/hub/home")
    page.get_by_role("button", name=re.compile("^Stop ")).click()
    expect(page.get_by_role("table", name="Workspaces")).to_contain_text("Stopped", timeout=MINUTE)
    hub.until(lambda: not hub.objects("pods,resourceclaims", name), "something is left")
    page.get_by_role("link", name=re.compile("^Change ")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace")
    expect(page.locator("#eugo-sm_percent")).to_have_value("25")  # as chosen the last time
    page.click("#eugo-start")
    page.wait_for_url(f"**/user/{name}/lab**", timeout=2 * MINUTE, wait_until="commit")
    expect(page.locator(".jp-DirListing-item", has_text="kept.txt")).to_be_visible(
        timeout=2 * MINUTE
    )
    page.screenshot(path=ARTIFACTS / "again.png")
    assert hub.run_inside(name, "cat", "/home/user/kept.txt") == "25"
    hub.stop(name)
    hub.until(lambda: not hub.objects("pods,resourceclaims", name), "something is left")
    context.close()


def devices_of(hub, name: str) -> list[dict[str, Any]]:
    (claim,) = hub.objects("resourceclaims", name)
    found: list[dict[str, Any]] = claim["status"]["allocation"]["devices"]["results"]
    return found


def test_the_form_works_without_javascript_and_shows_errors_beside_their_fields(hub, chromium):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    name = f"nojs-{uuid4().hex[:8]}"
    sign_in(page, hub, name)
    open_form(page, hub, name)
    page.locator("input[name=profile][value=nb-gpu-l40s]").check()
    page.fill("#eugo-gpu_count", "3")  # the browser itself lets this pass
    page.click("#eugo-start")
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("no node has more than 2")
    field = page.locator("#eugo-gpu_count")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_have_value("3")
    page.screenshot(path=ARTIFACTS / "form-error.png", full_page=True)
    context.close()
