"""Requests that were refused are kept for a while, and never too much of them (L11)."""

from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.store import open_store
from eugospawner.store.refusals import LARGEST_OPTIONS, MOST_A_MINUTE, Refused, text_of

AWAY = StoreError("away")
NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def a_refusal(**changes):
    values = {
        "at": NOON,
        "owner": "alice",
        "workspace": "",
        "actor": "alice",
        "reason": "quota-exhausted",
        "options": {"gpu_model": "H100"},
    }
    return Refused(**(values | changes))


async def test_refusals_come_back_in_order_and_are_forgotten(store):
    for hours in (3, 1, 2):
        await store.refusals.add(a_refusal(at=NOON + timedelta(hours=hours), reason=f"r{hours}"))
    found = await store.refusals.since(NOON + timedelta(hours=2), limit=10)
    assert [each.reason for each in found] == ["r2", "r3"]
    assert found[0] == a_refusal(at=NOON + timedelta(hours=2), reason="r2")
    assert [each.reason for each in await store.refusals.since(NOON, limit=2)] == ["r2", "r3"]
    assert await store.refusals.forget(NOON + timedelta(hours=2)) == 1
    assert [each.reason for each in await store.refusals.since(NOON, limit=10)] == ["r2", "r3"]


@pytest.mark.parametrize(
    "options",
    [
        {"gpu_model": "x" * LARGEST_OPTIONS},
        {"cpu": float("nan")},
        {"cpu": object()},
        {"volumes": [{"claim": "a" * 300, "mount_path": "/b"}] * 64},
    ],
    ids=["long", "no number", "no JSON", "many"],
)
async def test_words_that_cannot_be_kept_are_left_out(store, options):
    assert text_of(options) is None
    await store.refusals.add(a_refusal(options=options, owner="x" * 9000))
    (kept,) = await store.refusals.since(NOON, limit=1)
    assert (kept.options, kept.owner) == (None, "x" * 512)


async def test_of_thousands_in_a_minute_the_first_are_kept_and_others_lose_none(store):
    for number in range(MOST_A_MINUTE + 5):
        await store.refusals.add(a_refusal(reason=f"r{number}"))
    await store.refusals.add(a_refusal(owner="bob"))
    await store.refusals.add(a_refusal(at=NOON + timedelta(minutes=1)))
    kept = await store.refusals.since(NOON, limit=999)
    assert len(kept) == MOST_A_MINUTE + 2


def test_the_name_is_no_part_of_a_request_that_is_tried_again():
    assert text_of({"name": "mine", "cpu": "2"}) == '{"cpu": "2"}'


async def test_each_is_a_line_of_the_audit_for_good(store):
    options = {
        "profile": "nb-gpu-h100",
        "gpu_count": 2,
        "name": "Thesis",
        "volumes": [],
        "image": 1.5,
    }
    await store.refusals.add(a_refusal(workspace="thesis", actor="ada", options=options))
    await store.refusals.add(a_refusal(options={"profile": "x" * LARGEST_OPTIONS}))
    await store.refusals.forget(NOON + timedelta(days=99))
    last, first = await store.audit.lines()
    assert (first.action, first.object, first.actor, first.reason, first.at) == (
        "refuse", "workspace.alice/thesis", "ada", "quota-exhausted", NOON,
    )  # fmt: skip
    assert first.detail == {"asked": {"profile": "nb-gpu-h100", "gpu_count": 2}}
    assert last.detail == {"asked": {}}
    assert (await store.audit.verify()).problems == ()


async def test_those_that_are_too_many_are_counted_in_a_line(store):
    for number in range(MOST_A_MINUTE + 5):
        await store.refusals.add(a_refusal(reason=f"r{number}"))
    await store.refusals.add(a_refusal(owner="bob", actor="bob"))
    assert len(await store.audit.lines(actor="alice")) == MOST_A_MINUTE
    await store.refusals.add(a_refusal(owner="bob", actor="bob", at=NOON + timedelta(minutes=1)))
    counted, *each = await store.audit.lines(actor="alice")
    assert (counted.detail, counted.reason) == ({"times": 5}, f"r{MOST_A_MINUTE + 4}")
    assert [line.detail for line in each] == [{"asked": {"gpu_model": "H100"}}] * MOST_A_MINUTE
    await store.refusals.flush()  # nothing more
    assert len(await store.audit.lines(action="refuse")) == MOST_A_MINUTE + 3


async def test_what_was_counted_is_written_when_the_store_is_closed(store, url):
    for _ in range(MOST_A_MINUTE + 3):
        await store.refusals.add(a_refusal())
    await store.close()
    opened = await open_store(url)
    (last,) = await opened.audit.lines(limit=1)
    await opened.close()
    assert last.detail == {"times": 3}


async def test_what_could_not_be_written_is_owed(store, monkeypatch):
    for _ in range(MOST_A_MINUTE + 3):
        await store.refusals.add(a_refusal())
    write = store.refusals._writer.write

    async def fail(*_arguments):
        raise AWAY

    monkeypatch.setattr(store.refusals._writer, "write", fail)
    with pytest.raises(StoreError):
        await store.refusals.flush()
    monkeypatch.setattr(store.refusals._writer, "write", write)
    await store.refusals.flush()
    (last,) = await store.audit.lines(limit=1)
    assert last.detail == {"times": 3}
