"""
The clock: the one place that asks what time it is.

Rules take `now` as an argument, adapters take a callable that `Clock.now` satisfies, and tests
pass a clock that moves with the loop, so wall time and sleeps never part. Source: style, §3.6.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the machine's time, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place
