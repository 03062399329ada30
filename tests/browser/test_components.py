"""
What pages are made of, each in its states: badges, tables, empty states, dialogs.

The gallery is a page of the test's; styles, script and icons are those that the hub serves. L16.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import ChoiceLoader, Environment, FileSystemLoader, StrictUndefined
from playwright.sync_api import expect

from eugospawner import assets, form
from tests.browser.conftest import ARTIFACTS
from tests.browser.test_spawn_page import fits, has_no_violation

pytestmark = [pytest.mark.cluster, pytest.mark.browser]


@pytest.fixture
def gallery(hub, chromium):
    """Open the gallery; returns the page."""
    contexts = []

    def open_gallery(*, width=1280, scheme="light", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        url = f"{hub.demo.ready['url']}/hub/"
        loader = ChoiceLoader(
            [FileSystemLoader(form.TEMPLATES), FileSystemLoader(Path(__file__).parent)]
        )
        environment = Environment(loader=loader, autoescape=True, undefined=StrictUndefined)
        text = environment.get_template("gallery.html").render(
            hub=url, scheme=scheme, asset=lambda name: assets.url(url, name)
        )
        page = context.new_page()
        page.route(
            "**/hub/eugo-gallery*", lambda route: route.fulfill(content_type="text/html", body=text)
        )
        page.goto(f"{url}eugo-gallery")
        return page

    yield open_gallery
    for context in contexts:
        context.close()


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
def test_every_component_is_accessible_and_fits(gallery, width, scheme):
    page = gallery(width=width, scheme=scheme)
    page.screenshot(path=ARTIFACTS / f"components-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("button", name="Terminate “training”").click()
    page.screenshot(path=ARTIFACTS / f"components-dialog-{width}-{scheme}.png")
    has_no_violation(page)
    assert fits(page)


def test_a_narrow_table_is_still_a_table_that_names_its_columns(gallery):
    page = gallery(width=320)
    row = page.get_by_role("table", name="Workspaces").get_by_role("row", name="training")
    assert row.get_by_role("cell").count() == 3
    shown = row.locator("[data-column='GPUs']")
    assert shown.evaluate("e => getComputedStyle(e, '::before').content") == '"GPUs"'
    assert page.get_by_text("<svg onload=alert(1)>").is_visible()  # a name is text


def test_a_dialog_asks_first_and_gives_the_focus_back(gallery):
    page = gallery()
    opener = page.get_by_role("button", name="Terminate “training”")
    opener.focus()
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Terminate “training”?")
    # What takes away is never what Enter presses.
    expect(dialog.get_by_role("button", name="Keep it")).to_be_focused()
    page.keyboard.press("Tab")
    expect(dialog.get_by_role("button", name="Terminate")).to_be_focused()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    expect(opener).to_be_focused()
    assert "sent" not in page.url

    page.keyboard.press("Enter")
    page.keyboard.press("Enter")  # keeps it
    expect(dialog).to_be_hidden()
    assert "sent" not in page.url

    page.keyboard.press("Enter")
    dialog.get_by_role("button", name="Terminate").press("Enter")
    page.wait_for_url("**?sent=yes&button=terminate")


def test_without_a_script_the_form_is_sent_at_once(gallery):
    page = gallery(java_script_enabled=False)
    page.get_by_role("button", name="Terminate “training”").click()
    page.wait_for_url("**?sent=yes&button=terminate")
