"""Signing in through a real provider, working, and signing out there: the hub's session ends (F108, F109)."""

import json
import re

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, MINUTE
from tests.browser.test_spawn_page import fits, has_no_violation
from tests.integration.demo import demos

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


@pytest.fixture(scope="module")
def demo(kubeconfig, tmp_path_factory):
    folder = tmp_path_factory.mktemp("sso")
    with demos.started(
        "--sso", "--kubeconfig", kubeconfig, data=folder / "demo", cwd=folder
    ) as made:
        yield made


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    yield context.new_page()
    context.close()


def password_of(demo, name):
    return next(each["password"] for each in demo.ready["users"] if each["name"] == name)


def sign_in(page, demo, name):
    page.goto(f"{demo.ready['url']}/hub/home")
    page.get_by_role("button", name="Sign in with the example provider").click()
    page.get_by_label("Name").fill(name)
    page.get_by_label("Password").fill(password_of(demo, name))
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(r"/hub/home$"), timeout=MINUTE)


def change(demo, name, **claims):
    """Change what the provider says of somebody."""
    path = demo.data / "people.json"
    people = json.loads(path.read_text())
    people[f"subject-{name}"]["claims"] |= claims
    path.write_text(json.dumps(people))


def test_in_through_the_provider_and_out_there_ends_the_session_here(demo, page):
    sign_in(page, demo, "alice")
    page.goto(f"{demo.ready['url']}/services/quota/?organization=acme")
    expect(page.get_by_role("heading", level=1)).to_have_text("Usage of Acme")  # she owns it
    page.goto(f"{demo.ready['url']}/hub/spawn")
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace")
    expect(page.locator("#eugo-projects")).to_contain_text("Vision")
    page.click("#eugo-start")
    page.wait_for_url("**/user/alice/lab**", timeout=2 * MINUTE, wait_until="commit")
    expect(page.locator("#jp-top-panel")).to_be_visible(timeout=2 * MINUTE)

    issuer = json.loads((demo.data / "sso.json").read_text())["issuer"]
    page.goto(f"{issuer}/session/end")  # at the provider, without the hub
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Signed out")
    page.goto(f"{demo.ready['url']}/hub/home")
    expect(page).to_have_url(re.compile("/hub/login"))
    page.goto(f"{demo.ready['url']}/services/quota/")  # and so are those of services
    expect(page).not_to_have_url(re.compile("/services/quota/$"))


def test_who_is_no_member_at_the_provider_any_more_is_none_here(demo, page):
    sign_in(page, demo, "bob")
    people = demo.ask("/users/bob")
    assert people["admin"] is False
    change(demo, "bob", groups=[], roles=[])
    page.goto(f"{demo.ready['url']}/hub/logout")
    page.get_by_role("button", name="Sign out").click()
    sign_in(page, demo, "bob")
    page.goto(f"{demo.ready['url']}/hub/spawn")
    expect(page.get_by_role("complementary")).to_contain_text(
        "Your role must include workspace creation"
    )


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_who_lost_the_state_reads_what_to_do_and_can_do_it(demo, chromium, width, scheme):
    context = chromium.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = context.new_page()
    page.goto(f"{demo.ready['url']}/hub/oauth_callback?code=x&state=y")
    expect(page.get_by_role("heading", level=1)).to_contain_text("not finished in time")
    expect(page.locator("#eugo-skew")).to_contain_text("Your device's clock")
    page.screenshot(path=ARTIFACTS / f"sign-in-help-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.keyboard.press("Tab")
    page.get_by_role("link", name="Sign in again").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Example provider")
    context.close()
