"""Chromium, and somebody who is signed in."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ARTIFACTS = Path(__file__).resolve().parents[2] / "test-artifacts"
MINUTE = 60_000  # as patient as a busy machine of two cores needs
NIGHTLY = pytest.mark.nightly
#: Widths and colours that a page is looked at with; by day each of them once.
LOOKS = [
    (1280, "light"),
    (390, "dark"),
    pytest.param(1280, "dark", marks=NIGHTLY),
    pytest.param(390, "light", marks=NIGHTLY),
]


@pytest.fixture(scope="module")
def chromium():
    """
    Debian's Chromium (`EUGO_CHROMIUM`, set by `scripts/test`).

    For a module, since Playwright's loop runs in this thread as long: other tests have their own.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=os.environ.get("EUGO_CHROMIUM", "/usr/bin/chromium"),
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium):
    """Open the spawn page as somebody new, in a context of its own; returns page and name."""
    contexts = []

    def open_as_somebody_new(hub, *, width=1280, scheme="light", query="", **options):
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        contexts.append(context)
        page, name = context.new_page(), f"user-{uuid4().hex[:8]}"
        sign_in(page, hub, name)
        open_form(page, hub, name, query)
        return page, name

    yield open_as_somebody_new
    for context in contexts:
        context.close()


def sign_in(page: Page, hub, name: str) -> None:
    people = {each["name"]: each["password"] for each in hub.demo.ready["users"]}
    page.goto(f"{hub.demo.ready['url']}/hub/login")
    page.fill("#username_input", name)
    page.fill("#password_input", people["alice"])
    page.click("#login_submit")
    page.wait_for_url("**/hub/home")


def open_form(page: Page, hub, name: str, query: str = "") -> None:
    page.goto(f"{hub.demo.ready['url']}/hub/spawn/{name}{query}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Create Workspace")
