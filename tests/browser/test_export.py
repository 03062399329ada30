"""Files leave with their owner while the workspace is stopped: by keyboard, without JavaScript, and for nobody else (F85, L8)."""

import io
import json
import zipfile
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import ARTIFACTS, LOOKS, MINUTE
from tests.browser.test_access import aside, opened  # noqa: F401 - a fixture
from tests.browser.test_spawn_page import fits, has_no_violation
from tests.integration.hub.test_entitlements import change

pytestmark = [pytest.mark.cluster, pytest.mark.browser]

NOTEBOOK = {
    "cells": [{"cell_type": "markdown", "id": "a", "metadata": {}, "source": "mine"}],
    "metadata": {}, "nbformat": 4, "nbformat_minor": 5,
}  # fmt: skip


@pytest.fixture(scope="module")
def stopped(hub):
    """Noor wrote a notebook in a workspace, which was stopped."""
    hub.ask("POST", "/users/noor")
    assert hub.start_light("noor").status in {201, 202}
    hub.until_ready("noor")
    write = "mkdir -p work && cat > work/mine.ipynb && ln -s /etc/passwd work/link && echo x > work/x.csv"
    hub.kubectl(
        "exec", "-i", "-n", "eugo", "jupyter-noor", "-c", "notebook", "--", "sh", "-c", write,
        stdin=json.dumps(NOTEBOOK),
    )  # fmt: skip
    hub.stop("noor")
    hub.until(lambda: not hub.server("noor").get("pending"), "it does not stop")
    yield
    hub.stop("noor")


def exporters(hub, export):
    return [
        each["metadata"]["name"]
        for each in hub.kubectl.objects("pods", "eugo")
        if each["metadata"].get("labels", {}).get("eugo.dev/export") == export
    ]


def unpacked(path):
    with zipfile.ZipFile(io.BytesIO(Path(path).read_bytes())) as found:
        assert found.testzip() is None
        return {name: found.read(name) for name in found.namelist()}


@pytest.mark.usefixtures("stopped")
def test_files_leave_a_stopped_workspace_by_keyboard_and_for_nobody_else(hub, opened):  # noqa: F811
    page = opened("noor")
    row = page.get_by_role("row").filter(has_text="Stopped")
    row.locator("summary").press("Enter")
    row.get_by_role("link", name="Download Notebooks").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Exports")
    page.get_by_label("Folder or notebook").fill("work")
    page.get_by_role("button", name="Prepare export").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Export of")
    download = page.get_by_role("link", name="as ZIP")
    expect(download).to_be_visible(timeout=MINUTE)
    expect(page.locator("main")).to_contain_text("1 file")
    expect(page.locator("main")).to_contain_text("home/work/mine.ipynb")
    expect(page.locator("main")).to_contain_text("A symbolic link")
    with page.expect_download() as got:
        download.press("Enter")
    members = unpacked(got.value.path())
    assert set(members) == {"home/work/mine.ipynb", "SHA256SUMS", "export.json"}
    assert json.loads(members["home/work/mine.ipynb"]) == NOTEBOOK
    expect(page.locator("#eugo-progress")).to_contain_text(
        "Your browser has the file", timeout=MINUTE
    )
    assert hub.server("noor") == {} or not hub.server("noor").get("ready"), "it was not started"

    link = f"{hub.demo.ready['url']}{download.get_attribute('href')}"
    other = opened("somebody-else")
    answer = other.goto(link)
    assert answer.status == 403
    expect(other.locator("main")).to_contain_text("This link is for noor alone")
    assert other.goto(page.url).status == 404
    export = page.url.rpartition("/")[2]
    assert len(exporters(hub, export)) == 1

    page.get_by_role("button", name="Revoke the link").press("Enter")
    expect(page.locator("main")).to_contain_text("Revoked")
    answer = page.goto(link)
    assert answer.status == 410
    expect(page.get_by_role("link", name="Create a new export")).to_be_visible()
    has_no_violation(page)
    hub.until(lambda: not exporters(hub, export), "its Pod was not removed")


@pytest.mark.usefixtures("stopped")
def test_a_notebook_is_shared_as_a_page_with_a_colleague_and_taken_back(hub, opened):  # noqa: F811
    for name in ("noor", "omar"):
        aside(change, hub, "people", name, {"organization": "acme"})
    page = opened("noor")
    page.goto(f"{hub.demo.ready['url']}/services/export/")
    page.get_by_label("Folder or notebook").fill("work/mine.ipynb")
    page.get_by_label("One notebook as HTML").check()
    page.get_by_role("button", name="Prepare export").press("Enter")
    people = page.get_by_label("People")
    expect(people).to_be_visible(timeout=MINUTE)
    has_no_violation(page)
    people.fill("somebody-else")
    page.get_by_role("button", name="Share", exact=True).press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("nobody of that name is in your organization")
    page.go_back()
    page.get_by_label("People").fill("omar")
    page.get_by_role("button", name="Share", exact=True).press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("mine.ipynb")
    expect(page.locator("main")).to_contain_text("You share it with omar")
    reader = opened("omar")
    reader.goto(f"{hub.demo.ready['url']}/services/export/")
    reader.get_by_role("link", name="mine.ipynb").click()
    expect(reader.locator("main")).to_contain_text("Shared by noor")
    frame = reader.frame_locator("iframe")
    expect(frame.locator("body")).to_contain_text("mine")
    reader.screenshot(path=ARTIFACTS / "shared-1280-light.png", full_page=True)
    has_no_violation(reader)
    assert fits(reader)
    outsider = opened("somebody-else")
    assert outsider.goto(page.url).status == 403
    page.get_by_role("button", name="Share it no longer").press("Enter")
    expect(page.get_by_role("table", name="Newest first").last).to_contain_text("Revoked")
    assert reader.reload().status == 410
    expect(reader.get_by_role("alert")).to_contain_text("noor shares this no longer")


@pytest.mark.usefixtures("stopped")
def test_it_works_without_javascript(hub, opened, chromium):  # noqa: F811 - the fixture
    cookies = opened("noor").context.storage_state()
    plain = chromium.new_context(java_script_enabled=False, storage_state=cookies)
    try:
        page = plain.new_page()
        page.goto(f"{hub.demo.ready['url']}/services/export/")
        page.get_by_label("Folder or notebook").fill("work")
        page.get_by_label("All files").check()
        page.get_by_role("button", name="Prepare export").click()
        # The page loads itself again until it is ready.
        expect(page.get_by_role("link", name="as ZIP")).to_be_visible(timeout=MINUTE)
        with page.expect_download() as got:
            page.get_by_role("link", name="as ZIP").click()
        assert {"home/work/mine.ipynb", "home/work/x.csv"} < set(unpacked(got.value.path()))
        page.get_by_role("button", name="Revoke the link").click()
        expect(page.locator("main")).to_contain_text("Revoked")
    finally:
        plain.close()


@pytest.mark.usefixtures("stopped")
def test_an_archive_comes_back_into_a_stopped_workspace(hub, opened, tmp_path):  # noqa: F811
    archive = tmp_path / "mine.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("deep/again.ipynb", json.dumps(NOTEBOOK))
        made.writestr("../up", "x")
    page = opened("noor")
    page.goto(f"{hub.demo.ready['url']}/services/export/")
    page.get_by_label("New folder").fill("back")
    page.get_by_label("ZIP file").set_input_files(archive)
    page.get_by_role("button", name="Restore").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Restored to", timeout=MINUTE)
    main = page.locator("main")
    for words in ("1 file", "/home/user/back", "../up", "leads out of the folder"):
        expect(main).to_contain_text(words)
    has_no_violation(page)
    page.get_by_role("link", name="Exports").first.press("Enter")
    page.get_by_label("Folder or notebook").fill("back")
    page.get_by_role("button", name="Prepare export").press("Enter")
    expect(main).to_contain_text("home/back/deep/again.ipynb", timeout=MINUTE)
    assert hub.server("noor") == {} or not hub.server("noor").get("ready"), "it was not started"


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_can_be_looked_at(hub, opened, width, scheme):  # noqa: F811 - the fixture
    page = opened("noor", width=width, scheme=scheme)
    page.goto(f"{hub.demo.ready['url']}/services/export/")
    page.get_by_role("button", name="Prepare export").click()
    expect(page.get_by_role("link", name="as ZIP")).to_be_visible(timeout=MINUTE)
    page.screenshot(path=ARTIFACTS / f"export-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
    page.get_by_role("link", name="Exports").first.click()
    page.get_by_label("Folder or notebook").fill("/etc")
    page.get_by_role("button", name="Prepare export").click()
    expect(page.get_by_role("alert")).to_contain_text("lies in no volume of the workspace")
    expect(page.get_by_label("Folder or notebook")).to_have_value("/etc")
    page.screenshot(path=ARTIFACTS / f"exports-{width}-{scheme}.png", full_page=True)
    has_no_violation(page)
    assert fits(page)
