"""Changed settings on what people asked for: two lives from one beginning (L11)."""

from dataclasses import replace
from datetime import timedelta

import pytest

from eugospawner.policy.catalog import AtOnce
from eugospawner.policy.quota import Amounts, Cell, Span, Subject, SubjectKind, Used
from eugospawner.policy.windows import WeeklyWindow, WeekTime
from eugospawner.settings import Settings
from hub_services.quota.trial import Asked, Kind, sentences_of, try_out
from tests.factories import NOW, a_catalog, a_plan, a_profile, a_quota
from tests.factories.accounts import a_directory
from tests.factories.chance import chance

HOUR = timedelta(hours=1)
GPU_HOUR = 100 * 3_600_000
H100 = {"profile": "gpu", "gpu_model": "H100", "gpu_count": 1, "sm_percent": 50}


def the_settings(quotas=(), plan=None, **catalog):
    plan = plan or a_plan("")
    return Settings(
        catalog=a_catalog(quotas=tuple(quotas), **catalog),
        directory=a_directory(default_plan=plan),
    )


def asked(hours=0.0, owner="alice", ran=HOUR, **changes):
    values = {
        "at": NOW + hours * HOUR,
        "owner": owner,
        "workspace": f"w{hours}",
        "actor": owner,
        "options": H100,
        "ran": ran,
    }
    return Asked(**(values | changes))


def tried(requests, before, after, used=None):
    return try_out(requests, before=before, after=after, used=used or {}, slug=lambda name: name)


def hours_quota(gpu_hours, **changes):
    return a_quota(amount=gpu_hours * GPU_HOUR, span=Span.MONTH, gpu_model=None, **changes)


def test_a_smaller_quota_denies_from_the_request_that_it_does_not_cover():
    """Each runs an hour at half a GPU; two hours of quota are four of them."""
    requests = [asked(2.0 * n) for n in range(7)]
    found = tried(requests, the_settings(), the_settings([hours_quota(2)]))
    denied = [requests.index(each.asked) for each in found.of(Kind.DENIED)]
    assert denied == [4, 5, 6]
    assert sentences_of(found) == (
        "It would have denied 3 starts of 1 user.",
        "Reasons of the denials: quota-exhausted (3).",
    )


def test_what_was_used_before_counts():
    before = {
        Cell(Subject(SubjectKind.USER, "alice"), Span.MONTH, f"{NOW:%Y-%m}", "L4"): Used(
            Amounts(gpu=GPU_HOUR), Amounts()
        )
    }
    requests = [asked(2.0 * n) for n in range(3)]
    found = tried(requests, the_settings(), the_settings([hours_quota(2)]), before)
    assert [requests.index(each.asked) for each in found.of(Kind.DENIED)] == [2]


def test_a_workspace_that_would_have_ended_earlier_is_stopped_and_others_are_not():
    shorter = a_profile("gpu", flavors=("gpu-h100",), max_session=2 * HOUR)
    longer = replace(shorter, max_session=8 * HOUR)
    catalog = a_catalog()
    before = the_settings(profiles={**catalog.profiles, "gpu": longer})
    after = the_settings(profiles={**catalog.profiles, "gpu": shorter})
    requests = [asked(ran=HOUR), asked(10, ran=3 * HOUR), asked(20, owner="bob", ran=5 * HOUR)]
    found = tried(requests, before, after)
    assert [each.asked.at for each in found.of(Kind.SHORTER)] == [each.at for each in requests[1:]]
    assert sentences_of(found) == ("It would have stopped 2 workspaces of 2 users earlier.",)
    assert [each.kind for each in tried(requests, after, before).differences] == [Kind.LONGER] * 2


def test_a_wider_plan_admits_what_was_refused():
    narrow = the_settings(plan=a_plan("", gpu_models=frozenset({"L4"})))
    requests = [asked(ran=None), asked(1, options={}, ran=HOUR)]
    found = tried(requests, narrow, the_settings())
    assert [each.asked for each in found.of(Kind.ADMITTED)] == [requests[0]]
    assert sentences_of(found) == ("It would have admitted 1 start of 1 user that were refused.",)


def test_what_is_admitted_there_takes_what_others_had():
    """Of two who want the last GPU at once, the first has it in either life."""
    limit = AtOnce(gpu_percent=50)
    before = the_settings(plan=a_plan("", person_at_once=AtOnce(gpu_percent=0), at_once=limit))
    after = the_settings(plan=a_plan("", person_at_once=limit, at_once=AtOnce()))
    requests = [asked(ran=None), asked(0.5, ran=None), asked(0.5, owner="bob", ran=None)]
    found = tried(requests, before, after)
    assert [each.asked for each in found.of(Kind.ADMITTED)] == [requests[0], requests[2]]


def test_a_window_that_would_be_closed_denies():
    weekly = WeeklyWindow(
        zone="Europe/Berlin", start=WeekTime(day=5, minute=0), end=WeekTime(day=6, minute=0)
    )
    open_plan = a_plan("", queues=("batch",))
    closed = replace(open_plan, windows=(weekly,))
    requests = [asked(options=H100 | {"queue": "batch"})]
    found = tried(requests, the_settings(plan=open_plan), the_settings(plan=closed))
    assert [str(each.after.first.reason) for each in found.differences] == ["window-closed"]


def test_without_a_change_nothing_is_found_whatever_was_asked():
    random = chance(3)
    quotas = [hours_quota(5), a_quota(span=Span.DAY, amount=3 * GPU_HOUR, gpu_model="H100")]
    requests = [
        asked(
            0.3 * number,
            owner=random.choice(["alice", "bob"]),
            ran=random.choice([None, HOUR / 2, 5 * HOUR]),
            options=random.choice([H100, {}, {"cpu": "banana"}, {"profile": "none"}, None]),
        )
        for number in range(120)
    ]
    settings = the_settings(quotas)
    found = tried(requests, settings, settings)
    assert found.differences == ()
    assert found.skipped == sum(each.options is None for each in requests)
    assert found.tried + found.skipped == 120
    assert sentences_of(found) == ("It would have changed nothing.",)


@pytest.mark.parametrize("seed", range(3))
def test_a_larger_quota_denies_nobody_and_a_smaller_one_admits_nobody_first(seed):
    random = chance(seed)
    requests = [
        asked(0.7 * number, ran=random.choice([HOUR / 2, 3 * HOUR])) for number in range(60)
    ]
    small, large = the_settings([hours_quota(5)]), the_settings([hours_quota(15)])
    grown = tried(requests, small, large)
    assert not grown.of(Kind.DENIED)
    assert grown.of(Kind.ADMITTED)
    shrunk = tried(requests, large, small)
    assert len(shrunk.of(Kind.DENIED)) == len(grown.of(Kind.ADMITTED))
