"""
The page while a workspace starts: what it waits for, Cancel, and why it failed (F19, F25, F26).

The one A100 of the cluster is held by somebody, so a second start waits as long as the test wants.
"""

from __future__ import annotations

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import ARTIFACTS, MINUTE
from tests.browser.test_spawn_page import fits, has_no_violation

pytestmark = [pytest.mark.cluster, pytest.mark.browser]

WAITING = re.compile("Waiting for 1 × NVIDIA A100")


@pytest.fixture(scope="module")
def taken(hub):
    """Somebody holds the A100."""
    holder = hub.new_user()
    hub.start_light(holder, profile="gpu-a100-1x")
    hub.until_ready(holder)
    yield
    hub.stop(holder)


def start_and_wait(page: Page) -> None:
    page.locator("input[name=profile][value=gpu-a100-1x]").check()
    expect(page.locator("#eugo-preflight-title")).to_have_text("It would wait", timeout=15_000)
    page.click("#eugo-start")
    page.wait_for_url("**/hub/spawn-pending/**", timeout=MINUTE)
    expect(page.locator("#eugo-message")).to_have_text(WAITING, timeout=MINUTE)


@pytest.mark.usefixtures("taken")
@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (320, "dark")])
def test_it_says_what_it_waits_for_and_then_why_it_failed_accessibly(hub, visit, width, scheme):
    page, name = visit(hub, width=width, scheme=scheme)
    start_and_wait(page)
    page.screenshot(path=ARTIFACTS / f"pending-{width}-{scheme}.png", full_page=True)
    expect(page.locator("#eugo-steps li")).to_have_count(6)
    expect(page.locator('#eugo-steps [aria-current="step"]')).to_contain_text("Compute resources")
    has_no_violation(page)
    assert fits(page)

    hub.kubectl("delete", "pod", "-n", "eugo", f"jupyter-{name}")
    expect(page.locator("#eugo-pending-heading")).to_have_text(
        "Your workspace did not start", timeout=MINUTE
    )
    expect(page.locator("#eugo-failure")).to_be_focused()
    expect(page.locator("#eugo-cause")).to_contain_text("stopped from outside")
    expect(page.locator('#eugo-steps [data-state="failed"]')).to_contain_text("Compute resources")
    page.screenshot(path=ARTIFACTS / f"failed-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("link", name="Change the options").click()
    expect(page.locator("input[name=profile][value=gpu-a100-1x]")).to_be_checked()


@pytest.mark.usefixtures("taken")
def test_after_two_minutes_it_names_what_it_still_waits_for(hub, visit):
    """The clock is the browser's: it is set forward, nobody waits (F26)."""
    page, name = visit(hub)
    page.clock.install()
    start_and_wait(page)
    expect(page.locator("#eugo-waiting")).to_be_hidden()
    page.clock.fast_forward("02:05")
    expect(page.locator("#eugo-waiting")).to_be_visible()
    expect(page.locator("#eugo-waiting-for")).to_have_text(WAITING)
    expect(page.locator("#eugo-elapsed")).to_contain_text("2 min")
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace", timeout=MINUTE)
    hub.until(lambda: not hub.objects("pods,resourceclaims", name), "something is left")


@pytest.mark.usefixtures("taken")
def test_cancel_works_without_javascript(hub, visit):
    page, name = visit(hub, java_script_enabled=False)
    page.locator("input[name=profile][value=gpu-a100-1x]").check()
    page.click("#eugo-start")
    page.wait_for_url("**/hub/spawn-pending/**", timeout=MINUTE)
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace", timeout=MINUTE)
    hub.until(lambda: not hub.objects("pods,resourceclaims", name), "something is left")
