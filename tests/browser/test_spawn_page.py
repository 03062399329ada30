"""
The spawn page as people use it: pre-flight, keyboard, narrow, dark, and what must never run.

F40 to F45, F52, L2, L16. Screenshots go to test-artifacts.
"""

from __future__ import annotations

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import ARTIFACTS, MINUTE

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


def has_no_violation(page: Page) -> None:
    """What axe finds once every colour is what it is going to be: nothing fades meanwhile."""
    page.emulate_media(reduced_motion="reduce")
    results = Axe().run(page)
    assert results.violations_count == 0, results.generate_report()


def fits(page: Page) -> bool:
    """Whether nothing has to be scrolled sideways (WCAG 1.4.10)."""
    wide: bool = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    return not wide


def pick(page: Page, profile: str) -> None:
    page.locator(f"input[name=profile][value={profile}]").check()


def outcome(page: Page, expected: str):
    return expect(page.locator("#eugo-preflight")).to_have_attribute(
        "data-outcome", expected, timeout=15_000
    )


@pytest.mark.parametrize(
    ("width", "scheme"),
    [
        (1280, "light"),
        (320, "dark"),
        *(
            pytest.param(*each, marks=pytest.mark.nightly)
            for each in ((1280, "dark"), (320, "light"))
        ),
        *(pytest.param(390, each, marks=pytest.mark.nightly) for each in ("light", "dark")),
    ],
)
def test_the_form_is_accessible_and_fits_in_every_state(hub, visit, width, scheme):
    page, _ = visit(hub, width=width, scheme=scheme)
    outcome(page, "starts")
    page.screenshot(path=ARTIFACTS / f"form-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)

    page.fill("#eugo-cpu", "999")
    page.click("#eugo-volume-add")
    page.fill("#eugo-volume_claim-1", "a-very-long-name-of-a-volume-that-wraps")
    page.fill("#eugo-volume_path-1", "/etc")
    outcome(page, "refused")
    page.screenshot(path=ARTIFACTS / f"form-refused-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)

    page.click("#eugo-start")
    expect(page.get_by_role("alert")).to_be_focused()
    page.screenshot(path=ARTIFACTS / f"form-error-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)


def test_the_answer_follows_what_is_chosen_and_an_offer_is_applied_with_one_click(hub, visit):
    page, name = visit(hub)
    outcome(page, "starts")
    expect(page.locator("#eugo-preflight-facts")).to_contain_text("none")
    pick(page, "nb-gpu-h100")
    page.fill("#eugo-sm_percent", "25")
    expect(page.locator("#eugo-preflight-facts")).to_contain_text("0.25")

    page.locator("#eugo-sm_slider").fill("40")
    expect(page.locator("#eugo-sm_percent")).to_have_value("40")
    expect(page.locator("#eugo-preflight-facts")).to_contain_text("0.40")
    page.check("#eugo-exclusive")
    expect(page.locator("#eugo-sm_percent")).to_have_value("100")
    expect(page.locator("#eugo-sm_slider")).to_have_value("100")

    page.fill("#eugo-gpu_count", "3")
    page.fill("#eugo-cpu", "999")
    outcome(page, "refused")
    reasons = page.locator("#eugo-preflight-refusals li")
    expect(reasons).to_have_count(2)
    reasons.filter(has_text="no node has more than 2").get_by_role("link").click()
    expect(page.locator("#eugo-gpu_count")).to_be_focused()
    page.click("#eugo-preflight-apply")
    expect(page.locator("#eugo-gpu_count")).to_have_value("2")
    expect(page.locator("#eugo-cpu")).to_have_value("16")
    expect(page.locator("input[name=profile][value=nb-gpu-h100]")).to_be_checked()
    outcome(page, "starts")
    expect(page.locator("#eugo-start")).to_be_focused()
    assert hub.objects("pods,resourceclaims", name) == []


def test_settings_are_copied_and_a_taken_name_is_offered_with_an_ending(hub, visit):
    """F3 and F36, from the page."""
    page, name = visit(hub)
    hub.start_light(name, "first", profile="nb-cpu-8", cpu="3", name="Team <b>data</b>")
    try:
        page.goto(f"{hub.demo.ready['url']}/hub/spawn/{name}/second")
        page.locator("#eugo-copies").get_by_role("link", name="Team <b>data</b>").click()
        expect(page.locator("input[name=profile][value=nb-cpu-8]")).to_be_checked()
        expect(page.locator("#eugo-cpu")).to_have_value("3")
        expect(page.locator("#eugo-name")).to_have_value("")
        page.fill("#eugo-name", "TEAM <B>data</B>")
        outcome(page, "refused")
        expect(page.locator("#eugo-preflight-refusals")).to_contain_text(
            "This name is already in use in Personal project"
        )
        has_no_violation(page)
        page.screenshot(path=ARTIFACTS / "form-name-taken.png", full_page=True)
        page.click("#eugo-preflight-apply")
        expect(page.locator("#eugo-name")).to_have_value("TEAM <B>data</B>-2")
        outcome(page, "starts")
    finally:
        hub.stop(name, "first")


def test_applying_an_offer_replaces_the_volumes_as_a_whole(hub, visit):
    page, _ = visit(hub)
    page.click("#eugo-volume-add")
    page.fill("#eugo-volume_claim-1", "data")
    page.fill("#eugo-volume_path-1", "/mnt/data")
    page.click("#eugo-volume-add")
    page.fill("#eugo-volume_claim-2", "evil")
    page.fill("#eugo-volume_path-2", "/etc")
    outcome(page, "refused")
    page.click("#eugo-preflight-apply")
    expect(page.locator("#eugo-volumes .eugo-volume")).to_have_count(1)
    expect(page.locator("#eugo-volume_claim-1")).to_have_value("data")
    outcome(page, "starts")


def test_a_link_only_prefills(hub, visit):
    page, name = visit(hub, query="?profile=nb-gpu-l4&sm_percent=50&utm=1")
    expect(page.locator("input[name=profile][value=nb-gpu-l4]")).to_be_checked()
    expect(page.locator("#eugo-sm_percent")).to_have_value("50")
    assert hub.objects("pods", name) == []


def test_the_copied_link_prefills_the_same_selection(hub, visit):
    page, _ = visit(hub, permissions=["clipboard-read", "clipboard-write"])
    pick(page, "nb-gpu-l40s")
    page.fill("#eugo-sm_percent", "30")
    page.click("#eugo-copy")
    expect(page.locator("#eugo-copy")).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert "_xsrf" not in link
    page.goto(link)
    expect(page.locator("input[name=profile][value=nb-gpu-l40s]")).to_be_checked()
    expect(page.locator("#eugo-sm_percent")).to_have_value("30")


def test_a_hub_that_does_not_answer_is_said_to_be_so_and_the_form_still_works(hub, visit):
    page, _ = visit(hub)
    page.route("**/eugo/preflight/**", lambda route: route.abort())
    pick(page, "nb-cpu-2")
    outcome(page, "unknown")
    expect(page.locator("#eugo-preflight-sentence")).to_contain_text("judged when you press Start")
    expect(page.locator("#eugo-start")).to_be_enabled()


def test_everything_can_be_done_by_keyboard(hub, visit):
    page, name = visit(hub)
    page.keyboard.press("Tab")
    expect(page.locator(".eugo-skip")).to_be_focused()
    page.keyboard.press("Enter")

    def tab_to(identifier: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("document.activeElement.id") == identifier:
                return
        pytest.fail(f"{identifier} is not reached by Tab")

    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "profile":
            break
    while page.evaluate("document.activeElement.value") != "nb-gpu-l4":
        page.keyboard.press("ArrowDown")
    tab_to("eugo-sm_percent")
    page.keyboard.type("30")
    tab_to("eugo-sm_slider")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#eugo-sm_percent")).to_have_value("29")
    tab_to("eugo-volume-add")
    page.keyboard.press("Enter")
    expect(page.locator("#eugo-volume_claim-1")).to_be_focused()
    page.keyboard.type("data")
    page.keyboard.press("Tab")
    page.keyboard.type("/mnt/data")
    tab_to("eugo-start")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/user/{name}/lab**", timeout=2 * MINUTE, wait_until="commit")
    (claim,) = hub.objects("resourceclaims", name)
    (device,) = claim["status"]["allocation"]["devices"]["results"]
    assert device["consumedCapacity"]["cores"] == "29"
    assert hub.run_inside(name, "sh", "-c", "cd /mnt/data && echo fine") == "fine\n"
    hub.stop(name)


def test_nothing_runs_in_the_page_but_the_hub_s_own_scripts(hub, visit):
    page, name = visit(hub)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.reload()
    outcome(page, "starts")
    page.click("#dark-theme-toggle")  # the hub's own script works
    expect(page.locator("html")).to_have_attribute("data-bs-theme", re.compile("dark|light"))
    assert [text for text in said if "Content Security Policy" in text] == []
    page.evaluate(
        """() => {
            const script = document.createElement("script");
            script.textContent = "window.injected = true";
            document.body.append(script);
            document.body.insertAdjacentHTML("beforeend", "<img src=x onerror='window.injected = true'>");
        }"""
    )
    page.wait_for_timeout(500)
    assert page.evaluate("window.injected") is None
    answer = page.request.get(f"{hub.demo.ready['url']}/hub/spawn/{name}")
    assert "unsafe-inline" not in answer.headers["content-security-policy"]
