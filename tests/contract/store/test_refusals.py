"""Requests that were refused are kept for a while, and never too much of them (L11)."""

from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.store.refusals import LARGEST_OPTIONS, MOST_A_MINUTE, Refused, text_of

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
