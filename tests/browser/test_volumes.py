"""A volume is measured, said to be nearly full where people look, and made larger, on a real cluster (F83, F84, F86)."""

import asyncio
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from eugospawner.policy.volumes import HOME
from eugospawner.store.measures import Measure
from hub_services.common.clock import SystemClock
from hub_services.export.exporter.usage import ADVICE, Kind
from tests.browser.conftest import ARTIFACTS, LOOKS, MINUTE
from tests.browser.test_access import aside, opened  # noqa: F401 - a fixture
from tests.browser.test_spawn_page import fits, has_no_violation
from tests.integration.hub.test_entitlements import asked

pytestmark = [pytest.mark.cluster, pytest.mark.browser]

WRITES = (
    "mkdir -p .cache/huggingface/hub thesis/mlruns"
    " && head -c 6000000 /dev/urandom > .cache/huggingface/hub/model.bin"
    " && head -c 3000000 /dev/urandom > thesis/mlruns/run && echo x > thesis/a.ipynb"
)


@pytest.fixture(scope="module")
def stopped(hub):
    """Nele wrote files in a workspace, which was stopped."""
    hub.ask("POST", "/users/nele")
    assert hub.start_light("nele").status in {201, 202}
    hub.until_ready("nele")
    hub.kubectl("exec", "-n", "eugo", "jupyter-nele", "-c", "notebook", "--", "sh", "-c", WRITES)
    hub.stop("nele")
    hub.until(lambda: not hub.server("nele").get("pending"), "it does not stop")
    yield
    hub.stop("nele")


def home_claim(hub):
    (found,) = [
        each
        for each in hub.kubectl.objects("pvc", "eugo")
        if each["metadata"]["name"].startswith("home-nele")
    ]
    return found


def nearly_full(hub):
    """Have the home of Nele be as small as what it holds."""

    async def shrink(store):
        (known,) = (await store.measures.of_owner("nele")).values()
        await store.measures.measured(replace(known, capacity_bytes=known.used_bytes * 100 // 88))

    aside(asyncio.run, asked(hub, shrink))


@pytest.mark.usefixtures("stopped")
def test_it_is_measured_and_says_what_could_go_and_an_admin_makes_it_larger(hub, opened):  # noqa: F811
    page = opened("nele")
    page.get_by_role("link", name="Volumes").press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Volumes")
    page.get_by_role("link", name="Home", exact=True).last.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Home")
    page.get_by_role("button", name="Measure now").press("Enter")
    expect(page.locator("main")).to_contain_text("thesis/mlruns", timeout=MINUTE)
    main = page.locator("main")
    for words in (".cache/huggingface", "thesis/mlruns", "downloaded again", "not in Git"):
        expect(main).to_contain_text(words)
    has_no_violation(page)
    assert hub.server("nele") == {} or not hub.server("nele").get("ready"), "it was not started"

    nearly_full(hub)
    page.reload()
    expect(page.get_by_role("heading", name="Home is 88 % full")).to_be_visible()
    page.goto(f"{hub.demo.ready['url']}/hub/home")
    notice = page.get_by_role("region", name="Home is 88 % full")
    expect(notice).to_contain_text("Clean up")
    notice.get_by_role("link", name="Make room").press("Enter")
    expect(page.get_by_role("heading", name="Home is 88 % full")).to_be_visible()
    has_no_violation(page)

    admin = opened("ada")
    assert admin.goto(page.url).status == 200
    expect(admin.locator("main")).not_to_contain_text(".cache")
    size = admin.get_by_label("New size")
    size.fill("1Gi")
    size.press("Enter")
    expect(admin.get_by_role("alert").first).to_contain_text("no volume becomes smaller")
    admin.get_by_label("New size").fill("20Gi")
    admin.get_by_label("New size").press("Enter")
    expect(admin.locator("main")).to_contain_text("20.0 GiB")
    hub.until(
        lambda: home_claim(hub)["status"]["capacity"]["storage"] == "20Gi", "it does not grow"
    )
    admin.reload()
    expect(admin.locator("header .eugo-lead")).to_contain_text("20.0 GiB of block storage")
    has_no_violation(admin)


def as_measured(hub, percent):
    """Have the home of Nele hold what a home of researchers holds."""
    folders = [
        ("thesis", 4_100), (".cache", 2_600), ("miniconda3", 1_450), ("data", 420), (".local", 35),
    ]  # fmt: skip
    culprits = [
        ("thesis/very-long-name-of-an-experiment-with-parameters/mlruns", 3_900, Kind.OUTPUTS),
        (".cache/huggingface", 2_500, Kind.CACHE),
        ("miniconda3/envs/torch-2.9-cuda-13", 1_400, Kind.ENVIRONMENT),
        (".local/share/Trash", 31, Kind.BIN),
    ]
    used = sum(size for _, size in folders) << 20
    measure = Measure(
        owner="nele", volume=HOME, measured_at=SystemClock().now(),
        capacity_bytes=used * 100 // percent, used_bytes=used, free_bytes=1 << 30, files=48_211,
        summary={
            "unreadable": 0,
            "folders": [{"path": path, "bytes": size << 20} for path, size in folders],
            "culprits": [
                {"path": path, "bytes": size << 20, "kind": kind, "advice": ADVICE[kind]}
                for path, size, kind in culprits
            ],
        },
    )  # fmt: skip

    async def record(store):
        await store.measures.want("nele", HOME, at=measure.measured_at)
        await store.measures.measured(measure)

    aside(asyncio.run, asked(hub, record))


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_a_volume_is_made_for_a_project_and_its_members_find_it_on_the_form(
    hub,
    opened,  # noqa: F811
    width,
    scheme,
):
    key = f"datasets-{width}"
    page = opened("alice", width=width, scheme=scheme)
    page.goto(f"{hub.demo.ready['url']}/services/export/volumes")
    expect(page.get_by_role("heading", name="Make a volume for a project")).to_be_visible()
    page.get_by_label("Name", exact=True).fill("No Name")
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.get_by_role("alert").first).to_contain_text("lower-case letters")
    expect(page.get_by_label("Name", exact=True)).to_have_value("No Name")
    has_no_violation(page)
    fits(page)
    page.screenshot(path=ARTIFACTS / f"volumes-project-{width}-{scheme}.png", full_page=True)
    page.get_by_label("Name", exact=True).fill(key)
    page.get_by_label("Name", exact=True).press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{key}@vision")
    has_no_violation(page)
    fits(page)
    page.screenshot(path=ARTIFACTS / f"volume-project-{width}-{scheme}.png", full_page=True)
    member = opened("bob")
    member.goto(f"{hub.demo.ready['url']}/services/export/volumes")
    expect(member.get_by_role("link", name=f"{key}@vision")).to_be_visible()
    member.goto(f"{hub.demo.ready['url']}/hub/spawn")
    options = member.locator("#eugo-volumes-owned option")
    assert f"{key}@vision" in options.evaluate_all("all => all.map(each => each.value)")


@pytest.mark.usefixtures("stopped")
@pytest.mark.parametrize(("width", "scheme"), LOOKS)
def test_it_can_be_looked_at(hub, opened, width, scheme):  # noqa: F811 - the fixture
    as_measured(hub, 91 if scheme == "light" else 100)
    page = opened("nele", width=width, scheme=scheme)
    for name, path in (
        ("volumes", "services/export/volumes"),
        ("volume", "services/export/volumes/nele/home"),
        ("home-full", "hub/home"),
    ):
        page.goto(f"{hub.demo.ready['url']}/{path}")
        page.screenshot(path=ARTIFACTS / f"{name}-{width}-{scheme}.png", full_page=True)
        has_no_violation(page)
        assert fits(page)
