"""
The clock: the one place that asks what time it is.

Rules take `now` as an argument, adapters take a callable that `Clock.now` satisfies, and tests
pass a clock that moves with the loop, so wall time and sleeps never part. Source: style, §3.6.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

_log: Final = logging.getLogger(__name__)

#: A `Date` header leaves out what is less (RFC 9110, 5.6.7).
_RESOLUTION: Final = timedelta(seconds=1)
#: Answers that are remembered: with a lease's, the last minute's.
_REMEMBERED: Final = 20


class Clock(Protocol):
    """What time it is."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        ...

    @property
    def ahead(self) -> timedelta:
        """By how much the machine's own clock is known to be ahead; zero: not known to be."""
        ...


class SystemClock:
    """The machine's clock."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        """Return the machine's time, aware UTC."""
        return datetime.now(UTC)  # noqa: TID251 - the one place


class _Bounds(NamedTuple):
    """What the witness's clock shows, less the seconds of one that only goes forward."""

    least: datetime
    most: datetime


class WitnessedClock:
    """
    The machine's clock, and never ahead of a witness: what ends by it ends late, not early.

    The witness is whoever dates answers: Kubernetes' API server. An answer's date was written
    between question and answer, and leaves out parts of a second, so each gives two bounds; those
    of the last answers together are closer than a second. While the machine's time is within them
    it is believed; beyond, the witness's is, as it was at least. A clock that is *behind* is
    believed: of two clocks that differ, the later hour may be the wrong one, and nobody is to be
    stopped early. Promise 3.

    Args:
        clock: The machine's.
        elapsed: Seconds of a clock that only goes forward.
    """

    def __init__(self, clock: Clock, elapsed: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._heard: deque[_Bounds] = deque(maxlen=_REMEMBERED)
        self._told = False

    def hear(self, date: str | None, *, waited: float) -> None:
        """
        Take the `Date` header of an answer that came just now; one that is none tells nothing.

        Args:
            waited: Seconds since the question was asked.
        """
        try:
            said = parsedate_to_datetime(date or "")
        except ValueError:
            return
        if said.tzinfo is None:
            return
        answered = timedelta(seconds=self._elapsed())
        asked = answered - timedelta(seconds=waited)
        heard = _Bounds(said - answered, said + _RESOLUTION - asked)
        if self._heard and not self._agree(heard):
            self._heard.clear()  # the witness's clock was set
        self._heard.append(heard)
        self._tell(self.ahead)

    def _tell(self, ahead: timedelta) -> None:
        """Log it once when the machine's clock is found to be ahead, and when it no longer is."""
        if bool(ahead) is self._told:
            return
        self._told = bool(ahead)
        if ahead:
            _log.warning(
                "The clock of this machine is %.1f s ahead of Kubernetes', whose time is used as "
                "long as that is so: nothing ends early. See to it that all machines ask a time "
                "server (NTP)",
                ahead.total_seconds(),
            )
        else:
            _log.info("The clock of this machine is no longer ahead of Kubernetes'")

    def now(self) -> datetime:
        """Return the machine's time or, if that is ahead of the witness's, the witness's."""
        machine = self._clock.now()
        return self._witnessed() if self._is_ahead(machine) else machine

    @property
    def ahead(self) -> timedelta:
        """By how much the machine's own clock is known to be ahead; zero: not known to be."""
        machine = self._clock.now()
        return machine - self._witnessed() if self._is_ahead(machine) else timedelta()

    def _is_ahead(self, machine: datetime) -> bool:
        return bool(self._heard) and machine > min(each.most for each in self._heard) + self._passed

    def _witnessed(self) -> datetime:
        return max(each.least for each in self._heard) + self._passed

    @property
    def _passed(self) -> timedelta:
        return timedelta(seconds=self._elapsed())

    def _agree(self, heard: _Bounds) -> bool:
        """Whether one moment is within *heard* and all that was heard before."""
        return max(heard.least, *(each.least for each in self._heard)) <= min(
            heard.most, *(each.most for each in self._heard)
        )
