"""
The demo's people, each with what design §4 says they see; F2, F38 to F41, F60, F98, F101, L6.

Screenshots go to test-artifacts.
"""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, NIGHTLY, open_form, sign_in
from tests.browser.test_spawn_page import fits, has_no_violation, outcome

pytestmark = [pytest.mark.cluster, pytest.mark.browser]

VISION = "?project=vision&profile=nb-gpu-h100&sm_percent=25"
SEEN = {
    "alice, whose L40S hours are used up": (
        "alice", "?profile=nb-gpu-l40s", "refused", ["40.00 of 40.00 L40S hours", "Used up"],
    ),
    "alice, whose H100 is open": (
        "alice", "?profile=nb-gpu-h100&root_shell=true", "starts", ["Plan: Research"],
    ),
    "alice, in the queue of the plan": (
        "alice", f"{VISION}&queue=research-high", "starts", ["the window of the plan closes then"],
    ),
    "bob, who is warned": ("bob", VISION, "starts", ["% used", "of 160.00 GPU hours"]),
    "bob, without a plan": ("bob", "", "starts", ["Plan: no plan"]),
    "carol, whose window is closed": (
        "carol", "?project=course&profile=nb-gpu-l4&sm_percent=50&queue=teaching", "refused",
        ["The default queue is always available", "models outside the plan"],
    ),
    "dave, whose organization is suspended": (
        "dave", "", "refused", ["a payment is overdue", "billing@initech.example"],
    ),
}  # fmt: skip


@pytest.mark.parametrize(("who", "query", "answer", "texts"), SEEN.values(), ids=SEEN.keys())
@pytest.mark.parametrize(
    ("width", "scheme"), [(1280, "light"), pytest.param(320, "dark", marks=NIGHTLY)]
)
def test_each_sees_what_they_may_and_why_not(
    hub, chromium, width, scheme, who, query, answer, texts
):
    context = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page = context.new_page()
    sign_in(page, hub, who)
    open_form(page, hub, who, query)
    outcome(page, answer)
    for text in texts:
        expect(page.locator("main")).to_contain_text(text)
    lacks_something = who == "dave"  # F11: said before the first field
    expect(page.locator("#eugo-missing")).to_have_count(1 if lacks_something else 0)
    page.screenshot(path=ARTIFACTS / f"people-{who}-{answer}-{width}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    context.close()


def test_an_offer_leads_from_a_closed_queue_to_the_default_one(hub, chromium):
    page = chromium.new_page()
    sign_in(page, hub, "carol")
    query = "?project=course&profile=nb-gpu-l4&sm_percent=50&queue=teaching"
    open_form(page, hub, "carol", query)
    outcome(page, "refused")
    page.click("#eugo-preflight-apply")
    outcome(page, "starts")
    expect(page.locator("#eugo-queue")).to_have_value("")
    page.close()


def test_another_project_offers_other_things_and_keeps_what_was_chosen(hub, chromium):
    page = chromium.new_page()
    sign_in(page, hub, "carol")
    open_form(page, hub, "carol", "?cpu=2&profile=nb-cpu-8")
    h100 = page.locator("input[name=gpu_model][value=H100]")
    expect(h100).to_be_enabled()
    page.locator("#eugo-projects").get_by_role("link", name="Course").click()
    expect(page.locator("#eugo-project")).to_have_value("course")
    expect(h100).to_be_disabled()
    expect(h100).to_be_hidden()  # behind the disclosure, with whom to ask
    expect(page.locator("#eugo-cpu")).to_have_value("2")
    expect(page.locator("input[name=profile][value=nb-cpu-8]")).to_be_checked()
    page.close()
