"""
The life of a workspace on the hub's page: warned, kept, extended, switched, stopped, suspended, destroyed.

F12, F15, F23, F27, F28, F61 to F64, F67, F71; L7; the issue's own journey. Times are moved in the store, so that
nobody waits for half an hour; what happens then is done by the services that run.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import expect

from hub_services.common.clock import SystemClock
from tests.browser.conftest import ARTIFACTS, LOOKS, MINUTE
from tests.browser.test_access import opened  # noqa: F401 - a fixture
from tests.browser.test_spawn_page import fits, has_no_violation
from tests.integration.hub.hubs import LIGHT

pytestmark = [pytest.mark.cluster, pytest.mark.browser]

DAY = timedelta(days=1)


@pytest.fixture
def moved(hub):
    """Return a function that sets columns of a table in the store where *condition* holds."""

    def move(table, condition, **values):
        columns = ", ".join(f"{name} = ?" for name in values)
        given = [
            each.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
            if isinstance(each, datetime)
            else each
            for each in values.values()
        ]
        path = hub.demo.data / "store.sqlite"
        with contextlib.closing(sqlite3.connect(path, timeout=20)) as store, store:
            store.execute(f"UPDATE {table} SET {columns} WHERE {condition}", given)  # noqa: S608

    return move


@pytest.fixture
def workspace(hub):
    """Return a function that has Alice have a running workspace; they are removed afterwards."""
    made = []

    def make(server, **words):
        assert hub.start("alice", server, image=LIGHT, **words).status in {201, 202}
        hub.until_ready("alice", server)
        made.append(server)

    yield make
    for server in made:
        hub.ask("DELETE", f"/users/alice/servers/{server}", {"remove": True})


def row(page, name):
    return page.get_by_role("row").filter(has_text=name)


def banner(page, name, title):
    return page.get_by_role("region", name=f"{name}: {title}")


now = SystemClock().now


OPEN = "owner = 'alice' AND workspace = '{}' AND ended_at IS NULL"


@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_whoever_is_idle_is_warned_and_keeps_it_running(workspace, moved, opened, width, scheme):  # noqa: F811
    server = f"life-idle-{width}-{scheme}"
    workspace(server)
    began = now() - 20 * timedelta(minutes=1)
    moved("sessions", OPEN.format(server), admitted_at=began, bound_at=began, active_at=None)
    page = opened("alice", width=width, scheme=scheme)
    warning = banner(page, server, "Stops because it is idle")
    expect(warning).to_contain_text("Variables in memory are lost. Use %store")
    countdown = warning.locator(".eugo-countdown")
    expect(countdown).to_have_text(re.compile(r"00:0\d:\d\d"))
    first = countdown.inner_text()
    expect(countdown).not_to_have_text(first)  # it runs
    page.screenshot(path=ARTIFACTS / f"life-idle-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("button", name=f"Keep running {server}").press("Enter")
    expect(warning).to_have_count(0)
    expect(page.locator("#eugo-told")).to_contain_text(f"Keeping {server}: done.")


def test_a_session_is_extended_up_to_its_ceiling(workspace, moved, opened):  # noqa: F811
    workspace("life-long")
    moved(
        "sessions", OPEN.format("life-long"),
        admitted_at=now() - 8 * timedelta(hours=1) + timedelta(minutes=10),
        bound_at=now() - 8 * timedelta(hours=1) + timedelta(minutes=10),
        active_at=now(), ends_at=now() + timedelta(minutes=10),
    )  # fmt: skip
    page = opened("alice")
    warning = banner(page, "life-long", "Longest session ends")
    page.get_by_role("button", name="Extend by 1 h life-long").press("Enter")
    expect(warning).to_have_count(0)
    expect(row(page, "life-long")).to_contain_text(re.compile(r"in 01:0\d:\d\d"))


def test_the_window_closes_the_reason_stays_and_it_goes_on_in_the_default_queue(
    hub,
    workspace,
    moved,
    opened,  # noqa: F811 - the fixture
):
    workspace("life-window", project="vision", queue="research-high")
    page = opened("alice")
    closing = banner(page, "life-window", "Plan window closes")
    expect(closing.locator(".eugo-countdown")).to_have_text(re.compile(r"\d\d:\d\d:\d\d"))

    def closes():
        moved(
            "sessions", OPEN.format("life-window"),
            ends_at=now() + timedelta(seconds=12), ends_because="plan-window",
        )  # fmt: skip
        page.reload()
        expect(closing.locator(".eugo-countdown")).to_have_text(re.compile(r"00:00:[01]\d"))

    expired = row(page, "life-window").filter(has_text="Plan window expired")
    closes()
    try:
        expect(expired).to_be_visible(timeout=MINUTE)
    except AssertionError:
        # Settings that another test changed: the quota service's next sweep puts deadlines where
        # they belong, once.
        closes()
        expect(expired).to_be_visible(timeout=MINUTE)
    expect(row(page, "life-window")).to_contain_text("Restart it inside the next window:")
    page.screenshot(path=ARTIFACTS / "life-window.png", full_page=True)
    has_no_violation(page)
    # The next day it is still there.
    moved("workspaces", "owner = 'alice' AND server = 'life-window'", since=now() - DAY)
    page.reload()
    expect(row(page, "life-window")).to_contain_text("1 d ago")
    expect(row(page, "life-window")).to_contain_text("Plan window expired")
    page.get_by_role("button", name="Switch to Default Queue life-window").press("Enter")
    expect(row(page, "life-window")).to_contain_text("Running", timeout=2 * MINUTE)
    expect(row(page, "life-window")).to_contain_text("Default queue")
    hub.until_ready("alice", "life-window")
    (pod,) = [
        each for each in hub.objects("pods", "alice") if "life-window" in each["metadata"]["name"]
    ]
    assert pod["metadata"]["labels"]["eugo.dev/queue"] == "default"


def test_a_running_workspace_switches_without_a_restart(hub, workspace, opened):  # noqa: F811
    workspace("life-switch", project="vision", queue="research-high")

    def pod():
        (found,) = [
            each
            for each in hub.objects("pods", "alice")
            if "life-switch" in each["metadata"]["name"]
        ]
        return found["metadata"]

    before = pod()
    page = opened("alice")
    page.get_by_role("button", name="Switch to Default Queue life-switch").press("Enter")
    expect(banner(page, "life-switch", "Plan window closes")).to_have_count(0)
    expect(row(page, "life-switch")).to_contain_text("Default queue")
    after = pod()
    assert (after["uid"], after["labels"]["eugo.dev/queue"]) == (before["uid"], "default")


def test_a_workspace_is_suspended_resumed_and_destroyed_by_keyboard(hub, workspace, opened):  # noqa: F811
    workspace("life-end")
    page = opened("alice")

    def more(what):
        page.locator('summary[aria-label="More for life-end"]').press("Enter")
        page.get_by_role("button", name=f"{what} life-end").press("Enter")

    more("Suspend")
    expect(row(page, "life-end")).to_contain_text("Contact your organization owner", timeout=MINUTE)
    page.get_by_role("button", name="Resume life-end").press("Enter")
    expect(page.get_by_role("button", name="Start life-end")).to_be_visible()
    more("Terminate")
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("This action is irreversible.")
    confirm = dialog.get_by_role("button", name="Terminate")
    word = dialog.get_by_role("textbox")
    word.fill("delete")
    expect(confirm).to_be_disabled()
    has_no_violation(page)
    page.screenshot(path=ARTIFACTS / "life-terminate.png", full_page=True)
    word.fill("DELETE")
    confirm.press("Enter")
    expect(row(page, "life-end")).to_have_count(0, timeout=MINUTE)
    assert hub.server("alice", "life-end") == {}


def test_everything_works_without_a_script(hub, chromium, workspace):
    """Start, stop and delete are forms of their own; a refusal is a page."""
    workspace("life-plain")
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    users = {each["name"]: each["password"] for each in hub.demo.ready["users"]}
    page.goto(f"{hub.demo.ready['url']}/hub/login")
    page.fill("#username_input", "alice")
    page.fill("#password_input", users["alice"])
    page.click("#login_submit")
    page.get_by_role("button", name="Stop life-plain").click()
    page.wait_for_url("**/hub/home")
    expect(row(page, "life-plain")).to_contain_text("Stopped by its owner")
    page.get_by_role("button", name="Start life-plain").click()
    expect(row(page, "life-plain")).to_contain_text(re.compile("Starting|Running"))
    hub.until_ready("alice", "life-plain")
    page.goto(f"{hub.demo.ready['url']}/hub/home")
    stale = context.new_page()
    stale.goto(f"{hub.demo.ready['url']}/hub/home")
    page.get_by_role("button", name="Stop life-plain").click()
    stale.get_by_role("button", name="Stop life-plain").click()
    expect(stale.locator("main, .error")).to_contain_text("It does not run.")
    context.close()
