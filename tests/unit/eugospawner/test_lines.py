"""What is said of a limit: when there is more, and whether it lasts until then (F101, L6)."""

from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.lines import line_of
from eugospawner.policy.quota import (
    Amounts,
    Cell,
    Limit,
    Resource,
    Span,
    Subject,
    SubjectKind,
    Usage,
    Used,
)
from eugospawner.policy.standing import standing

ALICE = Subject(SubjectKind.USER, "alice")
HOUR = 360_000_000
START = datetime(2026, 11, 1, tzinfo=UTC)
LIMIT = Limit(
    key="month",
    subject=ALICE,
    resource=Resource.GPU,
    span=Span.MONTH,
    gpu_model=None,
    amount=100 * HOUR,
)


@pytest.mark.parametrize(
    ("hours", "days", "resets"),
    [
        (0, 10, "Tue 2026-12-01 00:00 UTC"),
        (20, 10, "Tue 2026-12-01 00:00 UTC"),
        (30, 10, "Tue 2026-12-01 00:00 UTC; at this rate 80 % used Fri 2026-11-27 16:00 UTC"),
        (
            50, 10,
            (
                "Tue 2026-12-01 00:00 UTC; at this rate all used up Sat 2026-11-21 00:00 UTC; "
                "at this rate 80 % used Tue 2026-11-17 00:00 UTC"
            ),
        ),
        (85, 29, "Tue 2026-12-01 00:00 UTC; at this rate it lasts until then"),
        (90, 15, "Tue 2026-12-01 00:00 UTC; at this rate all used up Tue 2026-11-17 16:00 UTC"),
        (100, 15, "Tue 2026-12-01 00:00 UTC"),
    ],
)  # fmt: skip
def test_who_is_warned_reads_until_when_it_lasts(hours, days, resets):
    used = Used(settled=Amounts(gpu=hours * HOUR))
    usage = Usage({Cell(ALICE, Span.MONTH, "2026-11", "L4"): used})
    now = START + timedelta(days=days)
    assert line_of(standing(LIMIT, usage, "UTC", now), "UTC").resets == resets
