"""Who cannot open a workspace reads why and can ask for it; an admin's look is on record (F107, F110)."""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, MINUTE
from tests.browser.test_spawn_page import fits, has_no_violation
from tests.integration.hub.hubs import PYTORCH
from tests.integration.hub.test_entitlements import asked, change, entry

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


@pytest.fixture(scope="module")
def workspace(hub):
    """Bob's workspace runs; returns its address."""
    assert hub.start("bob", "shown", image=PYTORCH).status in {201, 202}
    hub.until_ready("bob", "shown")
    yield f"{hub.demo.ready['url']}/user/bob/shown/lab"
    hub.ask("DELETE", "/users/bob/servers/shown", {"remove": True})


@pytest.fixture
def opened(chromium, hub):
    contexts = []

    def sign_in(name, *, width=1280, scheme="light"):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme
        )
        contexts.append(context)
        page = context.new_page()
        passwords = {each["name"]: each["password"] for each in hub.demo.ready["users"]}
        password = passwords.get(name, passwords["alice"])  # any new name has the others'
        page.goto(f"{hub.demo.ready['url']}/hub/login")
        page.fill("#username_input", name)
        page.fill("#password_input", password)
        page.click("#login_submit")
        page.wait_for_url("**/hub/home")
        return page

    yield sign_in
    for context in contexts:
        context.close()


def aside(function, *arguments):
    """Call what runs a loop of its own: this thread has Playwright's."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *arguments).result()


def audit(hub, about):
    async def look(store):
        return [(each.actor, each.action) for each in await store.audit.lines(about=about)]

    return aside(asyncio.run, asked(hub, look))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_whose_it_is_not_reads_why_and_asks_for_it(hub, workspace, opened, width, scheme):
    page = opened("carol", width=width, scheme=scheme)
    page.goto(workspace)
    expect(page.get_by_role("heading", level=1)).to_have_text(
        "You have no access to this workspace"
    )
    page.screenshot(path=ARTIFACTS / f"no-access-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("button", name="Request access").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your request is on record")
    has_no_violation(page)
    page.goto(workspace)
    page.get_by_role("button", name="Request access").click()  # once a day is enough
    expect(page.get_by_role("heading", level=1)).to_have_text("Your request is on record")
    assert audit(hub, "workspace.bob/shown").count(("carol", "request-access")) == 1


def test_it_makes_no_difference_whether_it_exists(hub, opened):
    page = opened("carol")
    for place in ("bob/shown/lab", "bob/none/lab", "nobody/none/lab", "bob/"):
        answer = page.goto(f"{hub.demo.ready['url']}/hub/user/{place}")
        assert answer.status == 403
        expect(page.get_by_role("heading", level=1)).to_have_text(
            "You have no access to this workspace"
        )


def test_an_admin_says_that_they_look_and_it_is_on_record(hub, workspace, opened):
    page = opened("ada")
    page.goto(workspace)
    page.get_by_role("button", name="Authorize").click()
    page.wait_for_url("**/user/bob/shown/lab**", timeout=MINUTE)
    expect(page.locator("#jp-top-panel")).to_be_visible(timeout=2 * MINUTE)
    assert ("ada", "open") in audit(hub, "workspace.bob/shown")


def test_whose_account_is_suspended_reads_that(hub, workspace, opened):
    before = aside(entry, hub, "people", "bob")
    page = opened("bob")
    aside(change, hub, "people", "bob", {**before, "suspended": "the contract has ended"})
    try:
        page.goto(workspace)
        expect(page.get_by_role("heading", level=1)).to_have_text("Your account is suspended")
        expect(page.locator("main")).to_contain_text("The contract has ended.")
        has_no_violation(page)
    finally:
        aside(change, hub, "people", "bob", before)
    page.goto(workspace)
    page.wait_for_url("**/user/bob/shown/lab**", timeout=MINUTE)
    expect(page.locator("#jp-top-panel")).to_be_visible(timeout=2 * MINUTE)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_what_does_not_run_says_so_and_is_started_from_there(hub, opened, width, scheme):
    page = opened("alice", width=width, scheme=scheme)
    page.goto(f"{hub.demo.ready['url']}/user/alice/lab")
    expect(page.get_by_role("heading", level=1)).to_have_text("Your workspace does not run")
    page.screenshot(path=ARTIFACTS / f"not-running-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("link", name=re.compile("Start it")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace")
