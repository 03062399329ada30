"""
A second opinion on when a session ends and why: it shares no code with the rules, and counts minutes.

The window's close it finds by looking at the clock on the wall of Berlin each minute, through the night in which that
shows an hour twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from eugospawner.policy.windows import WeeklyWindow, WeekTime
from eugospawner.settings import Settings
from tests.factories.accounts import a_directory, a_group, a_person, a_plan, a_project
from tests.factories.catalog import a_catalog, a_profile, a_queue

#: The evening before the night in which Berlin's clocks go back: 18:00 there.
BEGIN = datetime(2026, 10, 24, 16, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
MINUTE = timedelta(minutes=1)
#: Profile: idle, longest session and extension in minutes.
PROFILES = {"short": (30, 240, 120), "long": (120, 480, 60), "fixed": (60, 600, 0)}
#: Open from 20:00 to 03:30 by the clock on the wall, which comes once at 03:30 that night.
OPENS, CLOSES = (20, 0), (3, 30)


def settings():
    profiles = {
        key: a_profile(
            key, idle_stop=idle * MINUTE, max_session=longest * MINUTE, extension=more * MINUTE
        )
        for key, (idle, longest, more) in PROFILES.items()
    }
    queues = {each.key: each for each in (a_queue(), a_queue("night"))}
    catalog = a_catalog(
        profiles=profiles, default_profile="short", queues=queues, zone="Europe/Berlin"
    )
    night = tuple(
        WeeklyWindow(
            zone="Europe/Berlin",
            start=WeekTime(day=day, minute=OPENS[0] * 60 + OPENS[1]),
            end=WeekTime(day=(day + 1) % 7, minute=CLOSES[0] * 60 + CLOSES[1]),
        )
        for day in range(7)
    )
    group = a_group("lab")
    plan = a_plan("nightly", queues=("night",), windows=night, profiles=frozenset(PROFILES))
    project = a_project("night", group=group, plan=plan)
    people = {
        f"p{number}": a_person(f"p{number}", groups=frozenset({"lab"})) for number in range(1000)
    }
    directory = a_directory(
        groups={"lab": group}, projects={"night": project}, plans={"nightly": plan}, people=people
    )
    return Settings(catalog=catalog, directory=directory)


def shows(minute):
    """Return what the clock on the wall shows, *minute* minutes after the beginning."""
    at = (BEGIN + minute * MINUTE).astimezone(BERLIN)
    return at.hour, at.minute


def is_open(minute):
    shown = shows(minute)
    return shown >= OPENS or shown < CLOSES


def closes_after(minute):
    """Return the first minute after *minute* at which the window closes."""
    at = minute
    while is_open(at):
        at += 1
    return at


@dataclass
class Model:
    """What becomes of one session, counted in minutes."""

    profile: str
    is_nightly: bool
    began: int
    seen: int = 0
    more: int = 0

    def __post_init__(self):
        self.seen = self.began

    def deadline(self):
        """Return when it ends whatever happens, and why."""
        _, longest, _ = PROFILES[self.profile]
        end, why = self.began + longest + self.more, "max-session"
        if self.is_nightly and closes_after(self.began) < end:
            return closes_after(self.began), "plan-window"
        return end, why

    def reasons(self, minute):
        """Return all for which it may be stopped at *minute*, the weightiest first."""
        end, why = self.deadline()
        is_idle = minute - self.seen >= PROFILES[self.profile][0]
        return [why] * (end <= minute) + ["idle"] * is_idle

    def verdict(self, minute):
        """Return why it is stopped at *minute*; `None`: it is not."""
        return next(iter(self.reasons(minute)), None)

    def extends(self):
        """Have it be extended; return whether anything is left."""
        ceiling = PROFILES[self.profile][2]
        end, why = self.deadline()
        if why != "max-session" or self.more >= ceiling:
            return False
        before, self.more = self.more, min(self.more + 60, ceiling)
        if self.deadline()[0] <= end:
            self.more = before
            return False
        return True
