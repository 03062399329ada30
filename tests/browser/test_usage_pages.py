"""
The pages of the quota service as people open them: from the hub's own bar, by keyboard, on a phone.

F98, F101, F102, L6, L11, and the screens "Quotas" and "Plans, windows, queues". Screenshots go to
test-artifacts.
"""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, sign_in
from tests.browser.test_spawn_page import fits, has_no_violation

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


def sign_in_ada(page, hub):
    password = next(each["password"] for each in hub.demo.ready["users"] if each["admin"])
    page.goto(f"{hub.demo.ready['url']}/hub/login")
    page.fill("#username_input", "ada")
    page.fill("#password_input", password)
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")


@pytest.fixture
def opened(chromium):
    contexts = []

    def open_context(**options):
        context = chromium.new_context(**options)
        contexts.append(context)
        return context.new_page()

    yield open_context
    for context in contexts:
        context.close()


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_somebody_who_is_warned_finds_their_usage_from_the_hubs_bar(hub, opened, width, scheme):
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    sign_in(page, hub, "bob")
    if width < 576:
        page.get_by_role("button", name="Toggle navigation").click()
    page.get_by_role("navigation").get_by_role("link", name="Usage").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Your usage")
    expect(page.locator("main")).to_contain_text("Nearly or wholly used up")
    expect(page.locator("main")).to_contain_text("of 160.00 GPU hours")
    expect(page.locator("figure svg")).to_have_attribute("role", "img")
    page.get_by_text("The same as a table").click()
    expect(page.get_by_role("table", name="GPU hours by day")).to_be_visible()
    page.screenshot(path=ARTIFACTS / f"usage-bob-{width}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("link", name="Vision").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage of the project Vision")
    has_no_violation(page)


def test_without_scripts_everything_is_there(hub, opened):
    page = opened(java_script_enabled=False)
    sign_in(page, hub, "alice")
    page.goto(f"{hub.demo.ready['url']}/services/quota/?organization=acme")
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage of Acme")
    page.goto(f"{hub.demo.ready['url']}/services/quota/?organization=umbrella")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is nothing here")
    expect(page.locator("main")).to_contain_text("or you may not see it")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_an_admin_tries_a_change_by_keyboard_and_takes_it_back(hub, opened, width, scheme):
    key = f"trial-{width}"
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    sign_in_ada(page, hub)
    page.goto(f"{hub.demo.ready['url']}/hub/admin")
    if width < 576:
        page.get_by_role("button", name="Toggle navigation").click()
    page.get_by_role("link", name="Plans and quotas").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Plans and quotas")
    has_no_violation(page)
    assert fits(page)
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.get_by_role("link", name="Plans and windows").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("img")).to_have_count(3)  # two calendars, and the hub's logo
    page.screenshot(path=ARTIFACTS / f"admin-plans-{width}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)

    page.goto(f"{hub.demo.ready['url']}/services/quota/admin/quotas")
    page.get_by_label("Key").focus()
    page.keyboard.type(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(key)
    page.get_by_label("The entry, in the words of catalog.yaml").focus()
    page.keyboard.type("user: nobody\ngpu_hours: many\nper: month")
    page.keyboard.press("Tab")
    page.keyboard.type("to see")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Save")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("'many' is no amount")
    expect(page.get_by_role("alert")).to_be_focused()
    page.screenshot(path=ARTIFACTS / f"admin-refused-{width}.png", full_page=True)
    has_no_violation(page)

    page.get_by_label("The entry, in the words of catalog.yaml").fill(
        "user: nobody\ngpu_hours: 8\nper: month"
    )
    page.get_by_role("button", name="Try it on the last 14 days").click()
    expect(page.get_by_role("status")).to_contain_text("It would have changed nothing.")
    has_no_violation(page)
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("table", name="How it stands")).to_contain_text("of 8.00 GPU hours")
    expect(page.get_by_role("table", name="Who did what")).to_contain_text("to see")
    page.screenshot(path=ARTIFACTS / f"admin-quota-{width}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)

    page.get_by_label("Why", exact=True).last.fill("it was a test")
    page.get_by_role("button", name=f"Remove {key}").click()
    expect(page.get_by_role("status")).to_have_text("The entry is removed.")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_an_admin_finds_in_the_audit_who_did_what(hub, user, opened, width, scheme):
    """F115."""
    what = f"workspace.{user}/"
    assert hub.start_light(user, profile="no-such-profile").status >= 400
    page = opened(viewport={"width": width, "height": 900}, color_scheme=scheme)
    sign_in_ada(page, hub)
    page.goto(f"{hub.demo.ready['url']}/services/quota/admin")
    page.get_by_role("link", name="Who did what").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Who did what")
    page.screenshot(path=ARTIFACTS / f"audit-all-{width}-{scheme}.png", full_page=True)
    page.get_by_label("To what").fill(what)
    page.get_by_label("Did").fill("refuse")
    page.keyboard.press("Enter")
    table = page.get_by_role("table", name="Who did what")
    expect(table.get_by_role("row")).to_have_count(2)  # with the heads
    expect(table.get_by_role("row").last).to_contain_text("profile-unknown")
    expect(page.get_by_label("Did")).to_have_value("refuse")
    page.screenshot(path=ARTIFACTS / f"audit-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    with page.expect_download() as download:
        page.get_by_role("link", name="as a table (CSV)").click()
    head, row = download.value.path().read_text("utf-8").splitlines()
    assert head == "\ufeffId,Time,Who,What,To what,Why,Detail"
    assert f",demo-admin,refuse,{what},profile-unknown," in row
