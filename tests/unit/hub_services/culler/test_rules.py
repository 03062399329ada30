"""When a session ends for idleness, its longest session or a quota; and when it does not. F66 to F69, F101; D1."""

from dataclasses import replace
from datetime import timedelta

import pytest

from eugospawner.policy import deadlines
from eugospawner.policy.lifecycle import Ending, State
from eugospawner.store import Workspace
from hub_services.culler import rules
from tests.factories.catalog import a_catalog, a_profile
from tests.unit.hub_services.reaper.worlds import HOUR, NOW
from tests.unit.hub_services.reaper.worlds import a_session as any_session

MINUTE = timedelta(minutes=1)


def catalog(**changes):
    profiles = {
        "short": a_profile(key="short", idle_stop=30 * MINUTE, max_session=8 * HOUR),
        "plain": a_profile(key="plain", idle_stop=None, max_session=None),
        "seen": a_profile(key="seen", idle_stop=30 * MINUTE, idle_shadow=True),
    }
    return a_catalog(**{"profiles": profiles, "default_profile": "short"} | changes)


def a_session(**changes):
    given = {"profile": "short", "bound_at": NOW - HOUR, "granted_percent": 0} | changes
    later = {
        name: given.pop(name) for name in ("active_at", "kept_at", "extended_ms") if name in given
    }
    return replace(any_session(**given), **later)


def stops(session, now=NOW, **changes):
    return rules.to_stop([session], catalog(**changes), now)


@pytest.mark.parametrize(
    ("profile", "limit"), [("short", 30 * MINUTE), ("plain", 60 * MINUTE), ("gone", 60 * MINUTE)]
)
def test_it_is_idle_after_the_time_of_its_profile_and_not_a_millisecond_before(profile, limit):
    session = a_session(profile=profile, bound_at=NOW - 9 * HOUR, active_at=NOW - limit)
    (stop,) = stops(session)
    assert (stop.reason, stop.idle_before) == (Ending.IDLE, NOW - limit)
    assert stops(session, NOW - timedelta(milliseconds=1)) == ()


@pytest.mark.parametrize("sign", ["bound_at", "active_at", "kept_at"])
def test_whatever_was_last_counts(sign):
    signs = {"bound_at": NOW - HOUR, "active_at": NOW - HOUR, "kept_at": NOW - HOUR}
    assert stops(a_session(**signs))
    assert stops(a_session(**signs | {sign: NOW - 29 * MINUTE})) == ()


def test_what_starts_or_has_ended_is_not_idle():
    assert stops(a_session(bound_at=None, granted_percent=None)) == ()
    assert stops(a_session(ended_at=NOW, end_reason="user")) == ()


@pytest.mark.parametrize(
    ("because", "reason"),
    [("max-session", Ending.MAX_SESSION), ("quota-exhausted", Ending.QUOTA), ("plan-window", None)],
)
def test_a_deadline_ends_it_except_a_window_which_is_the_reaper_s(because, reason):
    session = a_session(ends_at=NOW, ends_because=because, active_at=NOW)
    found = stops(session)
    assert [each.reason for each in found] == ([] if reason is None else [reason])
    assert stops(session, NOW - timedelta(milliseconds=1)) == ()
    for stop in found:
        assert (stop.overdue_at, stop.idle_before) == (NOW, None)


def test_a_deadline_comes_before_idleness():
    (stop,) = stops(a_session(ends_at=NOW, ends_because="max-session"))
    assert stop.reason is Ending.MAX_SESSION


def test_where_idleness_is_only_listed_nothing_is_stopped_for_it():
    idle = a_session(profile="seen")
    assert stops(idle) == ()
    (listed,) = rules.to_list([idle], catalog(), NOW)
    assert listed.reason is Ending.IDLE
    assert rules.to_list([a_session()], catalog(), NOW) == ()
    assert stops(a_session(), idle_shadow=True) == ()
    assert rules.to_list([a_session()], catalog(idle_shadow=True), NOW)
    (overdue,) = stops(a_session(profile="seen", ends_at=NOW, ends_because="max-session"))
    assert overdue.reason is Ending.MAX_SESSION


def test_once_told_is_told_until_it_is_idle_anew():
    idle = a_session(profile="seen")
    stop = rules.to_list([idle], catalog(), NOW)
    told = {(idle.id, idle.idle_since)}
    assert rules.news(stop, set()) == stop
    assert rules.news(stop, told) == ()
    again = a_session(profile="seen", active_at=NOW - 31 * MINUTE)
    assert rules.news(rules.to_list([again], catalog(), NOW), told)


def test_gpus_are_looked_at_where_there_are_some_and_nothing_else_was_seen():
    with_gpu = a_session(gpu_model="L4", gpu_count=1, sm_percent=50, requested_percent=50)
    assert rules.to_look_at([with_gpu, a_session()], catalog(), NOW) == (with_gpu,)
    busy = a_session(
        gpu_model="L4", gpu_count=1, sm_percent=50, requested_percent=50, active_at=NOW
    )
    assert rules.to_look_at([busy], catalog(), NOW) == ()


def test_entries_of_long_stopped_workspaces_go_only_if_that_is_configured():
    old = Workspace(
        owner="alice", server="old", project="p", name="Old", options={}, created_at=NOW,
        changed_at=NOW, state=State.STOPPED, since=NOW - 30 * 24 * HOUR,
    )  # fmt: skip
    assert rules.to_delete([old], catalog(), NOW) == ()
    assert rules.to_delete([old], catalog(delete_stopped_after=30 * 24 * HOUR), NOW) == (old,)
    assert rules.to_delete([old], catalog(delete_stopped_after=31 * 24 * HOUR), NOW) == ()


def test_people_are_warned_15_minutes_before_or_at_half_the_time_if_that_is_later():
    def warned(profile):
        found = deadlines.prospect_of(a_session(profile=profile, bound_at=NOW), catalog(
            profiles={
                "short": a_profile(key="short", idle_stop=20 * MINUTE),
                "long": a_profile(key="long", idle_stop=2 * HOUR),
            }
        ))  # fmt: skip
        return found.idle.warned_from - NOW

    assert warned("short") == 10 * MINUTE
    assert warned("long") == 105 * MINUTE


def test_the_pages_and_the_culler_say_the_same_moment():
    """Whatever the session, it is stopped from the moment that the countdown shows, not before."""
    for profile in ("short", "plain"):
        for active in range(0, 600, 7):
            session = a_session(
                profile=profile, active_at=NOW + active * MINUTE, ends_at=NOW + 5 * HOUR,
                ends_because="max-session",
            )  # fmt: skip
            at = deadlines.prospect_of(session, catalog()).first.at
            assert stops(session, at)
            assert stops(session, at - timedelta(milliseconds=1)) == ()


@pytest.mark.parametrize(
    ("minutes", "words"),
    [(0, "0 min"), (59, "59 min"), (60, "1 h"), (90, "1 h 30 min"), (480, "8 h")],
)
def test_durations_in_words(minutes, words):
    assert deadlines.duration_words(minutes * MINUTE) == words
