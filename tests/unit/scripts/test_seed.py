"""What the demo begins with: the states of design §4, on any day and at any minute of it."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from eugospawner import settings, store
from eugospawner.policy.accounts import Actor
from eugospawner.policy.admission import decide
from eugospawner.policy.capacity import UNKNOWN_CLUSTER
from eugospawner.policy.decisions import Admitted, Denied
from eugospawner.policy.limits import subjects_at_stake
from eugospawner.policy.quota import Span, period_at
from eugospawner.policy.requests import WorkspaceRequest
from eugospawner.policy.volumes import Volumes
from scripts.local import seed

SAMPLE = Path(__file__).resolve().parents[3] / "helm-values" / "catalog.yaml"
TIMES = {
    "an afternoon": datetime(2026, 11, 26, 15, 30, tzinfo=UTC),
    "the first minute of a month": datetime(2026, 11, 30, 23, 1, tzinfo=UTC),  # Berlin
    "a Sunday night": datetime(2026, 11, 29, 22, 59, tzinfo=UTC),
    "the night clocks go back": datetime(2026, 10, 25, 0, 30, tzinfo=UTC),
    "the night clocks go on": datetime(2027, 3, 28, 0, 59, tzinfo=UTC),
}


@pytest.fixture(params=TIMES.values(), ids=TIMES.keys(), scope="module")
def now(request):
    return request.param


@pytest.fixture(scope="module")
def sown(tmp_path_factory, now):
    """Return the store of a demo that begins now, which nobody writes to."""
    url = f"sqlite:///{tmp_path_factory.mktemp('seed') / 'store.sqlite'}"
    store.upgrade(url)

    async def sow():
        await seed.sow(url, SAMPLE, now)
        await seed.sow(url, SAMPLE, now + timedelta(minutes=5))  # every start sows again

    asyncio.run(sow())
    return url


@pytest.fixture
async def demo(sown, now):
    """Return what decides about a request in the demo that begins now."""
    opened = await store.open_store(sown)

    async def judged(owner, **words):
        changes = await opened.changes.since(0)
        read = settings.load(SAMPLE, {(each.section, each.key): each.document for each in changes})
        accounts = read.directory.accounts_of(owner, owner)
        at = now + timedelta(minutes=6)
        brief = await opened.brief(revision=0, subjects=subjects_at_stake(accounts), since=at)
        return decide(
            WorkspaceRequest(owner=owner, **words),
            Actor(name=owner),
            read.catalog,
            accounts,
            brief.usage,
            Volumes(by_key={}),
            UNKNOWN_CLUSTER,
            at,
        )

    yield judged
    await opened.close()


def reasons(decision):
    return [str(each.reason) for each in decision.refusals] if isinstance(decision, Denied) else []


async def test_alice_may_use_h100_and_root_and_has_used_up_her_l40s_hours(demo):
    assert isinstance(await demo("alice", profile="nb-gpu-h100", root_shell=True), Admitted)
    assert reasons(await demo("alice", profile="nb-gpu-l40s")) == ["quota-exhausted"]
    high = await demo("alice", project="vision", profile="nb-gpu-h100", queue="research-high")
    assert isinstance(high, Admitted)
    assert high.ends_because == "plan-window"


async def test_bob_is_warned_and_has_no_root_in_vision(demo):
    admitted = await demo("bob", project="vision", profile="nb-gpu-l4", sm_percent=10)
    assert isinstance(admitted, Admitted)
    (share,) = [each for each in admitted.shares if each.limit.key == "gpu-each-month"]
    assert 84 <= share.used_percent <= 85
    assert reasons(await demo("bob", project="vision", root_shell=True)) == ["root-not-allowed"]
    assert reasons(await demo("bob", profile="nb-gpu-h100")) == ["gpu-model-not-in-plan"]


async def test_carol_finds_her_queue_closed_and_the_default_queue_open(demo):
    denied = await demo(
        "carol", project="course", profile="nb-gpu-l4", queue="teaching", sm_percent=50
    )
    assert reasons(denied) == ["window-closed"]
    assert isinstance(
        await demo("carol", project="course", profile="nb-gpu-l4", sm_percent=50), Admitted
    )


async def test_dave_can_start_nothing_and_reads_whom_to_ask(demo):
    denied = await demo("dave")
    assert reasons(denied) == ["organization-suspended"]
    assert "billing@initech.example" in denied.first.sentence


@pytest.mark.parametrize("hours", [40, 136])
def test_a_past_is_spread_over_the_month_and_comes_to_the_unit(now, hours):
    zone, missing = ZoneInfo("Europe/Berlin"), hours * 360_000_000
    since = period_at(Span.MONTH, "Europe/Berlin", now).start
    found = seed.runs(missing, since, now, zone)
    assert sum(run.percent * (run.length // timedelta(milliseconds=1)) for run in found) == missing
    assert all(since <= run.start <= run.start + run.length <= now for run in found)
    in_order = sorted(found, key=lambda run: run.start)
    ends = [run.start + run.length for run in in_order]
    assert all(end <= run.start for end, run in zip(ends, in_order[1:], strict=False))
    days = {run.start.astimezone(zone).date() for run in found}
    assert len(days) >= min((now - since).days, 20)
    assert seed.runs(0, since, now, zone) == ()


async def test_a_catalog_without_the_plans_is_left_as_it_is(tmp_path):
    text = SAMPLE.read_text().replace(
        "  teaching:\n    display_name: Teaching\n    profiles",
        "  courses:\n    display_name: Teaching\n    profiles",
    )
    other = tmp_path / "catalog.yaml"
    other.write_text(text)
    url = f"sqlite:///{tmp_path / 'store.sqlite'}"
    store.upgrade(url)
    await seed.sow(url, other, TIMES["an afternoon"])
    opened = await store.open_store(url)
    assert await opened.changes.since(0) == ()
    await opened.close()
