"""
A second opinion on windows: somebody looks at the clock on the wall each minute.

For some days around a moment the oracle writes down what the clock of a zone shows in each real
minute, and reads everything from that list: a wall time *comes* in the first minute that shows
it. If the clock jumped over it, it comes as many minutes after the last one before the jump as
it would have on a clock that nobody had moved. Doors open when their start comes and close when
their end does; a door whose end comes first, or with its start, stays shut.

No code, recurrence rule, resolution of times or merging is shared with `windows`, only `zoneinfo`
as the maker of the clocks. Since 1973 every clock of the world shows whole minutes.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from eugospawner.policy.windows import OneOffWindow, WeeklyWindow, Window

DAY = 24 * 60
WEEK = 7 * DAY
SPAN = 10 * DAY  # before and after: more than a week, as much as a window lasts
TRUSTED = 2 * SPAN - 2 * DAY  # what opens or closes later may lie across the edge

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - of wall time
A_MONDAY = 4 * DAY  # 1970-01-05


@dataclass(frozen=True)
class Clock:
    """
    What a clock shows, in wall minutes since 1970, at each real minute from the first one on.

    Attributes:
        comes: The first real minute that shows a wall minute.
        jumps: Real minutes after which the clock jumped ahead.
    """

    shows: list[int]
    comes: dict[int, int]
    jumps: list[int]

    def when(self, wall: int) -> int:
        """Return the real minute at which *wall* comes, cut to what was looked at."""
        if wall < self.shows[0]:
            return 0
        if wall > self.shows[-1]:
            return len(self.shows)
        if wall in self.comes:
            return self.comes[wall]
        last = next(at for at in self.jumps if self.shows[at] < wall < self.shows[at + 1])
        return last + wall - self.shows[last]


def look(minute: int, zone: ZoneInfo) -> int:
    """Return what the clock of *zone* shows in a real minute since 1970."""
    shown = datetime.fromtimestamp(minute * 60, zone).replace(tzinfo=None)
    minutes, rest = divmod(shown - EPOCH, timedelta(minutes=1))
    assert not rest, "whole minutes"
    return minutes


@lru_cache(maxsize=64)
def clock(name: str, first: int) -> Clock:
    """Look at the clock of the zone *name* from the real minute *first* on."""
    zone = ZoneInfo(name)
    shows: list[int] = []
    jumps: list[int] = []
    end = look(first, zone)
    for hour in range(first, first + 2 * SPAN, 60):
        begin, end = end, look(hour + 60, zone)
        if end - begin == 60:  # it just ran
            shows.extend(range(begin, end))
            continue
        hands = [look(minute, zone) for minute in range(hour, hour + 61)]
        jumps.extend(len(shows) + n for n in range(60) if hands[n + 1] - hands[n] > 1)
        shows.extend(hands[:60])
    comes = dict(zip(reversed(shows), reversed(range(len(shows))), strict=True))
    return Clock(shows, comes, jumps)


class Doors:
    """
    Which minutes around a moment are open.

    Attributes:
        first: The first minute looked at, real, since 1970.
        is_open: One byte for each minute from *first* on.
    """

    def __init__(self, windows: list[Window], around: datetime) -> None:
        self.first = int(around.timestamp()) // 60 - SPAN
        self.is_open = bytearray(2 * SPAN)
        for window in windows:
            wall = clock(window.zone, self.first)
            for start, end in walls(window, wall.shows[0], wall.shows[-1]):
                opens, closes = wall.when(start), wall.when(end)
                if opens < closes:
                    self.is_open[opens:closes] = b"\1" * (closes - opens)

    def at(self, now: datetime) -> bool:
        """Whether *now* is open."""
        return bool(self.is_open[self._index(now)])

    def closes_after(self, now: datetime) -> datetime | None:
        """Return the first closed minute after *now*; `None` if it is out of sight."""
        return self._time(self.is_open.find(0, self._index(now)))

    def opens_after(self, now: datetime) -> datetime | None:
        """Return the first open minute after a closed one after *now*; `None`: out of sight."""
        closed = self.is_open.find(0, self._index(now))
        return None if closed < 0 else self._time(self.is_open.find(1, closed))

    def changes(self) -> list[datetime]:
        """Return when doors open or close in the middle of what was looked at."""
        middle = range(SPAN - 3 * DAY, SPAN + 3 * DAY)
        found, at = [], middle[0]
        while True:
            at = self.is_open.find(1 - self.is_open[at], at)
            if at not in middle:
                return found
            found.append(self._instant(at))

    def sight(self) -> datetime:
        """Until when the oracle knows."""
        return self._instant(TRUSTED)

    def _index(self, now: datetime) -> int:
        return int(now.timestamp() // 60) - self.first

    def _time(self, index: int) -> datetime | None:
        return self._instant(index) if 0 <= index < TRUSTED else None

    def _instant(self, index: int) -> datetime:
        return datetime.fromtimestamp((self.first + index) * 60, UTC)


def walls(window: Window, begin: int, end: int) -> list[tuple[int, int]]:
    """Return start and end of the window's doors, in wall minutes between *begin* and *end*."""
    if isinstance(window, OneOffWindow):
        return [(_minutes(window.start), _minutes(window.end))]
    assert isinstance(window, WeeklyWindow)
    starts = A_MONDAY + window.start.day * DAY + window.start.minute
    ends = A_MONDAY + window.end.day * DAY + window.end.minute
    doors = []
    for week in range((begin - starts) // WEEK - 1, (end - starts) // WEEK + 1):
        opens = starts + week * WEEK
        closes = next(each for n in (0, 1) if (each := ends + (week + n) * WEEK) > opens)
        doors.append((opens, closes))
    return doors


def _minutes(wall: datetime) -> int:
    return (wall - EPOCH) // timedelta(minutes=1)
