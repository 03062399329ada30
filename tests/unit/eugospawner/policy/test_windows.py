"""When a plan is open: wall time, changes of the clock, and windows that touch (F60, F61, F64)."""

import random
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from eugospawner.policy.errors import PolicyError
from eugospawner.policy.windows import (
    HORIZON,
    Occurrence,
    OneOffWindow,
    Open,
    Opening,
    WeeklyWindow,
    WeekTime,
    Window,
    describe,
    next_opening,
    occurrences,
    open_now,
)
from tests.unit.eugospawner.policy.window_oracle import Doors

DAYS = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
TICK = timedelta(microseconds=1)

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
APIA = "Pacific/Apia"


def a_week_time(text: str) -> WeekTime:
    day, clock = text.split()
    hour, minute = clock.split(":")
    return WeekTime(day=DAYS.index(day), minute=int(hour) * 60 + int(minute))


def weekly(start: str, end: str, zone: str = BERLIN) -> WeeklyWindow:
    return WeeklyWindow(zone=zone, start=a_week_time(start), end=a_week_time(end))


def once(start: str, end: str, zone: str = BERLIN) -> OneOffWindow:
    return OneOffWindow(
        zone=zone, start=datetime.fromisoformat(start), end=datetime.fromisoformat(end)
    )


def utc(text: str) -> datetime:
    """Read a time in UTC, or with its own offset."""
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)


def between(start: str, end: str) -> Occurrence:
    return Occurrence(start=utc(start), end=utc(end))


# One window, on the days when clocks change

NIGHT = ("2026-10-24 12:00", "2026-10-26 12:00")  # Berlin's 03:00 becomes 02:00, at 01:00 UTC
MORNING = ("2027-03-27 12:00", "2027-03-29 12:00")  # Berlin's 02:00 becomes 03:00, at 01:00 UTC
NY_AUTUMN = ("2026-10-31 12:00", "2026-11-02 12:00")  # 02:00 becomes 01:00, at 06:00 UTC
NY_SPRING = ("2026-03-07 12:00", "2026-03-09 12:00")  # 02:00 becomes 03:00, at 07:00 UTC
LH_SPRING = ("2026-10-03 00:00", "2026-10-05 00:00")  # 02:00 becomes 02:30, at 15:30 UTC before
LH_AUTUMN = ("2027-04-03 00:00", "2027-04-05 00:00")  # 02:00 becomes 01:30, at 15:00 UTC before
NO_FRIDAY = ("2011-12-29 00:00", "2012-01-01 00:00")  # Apia's 30th is skipped, at 10:00 UTC


@pytest.mark.parametrize(
    ("window", "span", "found"),
    [
        pytest.param(
            weekly("Mon 08:00", "Fri 18:00"),
            ("2026-07-01", "2026-07-02"),
            ["2026-06-29 06:00/2026-07-03 16:00"],
            id="summer",
        ),
        pytest.param(
            weekly("Mon 08:00", "Fri 18:00"),
            ("2026-12-01", "2026-12-08"),
            ["2026-11-30 07:00/2026-12-04 17:00", "2026-12-07 07:00/2026-12-11 17:00"],
            id="winter, two weeks",
        ),
        pytest.param(
            weekly("Sat 18:00", "Sun 06:00"),
            NIGHT,
            ["2026-10-24 16:00/2026-10-25 05:00"],
            id="twelve hours on the wall last 13 in autumn",
        ),
        pytest.param(
            weekly("Sat 18:00", "Sun 06:00"),
            MORNING,
            ["2027-03-27 17:00/2027-03-28 04:00"],
            id="and 11 in spring",
        ),
        pytest.param(
            weekly("Sun 02:15", "Sun 02:45"),
            NIGHT,
            ["2026-10-25 00:15/2026-10-25 00:45"],
            id="autumn: inside the hour that comes twice, only the first",
        ),
        pytest.param(
            weekly("Sun 02:30", "Sun 04:00"),
            NIGHT,
            ["2026-10-25 00:30/2026-10-25 03:00"],
            id="autumn: opens in the first 02:30",
        ),
        pytest.param(
            weekly("Sun 01:00", "Sun 02:00"),
            NIGHT,
            ["2026-10-24 23:00/2026-10-25 00:00"],
            id="autumn: closes at the first 02:00",
        ),
        pytest.param(
            weekly("Sun 03:00", "Sun 04:00"),
            NIGHT,
            ["2026-10-25 02:00/2026-10-25 03:00"],
            id="autumn: 03:00 comes once",
        ),
        pytest.param(
            weekly("Sun 02:30", "Sun 06:00"),
            MORNING,
            ["2027-03-28 01:30/2027-03-28 04:00"],
            id="spring: opens at 03:30 for the missing 02:30",
        ),
        pytest.param(
            weekly("Sun 01:00", "Sun 02:30"),
            MORNING,
            ["2027-03-28 00:00/2027-03-28 01:30"],
            id="spring: closes at 03:30 for the missing 02:30",
        ),
        pytest.param(
            weekly("Sun 01:00", "Sun 02:00"),
            MORNING,
            ["2027-03-28 00:00/2027-03-28 01:00"],
            id="spring: the first missing minute is when the clock jumps",
        ),
        pytest.param(
            weekly("Sun 02:10", "Sun 02:50"),
            MORNING,
            ["2027-03-28 01:10/2027-03-28 01:50"],
            id="spring: a whole window in the missing hour comes an hour later",
        ),
        pytest.param(
            weekly("Sun 02:30", "Sun 03:15"),
            MORNING,
            [],
            id="spring: 03:30 to 03:15 does not exist",
        ),
        pytest.param(
            weekly("Sun 02:30", "Sun 03:30"), MORNING, [], id="spring: nor does 03:30 to 03:30"
        ),
        pytest.param(
            weekly("Sun 02:30", "Sun 03:15"),
            ("2027-03-20", "2027-04-05"),
            ["2027-03-21 01:30/2027-03-21 02:15", "2027-04-04 00:30/2027-04-04 01:15"],
            id="spring: the weeks around have it",
        ),
        pytest.param(
            weekly("Sun 03:15", "Sun 02:30"),
            MORNING,
            ["2027-03-21 02:15/2027-03-28 01:30", "2027-03-28 01:15/2027-04-04 00:30"],
            id="spring: two weeks of a window overlap",
        ),
        pytest.param(
            weekly("Sun 00:30", "Sun 01:30", NEW_YORK),
            NY_AUTUMN,
            ["2026-11-01 04:30/2026-11-01 05:30"],
            id="New York, autumn: closes at the first 01:30",
        ),
        pytest.param(
            weekly("Sun 01:30", "Sun 02:30", NEW_YORK),
            NY_SPRING,
            ["2026-03-08 06:30/2026-03-08 07:30"],
            id="New York, spring: closes at 03:30",
        ),
        pytest.param(
            weekly("Sun 02:15", "Sun 03:00", LORD_HOWE),
            LH_SPRING,
            ["2026-10-03 15:45/2026-10-03 16:00"],
            id="Lord Howe moves by half an hour: 02:15 is 02:45",
        ),
        pytest.param(
            weekly("Sun 02:15", "Sun 02:40", LORD_HOWE), LH_SPRING, [], id="Lord Howe: or is not"
        ),
        pytest.param(
            weekly("Sun 01:45", "Sun 02:00", LORD_HOWE),
            LH_AUTUMN,
            ["2027-04-03 14:45/2027-04-03 15:30"],
            id="Lord Howe, autumn: from the first 01:45 to the only 02:00",
        ),
        pytest.param(
            weekly("Thu 12:00", "Fri 12:00", APIA),
            NO_FRIDAY,
            ["2011-12-29 22:00/2011-12-30 22:00"],
            id="Apia skips a day: Friday noon is Saturday noon",
        ),
        pytest.param(
            weekly("Fri 08:00", "Fri 18:00", APIA),
            NO_FRIDAY,
            ["2011-12-30 18:00/2011-12-31 04:00"],
            id="Apia: the Friday is kept on the Saturday",
        ),
        pytest.param(
            weekly("Fri 22:00", "Sat 06:00", APIA),
            NO_FRIDAY,
            [],
            id="Apia: Saturday 22:00 to Saturday 06:00 does not exist",
        ),
        pytest.param(
            once("2011-12-30 00:00", "2011-12-31 00:00", APIA),
            NO_FRIDAY,
            [],
            id="Apia: the skipped day begins and ends when the clock jumps",
        ),
        pytest.param(
            weekly("Mon 22:00", "Tue 06:00"),
            ("2026-06-16 00:00", "2026-06-17 00:00"),
            ["2026-06-15 20:00/2026-06-16 04:00"],
            id="across midnight",
        ),
        pytest.param(
            weekly("Sun 22:00", "Mon 06:00"),
            ("2026-06-15 00:00", "2026-06-16 00:00"),
            ["2026-06-14 20:00/2026-06-15 04:00"],
            id="across the end of the week",
        ),
        pytest.param(
            weekly("Fri 18:00", "Mon 08:00"),
            ("2026-06-14 00:00", "2026-06-14 01:00"),
            ["2026-06-12 16:00/2026-06-15 06:00"],
            id="the weekend",
        ),
        pytest.param(
            weekly("Thu 00:00", "Fri 00:00"),
            ("2026-12-30 00:00", "2027-01-01 12:00"),
            ["2026-12-30 23:00/2026-12-31 23:00"],
            id="across the end of the year",
        ),
        pytest.param(
            weekly("Wed 10:00", "Wed 10:00"),
            ("2026-10-22 00:00", "2026-10-29 00:00"),
            ["2026-10-21 08:00/2026-10-28 09:00", "2026-10-28 09:00/2026-11-04 09:00"],
            id="the whole week, over the change of the clock",
        ),
        pytest.param(
            once("2026-10-25 02:30", "2026-10-25 03:00"),
            NIGHT,
            ["2026-10-25 00:30/2026-10-25 02:00"],
            id="one-off: from the first 02:30",
        ),
        pytest.param(
            OneOffWindow(
                zone=BERLIN,
                start=datetime(2026, 10, 25, 2, 20, fold=1),  # noqa: DTZ001 - wall time
                end=datetime(2026, 10, 25, 2, 40, fold=1),  # noqa: DTZ001 - wall time
            ),
            NIGHT,
            ["2026-10-25 00:20/2026-10-25 00:40"],
            id="one-off: whatever fold says",
        ),
        pytest.param(
            once("2027-03-28 02:30", "2027-03-28 03:15"), MORNING, [], id="one-off: not there"
        ),
        pytest.param(
            once("2026-12-01 08:00", "2026-12-05 18:00", NEW_YORK),
            ("2026-12-05 22:59:59.999999", "2030-01-01"),
            ["2026-12-01 13:00/2026-12-05 23:00"],
            id="one-off: just not over",
        ),
        pytest.param(
            once("2026-12-01 08:00", "2026-12-05 18:00", NEW_YORK),
            ("2026-12-05 23:00", "2030-01-01"),
            [],
            id="one-off: just over",
        ),
        pytest.param(
            weekly("Mon 08:00", "Mon 18:00", "UTC"),
            ("2026-06-15 18:00", "2026-06-22 08:00"),
            [],
            id="half-open: neither the one that ends nor the one that begins",
        ),
        pytest.param(
            weekly("Mon 08:00", "Mon 18:00", "UTC"),
            ("2026-06-15 17:59:59.999999", "2026-06-22 08:00:00.000001"),
            ["2026-06-15 08:00/2026-06-15 18:00", "2026-06-22 08:00/2026-06-22 18:00"],
            id="half-open: a microsecond of both",
        ),
        pytest.param(
            weekly("Mon 08:00", "Mon 18:00", "UTC"),
            ("2026-06-15 12:00", "2026-06-15 12:00"),
            [],
            id="nothing overlaps an empty span",
        ),
    ],
)
def test_a_window_occurs(window: Window, span: tuple[str, str], found: list[str]) -> None:
    after, until = map(utc, span)
    expected = [between(*each.split("/")) for each in found]
    assert list(occurrences(window, after, until)) == expected
    zone = ZoneInfo("Asia/Kathmandu")  # in which one asks is nothing to the answer
    again = list(occurrences(window, after.astimezone(zone), until.astimezone(zone)))
    assert again == expected
    assert all(at.tzinfo is UTC for each in again for at in (each.start, each.end))


# Several windows, and now

OFFICE = weekly("Mon 08:00", "Fri 18:00")
DECEMBER = once("2026-12-05 10:00", "2026-12-06 10:00")


@pytest.mark.parametrize(
    ("chosen", "now", "closes", "following"),
    [
        pytest.param(
            [OFFICE],
            "2026-10-20 10:00",
            "2026-10-23 16:00",
            "2026-10-26 07:00/2026-10-30 17:00",
            id="open, and the next is after the change of the clock",
        ),
        pytest.param(
            [OFFICE],
            "2026-10-24 10:00",
            None,
            "2026-10-26 07:00/2026-10-30 17:00",
            id="closed",
        ),
        pytest.param(
            [OFFICE],
            "2026-06-15 05:59:59.999999",
            None,
            "2026-06-15 06:00/2026-06-19 16:00",
            id="a microsecond before",
        ),
        pytest.param(
            [OFFICE],
            "2026-06-15 06:00",
            "2026-06-19 16:00",
            "2026-06-22 06:00/2026-06-26 16:00",
            id="open at its start, which is not ahead any more",
        ),
        pytest.param(
            [OFFICE],
            "2026-06-19 15:59:59.999999",
            "2026-06-19 16:00",
            "2026-06-22 06:00/2026-06-26 16:00",
            id="open for a last microsecond",
        ),
        pytest.param(
            [OFFICE],
            "2026-06-19 16:00",
            None,
            "2026-06-22 06:00/2026-06-26 16:00",
            id="closed at its end",
        ),
        pytest.param(
            [weekly("Mon 08:00", "Mon 12:00", "UTC"), weekly("Mon 12:00", "Mon 18:00", "UTC")],
            "2026-06-15 09:00",
            "2026-06-15 18:00",
            "2026-06-22 08:00/2026-06-22 18:00",
            id="windows that touch are one",
        ),
        pytest.param(
            [weekly("Mon 08:00", "Mon 12:00", "UTC"), weekly("Mon 12:01", "Mon 18:00", "UTC")],
            "2026-06-15 09:00",
            "2026-06-15 12:00",
            "2026-06-15 12:01/2026-06-15 18:00",
            id="windows a minute apart are two",
        ),
        pytest.param(
            [weekly("Mon 08:00", "Mon 20:00", "UTC"), weekly("Mon 09:00", "Mon 10:00", "UTC")],
            "2026-06-15 09:30",
            "2026-06-15 20:00",
            "2026-06-22 08:00/2026-06-22 20:00",
            id="a window inside another changes nothing",
        ),
        pytest.param(
            [OFFICE, DECEMBER],
            "2026-12-01 12:00",
            "2026-12-04 17:00",
            "2026-12-05 09:00/2026-12-06 09:00",
            id="weekly, then one-off",
        ),
        pytest.param(
            [OFFICE, once("2026-12-04 18:00", "2026-12-07 08:00")],
            "2026-12-01 12:00",
            "2026-12-11 17:00",
            "2026-12-14 07:00/2026-12-18 17:00",
            id="a one-off fills the weekend between two weeks",
        ),
        pytest.param(
            [weekly("Mon 08:00", "Mon 18:00"), weekly("Mon 12:00", "Mon 18:00", NEW_YORK)],
            "2026-06-15 10:00",
            "2026-06-15 22:00",
            "2026-06-22 06:00/2026-06-22 22:00",
            id="two zones, the same day",
        ),
        pytest.param(
            [weekly("Mon 08:00", "Mon 18:00"), weekly("Mon 12:00", "Mon 18:00", NEW_YORK)],
            "2026-10-26 10:00",
            "2026-10-26 22:00",
            "2026-11-02 07:00/2026-11-02 23:00",
            id="two zones, of which one has changed its clock",
        ),
        pytest.param(
            [weekly("Mon 08:00", "Mon 12:00"), weekly("Mon 06:00", "Mon 12:00", NEW_YORK)],
            "2027-03-15 08:00",
            "2027-03-15 16:00",
            "2027-03-22 07:00/2027-03-22 16:00",
            id="two zones that touch while their clocks are five hours apart",
        ),
        pytest.param(
            [weekly("Sun 03:15", "Sun 02:30")],
            "2027-03-25 00:00",
            "2027-04-04 00:30",
            "2027-04-04 01:15/2027-04-11 00:30",
            id="two weeks of one window overlap",
        ),
        pytest.param(
            [weekly("Sun 12:00", "Sun 03:15"), weekly("Sun 02:30", "Sun 13:00")],
            "2027-03-28 00:00",
            "2027-03-28 01:15",
            "2027-03-28 01:30/2028-03-26 01:15",
            id="windows that overlap on every other day come apart",
        ),
        pytest.param([DECEMBER], "2026-12-06 09:00", None, None, id="all is past"),
        pytest.param([DECEMBER], "2026-12-05 09:00", "2026-12-06 09:00", None, id="the last"),
        pytest.param(
            [once("2030-01-01 00:00", "2030-01-02 00:00")],
            "2026-01-01",
            None,
            "2029-12-31 23:00/2030-01-01 23:00",
            id="years ahead",
        ),
        pytest.param(
            [once("2027-03-28 02:30", "2027-03-28 03:15")],
            "2027-03-28 01:00",
            None,
            None,
            id="one that does not exist",
        ),
    ],
)
def test_windows_are_open_until_and_open_next(
    chosen: list[Window], now: str, closes: str | None, following: str | None
) -> None:
    at = utc(now)
    is_open = None if closes is None else Open(closes_at=utc(closes))
    ahead = None
    if following is not None:
        opens_at, closes_at = map(utc, following.split("/"))
        ahead = Opening(opens_at=opens_at, closes_at=closes_at)
    for order in (chosen, chosen[::-1]):
        assert open_now(order, at) == is_open
        assert next_opening(order, at) == ahead


@pytest.mark.parametrize(
    "always",
    [
        pytest.param([], id="no windows"),
        pytest.param([weekly("Wed 10:00", "Wed 10:00")], id="a whole week"),
        pytest.param([DECEMBER, weekly("Sun 02:30", "Sun 02:30")], id="and another"),
        pytest.param(
            [weekly("Mon 00:00", "Fri 18:00"), weekly("Fri 18:00", "Mon 00:00")], id="two halves"
        ),
        pytest.param(
            [
                weekly(f"{one} 02:30", f"{other} 02:30")
                for one, other in zip(DAYS, DAYS[1:] + DAYS[:1], strict=True)
            ],
            id="seven days",
        ),
        pytest.param([once("2026-01-01 00:00", "2030-01-01 00:00")], id="four years"),
    ],
)
def test_what_stays_open_beyond_the_horizon_has_no_end(always: list[Window]) -> None:
    for now in map(utc, ["2026-06-15", "2026-10-25 00:30", "2027-03-28 01:00"]):
        assert open_now(always, now) == Open(closes_at=None)
        assert next_opening(always, now) is None


def test_an_opening_ahead_may_have_no_end_in_sight() -> None:
    years = once("2027-01-01 00:00", "2029-01-01 00:00", "UTC")
    ahead = Opening(opens_at=utc("2027-01-01"), closes_at=None)
    assert next_opening([years], utc("2026-01-01")) == ahead
    assert next_opening([years, weekly("Fri 10:00", "Fri 11:00")], utc("2026-12-31")) == ahead


def test_the_horizon_is_seen_to_its_last_instant() -> None:
    year = once("2028-01-01 00:00", "2029-01-01 00:00", "UTC")  # 366 days
    start, end = utc("2028-01-01"), utc("2029-01-01")
    assert end - start == HORIZON
    assert open_now([year], start) == Open(closes_at=end)
    assert next_opening([year], start - TICK) == Opening(opens_at=start, closes_at=end)
    longer = once("2028-01-01 00:00", "2029-01-01 00:01", "UTC")
    assert open_now([longer], start) == Open(closes_at=None)
    assert open_now([longer], start + MINUTE) == Open(closes_at=end + MINUTE)


@pytest.mark.parametrize(
    ("now", "closes"),
    [
        pytest.param("2026-06-15 12:00", "2026-10-26 10:00", id="in autumn Berlin moves first"),
        pytest.param("2026-11-05 12:00", "2027-03-15 10:00", id="in spring New York does"),
    ],
)
def test_two_zones_that_touch_come_apart_when_only_one_has_moved_its_clock(
    now: str, closes: str
) -> None:
    both = [weekly("Mon 12:00", "Sun 12:00"), weekly("Sun 06:00", "Mon 06:00", NEW_YORK)]
    opens_at = utc(closes) + timedelta(hours=1)
    assert open_now(both, utc(now)) == Open(closes_at=utc(closes))
    ahead = next_opening(both, utc(now))
    assert ahead is not None
    assert ahead.opens_at == opens_at


# Words

WORDS = {
    "Mon 08:00 to Fri 18:00, Europe/Berlin": OFFICE,
    "Sun 22:00 to Mon 00:05, America/New_York": weekly("Sun 22:00", "Mon 00:05", NEW_YORK),
    "Tue 09:00 to Tue 17:30, UTC": weekly("Tue 09:00", "Tue 17:30", "UTC"),
    "all week, Europe/Berlin": weekly("Wed 10:00", "Wed 10:00"),
    "2026-12-05 10:00 to 2026-12-06 10:00, Europe/Berlin": DECEMBER,
}


@pytest.mark.parametrize(("words", "window"), WORDS.items(), ids=WORDS)
def test_a_window_is_described_as_people_say_it(words: str, window: Window) -> None:
    assert describe(window) == words


# What cannot be


@pytest.mark.parametrize(
    "zone", ["", "Mars/Olympus", "Europe", "../UTC", "/etc/passwd", "a\0", "é"]
)
def test_an_unknown_zone_is_refused(zone: str) -> None:
    with pytest.raises(PolicyError, match="is no IANA time zone"):
        weekly("Mon 08:00", "Fri 18:00", zone)
    with pytest.raises(PolicyError, match="is no IANA time zone"):
        once("2026-12-01 08:00", "2026-12-05 18:00", zone)


@pytest.mark.parametrize(
    ("day", "minute", "problem"),
    [
        (-1, 0, "day -1 is not 0 .Monday. to 6 .Sunday."),
        (7, 0, "day 7 is not"),
        (0, -1, "minute -1 is not 0 to 1439"),
        (0, 1440, "minute 1440 is not 0 to 1439"),
    ],
)
def test_a_time_that_no_week_has_is_refused(day: int, minute: int, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        WeekTime(day=day, minute=minute)


@pytest.mark.parametrize(
    ("start", "end", "problem"),
    [
        ("2026-12-05 18:00", "2026-12-05 18:00", "is not before"),
        ("2026-12-05 18:00", "2026-12-01 08:00", "is not before"),
        ("2026-12-01 08:00+01:00", "2026-12-05 18:00", "zone of its own; the window's is Europe"),
        ("2026-12-01 08:00", "2026-12-05 18:00Z", "zone of its own"),
        ("2026-12-01 08:00:30", "2026-12-05 18:00", "not to the minute"),
        ("2026-12-01 08:00", "2026-12-05 18:00:00.000001", "not to the minute"),
        ("0026-12-01 08:00", "2026-12-05 18:00", "not in the years 1970 to 2999"),
        ("2026-12-01 08:00", "9999-12-31 18:00", "not in the years 1970 to 2999"),
    ],
)
def test_times_that_are_no_interval_are_refused(start: str, end: str, problem: str) -> None:
    with pytest.raises(PolicyError, match=problem):
        once(start, end)


def test_a_naive_now_is_refused() -> None:
    naive, now = datetime(2026, 6, 15), utc("2026-06-15")  # noqa: DTZ001 - the case
    for ask in (open_now, next_opening):
        for chosen in ([OFFICE], []):
            with pytest.raises(PolicyError, match="2026-06-15 00:00:00 is naive"):
                ask(chosen, naive)
    for span in ((naive, now), (now, naive)):
        with pytest.raises(PolicyError, match="is naive"):
            occurrences(OFFICE, *span)


# Any windows in any zone, around any change of its clock

#: Without the machine's own, which is another on each machine.
ZONES = sorted(available_timezones() - {"localtime"})
#: Before, clocks showed seconds (Monrovia's was the last); later, all go by today's rules.
YEARS = range(1973, 2070)


@cache
def changes_in(zone: str, year: int) -> list[datetime]:
    """Return the first minutes with another offset than the minute before."""
    clock, at, found = ZoneInfo(zone), datetime(year, 1, 1, tzinfo=UTC), []
    while at.year == year:
        before, after = at, at + 7 * DAY
        if _offset(before, clock) != _offset(after, clock):
            while after - before > MINUTE:
                middle = before + (after - before) // MINUTE // 2 * MINUTE
                if _offset(middle, clock) == _offset(before, clock):
                    before = middle
                else:
                    after = middle
            found.append(after)
        at += 7 * DAY
    return found


def _offset(at: datetime, zone: ZoneInfo) -> timedelta | None:
    return at.astimezone(zone).utcoffset()


def a_moment(zone: str, chance: random.Random) -> datetime:
    """Return a change of the clock, or any minute in a zone that keeps its clock for years."""
    for _ in range(12):
        year = chance.choice(YEARS)
        changes = changes_in(zone, year)
        if changes:
            return chance.choice(changes)
    return datetime(year, 1, 1, tzinfo=UTC) + chance.randrange(525_600) * MINUTE


#: From a change of the clock to a wall time that it may trouble, in minutes.
NEAR = [0, 1, -1, 15, 29, 30, 31, 45, 59, 60, 61, 75, 90, 120]


def a_wall_time(zone: str, moment: datetime, chance: random.Random) -> datetime:
    """Return a wall time: near what the clock showed just before *moment*, or on a day around."""
    shown = (moment - MINUTE).astimezone(ZoneInfo(zone)).replace(tzinfo=None) + MINUTE
    match chance.randrange(4):
        case 0 | 1:
            return shown + chance.choice(NEAR) * MINUTE
        case 2:
            return shown - chance.choice(NEAR) * MINUTE
        case _:
            return shown + chance.randrange(-3 * 1440, 3 * 1440) * MINUTE


def a_window(zone: str, moment: datetime, chance: random.Random) -> Window:
    start, end = (a_wall_time(zone, moment, chance) for _ in range(2))
    if chance.random() < 0.3:
        start, end = min(start, end), max(start, end)
        return OneOffWindow(zone=zone, start=start, end=end + MINUTE * (start == end))
    return WeeklyWindow(
        zone=zone,
        start=WeekTime(day=start.weekday(), minute=start.hour * 60 + start.minute),
        end=WeekTime(day=end.weekday(), minute=end.hour * 60 + end.minute),
    )


def a_schedule(zone: str, moment: datetime, chance: random.Random) -> list[Window]:
    """Return one to four windows in *zone*, and sometimes one in any other."""
    chosen = [a_window(zone, moment, chance) for _ in range(chance.choice([1, 1, 1, 2, 3]))]
    if chance.random() < 0.1:
        chosen.append(a_window(chance.choice(ZONES), moment, chance))
    return chosen


def check(chosen: list[Window], doors: Doors, now: datetime) -> None:
    """Compare with what the oracle sees, as far as it sees."""
    sight = doors.sight()
    seen = open_now(chosen, now)
    assert (seen is not None) == doors.at(now)
    if seen is not None:
        closes_at = doors.closes_after(now)
        if closes_at is None:
            assert seen.closes_at is None or seen.closes_at >= sight
        else:
            assert seen.closes_at == closes_at
    ahead = next_opening(chosen, now)
    opens_at = doors.opens_after(now)
    if opens_at is None:
        assert ahead is None or ahead.opens_at >= sight
        return
    assert ahead is not None
    assert ahead.opens_at == opens_at
    closes_at = doors.closes_after(opens_at)
    if closes_at is None:
        assert ahead.closes_at is None or ahead.closes_at >= sight
    else:
        assert ahead.closes_at == closes_at


def some_instants(doors: Doors, moment: datetime, chance: random.Random) -> list[datetime]:
    """Return instants to judge: one by chance, and both sides of where a door opens or closes."""
    wild = moment + chance.randrange(-3 * 86_400, 3 * 86_400) * timedelta(seconds=1)
    edges = doors.changes()
    edge = chance.choice(edges) if edges else moment
    return [wild, edge, edge - TICK]


SHARES = 6
MOMENTS = 2
SCHEDULES = 9


@pytest.mark.parametrize(
    "share",
    [0, *(pytest.param(share, marks=pytest.mark.nightly) for share in range(1, SHARES))],
)
def test_in_every_zone_windows_are_open_when_somebody_at_the_clock_says_so(share: int) -> None:
    """Ten thousand schedules in all, each judged at some instants; by day every sixth zone."""
    chance = random.Random(share)  # noqa: S311 - a repeatable one
    answers = set()
    for zone in ZONES[share::SHARES]:
        for _ in range(MOMENTS):
            moment = a_moment(zone, chance)
            for _ in range(SCHEDULES):
                chosen = a_schedule(zone, moment, chance)
                doors = Doors(chosen, moment)
                for now in some_instants(doors, moment, chance):
                    check(chosen, doors, now)
                    answers.add(doors.at(now))
    assert answers == {True, False}  # else the schedules prove little


chances = st.randoms(use_true_random=False)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Window], datetime, datetime]:
    """Give windows, the moment they lie around, and an instant there."""
    zone, chance = draw(st.sampled_from(ZONES)), draw(chances)
    moment = a_moment(zone, chance)
    now = moment + draw(st.timedeltas(-3 * DAY, 3 * DAY))
    return a_schedule(zone, moment, chance), moment, now


@given(situations())
@settings(max_examples=300, deadline=None)
def test_hypothesis_finds_no_schedule_that_the_clock_on_the_wall_contradicts(
    situation: tuple[list[Window], datetime, datetime],
) -> None:
    chosen, moment, now = situation
    check(chosen, Doors(chosen, moment), now)


@given(situations())
@settings(max_examples=300)
def test_windows_are_open_exactly_during_their_occurrences(
    situation: tuple[list[Window], datetime, datetime],
) -> None:
    chosen, _, now = situation
    around = [each for one in chosen for each in occurrences(one, now, now + TICK)]
    assert all(each.start <= now < each.end for each in around)
    assert (open_now(chosen, now) is not None) == bool(around)


@given(situations())
@settings(max_examples=300)
def test_openings_begin_and_end_where_they_say(
    situation: tuple[list[Window], datetime, datetime],
) -> None:
    chosen, _, now = situation
    current, ahead = open_now(chosen, now), next_opening(chosen, now)
    if current is not None and current.closes_at is not None:
        assert now < current.closes_at <= now + HORIZON
        assert open_now(chosen, current.closes_at) is None
        assert open_now(chosen, current.closes_at - TICK) == current
        assert ahead is None or ahead.opens_at > current.closes_at
    if ahead is not None:
        assert now < ahead.opens_at
        assert open_now(chosen, ahead.opens_at) == Open(closes_at=ahead.closes_at)
        assert open_now(chosen, ahead.opens_at - TICK) is None
        assert next_opening(chosen, ahead.opens_at - TICK) == ahead
    elif any(isinstance(one, WeeklyWindow) for one in chosen):
        assert current == Open(closes_at=None)


@given(situations(), st.timedeltas(TICK, 30 * DAY))
@settings(max_examples=300)
def test_occurrences_are_in_order_and_the_same_from_wherever_one_looks(
    situation: tuple[list[Window], datetime, datetime], later: timedelta
) -> None:
    chosen, moment, now = situation
    for window in chosen:
        found = list(occurrences(window, moment - 30 * DAY, moment + 60 * DAY))
        assert all(each.start < each.end for each in found)
        assert found == sorted(found, key=lambda each: each.start)
        assert list(occurrences(window, now, now + later)) == [
            each for each in found if each.end > now and each.start < now + later
        ]


@given(situations(), chances)
def test_the_order_of_windows_and_the_zone_of_now_change_nothing(
    situation: tuple[list[Window], datetime, datetime], chance: random.Random
) -> None:
    chosen, _, now = situation
    shuffled = chance.sample(chosen, len(chosen)) + chosen[:1]
    elsewhere = now.astimezone(ZoneInfo(chance.choice(ZONES)))
    assert open_now(shuffled, elsewhere) == open_now(chosen, now)
    assert next_opening(shuffled, elsewhere) == next_opening(chosen, now)
