"""The page of one's workspaces: what a role does not let one do is there, barred, and says who can (F105)."""

import pytest
from playwright.sync_api import expect

from eugospawner.policy.roles import PERMISSIONS
from tests.browser.conftest import ARTIFACTS, LOOKS, MINUTE
from tests.browser.test_access import aside, opened  # noqa: F401 - a fixture
from tests.browser.test_spawn_page import fits, has_no_violation
from tests.integration.hub.test_entitlements import change, entry

pytestmark = [pytest.mark.cluster, pytest.mark.browser]

#: Permission → the buttons that it bars, while a workspace does not run and another does.
BUTTONS = {
    "create": ["Create workspace …"],
    "deploy": ["Start"],
    "access": ["Open"],
    "terminate": ["Delete", "Terminate", "Delete", "Terminate"],
}

HANA = {"organization": "acme"}


@pytest.fixture(scope="module")
def workspaces(hub):
    """Hana, of whom no other test knows, has a workspace that runs and one that does not."""
    hub.ask("POST", "/users/hana")
    aside(change, hub, "people", "hana", HANA)
    for server in ("home-up", "home-down"):
        assert hub.start_light("hana", server).status in {201, 202}
        hub.until_ready("hana", server)
    hub.ask("DELETE", "/users/hana/servers/home-down", {"remove": False})
    hub.until(lambda: not hub.server("hana", "home-down").get("pending"), "it does not stop")
    yield
    for server in ("home-up", "home-down"):
        hub.ask("DELETE", f"/users/hana/servers/{server}", {"remove": True})


@pytest.fixture
def hana(hub):
    """Return a function that has Hana have all permissions but one; put back afterwards."""
    acme = aside(entry, hub, "organizations", "acme")

    def lacks(permission):
        made = {
            "display_name": "Most",
            "permissions": [each for each in PERMISSIONS if each != permission],
        }
        aside(change, hub, "organizations", "acme", {**acme, "roles": {"most": made}})
        aside(change, hub, "people", "hana", {**HANA, "role": "most"})

    yield lacks
    aside(change, hub, "people", "hana", HANA)
    aside(change, hub, "organizations", "acme", acme)


@pytest.mark.usefixtures("workspaces")
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_can_be_looked_at(opened, width, scheme):  # noqa: F811 - the fixture
    page = opened("hana", width=width, scheme=scheme)
    table = page.get_by_role("table", name="Workspaces")
    expect(table).to_contain_text("home-up")
    expect(table).to_contain_text("Notebook, small · JupyterLab")
    assert page.locator("[aria-disabled=true]").count() == 0
    page.screenshot(path=ARTIFACTS / f"home-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)


@pytest.mark.usefixtures("workspaces")
@pytest.mark.parametrize("permission", BUTTONS)
def test_a_permission_that_is_taken_away_bars_its_button_and_no_other(hana, opened, permission):  # noqa: F811
    page = opened("hana")
    hana(permission)
    page.reload()
    barred = page.locator("[aria-disabled=true]")
    expect(barred).to_have_text(BUTTONS[permission])
    described = page.locator(f"#{barred.first.get_attribute('aria-describedby')}")
    expect(described).to_contain_text("Ask an organization admin, an organization owner")
    page.screenshot(path=ARTIFACTS / f"home-without-{permission}.png", full_page=True)
    has_no_violation(page)


@pytest.mark.usefixtures("workspaces")
def test_who_may_not_view_sees_no_workspace(hana, opened):  # noqa: F811 - the fixture
    page = opened("hana")
    hana("view")
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("My workspaces")
    expect(page.get_by_role("table")).to_have_count(0)
    expect(page.locator("main")).to_contain_text("“View workspaces”")


@pytest.mark.usefixtures("workspaces")
def test_a_workspace_is_stopped_and_deleted_by_keyboard(hub, opened):  # noqa: F811 - the fixture
    page = opened("hana")
    assert hub.start_light("hana", "home-gone").status in {201, 202}
    hub.until_ready("hana", "home-gone")
    page.reload()
    page.get_by_role("button", name="Stop home-gone").press("Enter")
    row = page.get_by_role("row").filter(has_text="home-gone")
    expect(row).to_contain_text("Stopped by its owner", timeout=MINUTE)
    menu = page.locator('summary[aria-label="More for home-gone"]')
    menu.press("Enter")
    page.get_by_role("button", name="Delete home-gone").press("Enter")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Delete home-gone?")
    page.keyboard.press("Escape")  # keeps it
    expect(page.get_by_role("table")).to_contain_text("home-gone")
    page.get_by_role("button", name="Delete home-gone").press("Enter")
    dialog.get_by_role("button", name="Delete").press("Enter")
    expect(page.get_by_role("table")).not_to_contain_text("home-gone", timeout=MINUTE)
    assert hub.server("hana", "home-gone") == {}


def test_what_the_hub_refuses_is_told(hub, opened, hana):  # noqa: F811 - the fixture
    page = opened("hana")
    assert hub.start_light("hana", "home-kept").status in {201, 202}
    hub.until_ready("hana", "home-kept")
    hub.ask("DELETE", "/users/hana/servers/home-kept", {"remove": False})
    hub.until(lambda: not hub.server("hana", "home-kept").get("pending"), "it does not stop")
    page.reload()
    hana("terminate")  # the page does not know yet
    page.locator('summary[aria-label="More for home-kept"]').click()
    page.get_by_role("button", name="Delete home-kept").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    expect(page.locator("#eugo-told")).to_contain_text("Deleting home-kept did not work")
    expect(page.locator("#eugo-told")).to_contain_text("[not-permitted]")
    hub.ask("DELETE", "/users/hana/servers/home-kept", {"remove": True})


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_who_comes_first_finds_an_empty_list_that_says_how_to_begin(hub, opened, width, scheme):  # noqa: F811
    page = opened(hub.new_user(), width=width, scheme=scheme)
    expect(page.get_by_role("main")).to_contain_text("No workspaces yet")
    page.screenshot(path=ARTIFACTS / f"home-empty-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("link", name="Create workspace …").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace")
