"""Who leads an organization gives roles and invites, by keyboard, on any screen (F105, F111)."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, LOOKS
from tests.browser.test_access import opened  # noqa: F401 - a fixture
from tests.browser.test_spawn_page import fits, has_no_violation

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_people_can_be_looked_at(hub, opened, width, scheme):  # noqa: F811 - the fixture
    page = opened("alice", width=width, scheme=scheme)
    page.goto(f"{hub.demo.ready['url']}/services/quota/members")
    expect(page.get_by_role("heading", level=1)).to_have_text("People of Acme")
    page.screenshot(path=ARTIFACTS / f"members-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("link", name="bob").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Roles of bob")
    page.screenshot(path=ARTIFACTS / f"member-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)


def test_a_role_is_made_and_given_by_keyboard(hub, opened):  # noqa: F811 - the fixture
    page = opened("alice")
    page.goto(f"{hub.demo.ready['url']}/services/quota/")
    page.get_by_role("link", name="People").press("Enter")
    page.get_by_label("Key", exact=True).fill("launcher")
    page.get_by_label("Name", exact=True).fill("May start")
    for permission in ("View workspaces", "Create workspace"):
        page.get_by_label(permission).press("Space")
    page.get_by_label("Why").fill("a test")
    page.get_by_role("button", name="Save the role").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("It is saved")
    expect(page.get_by_role("table", name="Own roles")).to_contain_text("May start")
    page.get_by_role("link", name="bob").press("Enter")
    page.get_by_label("May start").press("Space")
    page.get_by_label("Why").fill("a test")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("table", name="People")).to_contain_text("Member, May start")
    page.get_by_role("link", name="bob").press("Enter")
    page.get_by_label("May start").press("Space")
    page.get_by_label("Why").fill("a test")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.get_by_role("table", name="People")).not_to_contain_text("Member, May start")


def test_somebody_is_invited_and_the_link_is_shown_once(hub, opened):  # noqa: F811 - the fixture
    page = opened("alice")
    page.goto(f"{hub.demo.ready['url']}/services/quota/members")
    page.get_by_label("E-mail").fill("jane@example.org")
    page.get_by_role("button", name="Invite").press("Enter")
    notice = page.get_by_role("status")
    expect(notice).to_contain_text("jane@example.org is invited.")
    expect(notice).to_contain_text(f"{hub.demo.ready['url']}/hub/eugo/invitation?token=")
    page.screenshot(path=ARTIFACTS / "members-invited.png", full_page=True)
    has_no_violation(page)
    page.get_by_role("button", name="Take back the invitation of jane@example.org").press("Enter")
    expect(page.get_by_role("status")).to_contain_text("taken back")
