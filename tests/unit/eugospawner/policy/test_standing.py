"""When a limit will be reached at the present rate: a moment of its period, or never."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eugospawner.policy.quota import Span, period_at
from eugospawner.policy.standing import _reached

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = period_at(Span.DAY, "UTC", NOON)


@pytest.mark.parametrize(
    ("amount", "used", "reached"),
    [
        (100, 60, DAY.start + timedelta(hours=20)),
        (100, 51, DAY.start + timedelta(hours=12) * (100 / 51)),
        (100, 50, None),  # as the day ends
        (100, 100, None),
        (100, 0, None),
        (10**15, 1, None),  # some 10^12 years on, which no calendar has
    ],
)
def test_it_is_reached_where_the_rate_so_far_leads(amount, used, reached):
    assert _reached(amount, used, DAY, NOON) == reached


@given(
    amount=st.integers(0, 10**24),
    used=st.integers(0, 10**24),
    passed=st.timedeltas(min_value=timedelta(0), max_value=timedelta(days=31)),
)
def test_whatever_is_used_there_is_an_answer(amount, used, passed):
    month = period_at(Span.MONTH, "Europe/Berlin", NOON)
    now = min(month.start + passed, month.end - timedelta(seconds=1))
    reached = _reached(amount, used, month, now)
    assert reached is None or now < reached < month.end
