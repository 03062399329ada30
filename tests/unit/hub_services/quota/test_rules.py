"""What is bound, settled and doubted, and what missing knowledge never does: charge."""

from datetime import timedelta

import pytest

from eugospawner.policy.limits import Override
from eugospawner.settings import Settings
from hub_services.quota import rules
from tests.factories import a_catalog, a_quota
from tests.factories.accounts import a_directory
from tests.unit.hub_services.quota.worlds import a_bound_session, a_running_pod
from tests.unit.hub_services.reaper.worlds import HOUR, NOW, a_session, an_ended_session

SECOND = timedelta(seconds=1)


def test_what_runs_and_was_bound_by_nobody_is_bound_since_it_was_ready():
    pod = a_running_pod(ready_at=NOW - 60 * SECOND, wants_gpu=True, granted_percent=25)
    (bind,) = rules.to_bind([a_session()], [pod], NOW)
    assert (bind.session, bind.percent, bind.at) == (a_session(), 25, NOW - 60 * SECOND)


@pytest.mark.parametrize(
    ("session", "pod"),
    [
        (a_session(), {"ready_at": NOW - 59 * SECOND}),
        (a_session(), {"ready_at": None}),
        (a_session(), {"granted_percent": None, "wants_gpu": True}),
        (a_session(), {"session": "another"}),
        (a_bound_session(), {}),
        (an_ended_session(), {}),
    ],
    ids=["the hub may be about to", "not ready", "no allocation", "no Pod", "bound", "ended"],
)
def test_nothing_else_is_bound(session, pod):
    assert rules.to_bind([session], [a_running_pod(**pod)], NOW) == ()


def test_a_bound_session_is_settled_until_its_pod_was_seen():
    (settle,) = rules.to_settle([a_bound_session()], [a_running_pod()], NOW)
    assert (settle.session, settle.until) == (a_bound_session(), NOW)


def test_a_pod_that_has_ended_is_charged_until_then_and_no_longer():
    pod = a_running_pod(ended_at=NOW - HOUR / 2)
    (settle,) = rules.to_settle([a_bound_session()], [pod], NOW)
    assert settle.until == NOW - HOUR / 2
    clock_ahead = a_running_pod(ended_at=NOW + HOUR)
    assert rules.to_settle([a_bound_session()], [clock_ahead], NOW)[0].until == NOW


@pytest.mark.parametrize(
    ("session", "pods"),
    [
        (a_bound_session(), []),
        (a_bound_session(), [a_running_pod(session="another")]),
        (a_session(), [a_running_pod()]),
        (an_ended_session(bound_at=NOW - HOUR, granted_percent=0), [a_running_pod()]),
    ],
    ids=["unseen", "another's", "unbound", "ended"],
)
def test_what_is_not_seen_to_run_is_not_charged(session, pods):
    assert rules.to_settle([session], pods, NOW) == ()


def test_cluster_and_store_are_compared_both_ways():
    sessions = [
        a_bound_session(id="unseen"),
        an_ended_session(id="over", bound_at=NOW - HOUR, granted_percent=0),
        a_bound_session(id="less", granted_percent=25),
        a_bound_session(id="fine", granted_percent=25),
    ]
    pods = [
        a_running_pod(session="over"),
        a_running_pod(session="unknown"),
        a_running_pod(session="less", wants_gpu=True, granted_percent=50),
        a_running_pod(session="fine", wants_gpu=True, granted_percent=25),
    ]
    found = rules.doubts(sessions, pods, NOW)
    assert [each.about for each in found] == ["unseen", "over", "unknown", "less"]
    assert "charged 25 GPU percent" in found[-1].sentence
    assert "consumes 50" in found[-1].sentence


def test_what_is_young_or_cannot_be_seen_is_no_doubt():
    young = a_session(admitted_at=NOW - 59 * SECOND)
    assert rules.doubts([young], [], NOW) == ()
    assert rules.doubts([], [a_running_pod(created_at=NOW - 59 * SECOND)], NOW) == ()
    assert rules.doubts([], [a_running_pod(ended_at=NOW - HOUR)], NOW) == ()
    unknown = a_running_pod(wants_gpu=True, granted_percent=None)
    assert rules.doubts([a_bound_session(granted_percent=25)], [unknown], NOW) == ()


def settle_of(**changes):
    return rules.Settle(session=a_bound_session(**changes), until=NOW)


def test_while_the_settings_stay_only_what_a_quota_ends_may_end_later():
    by_rule, by_quota = settle_of(), settle_of(id="s2", ends_because="quota-exhausted")
    assert rules.to_renew([by_rule, by_quota], NOW, anew=False) == (by_quota.session,)
    assert rules.to_renew([by_rule, by_quota], NOW, anew=True) == (
        by_rule.session, by_quota.session,
    )  # fmt: skip


def test_what_is_overdue_stays_so():
    overdue = settle_of(ends_at=NOW, ends_because="quota-exhausted")
    without = settle_of(ends_at=None, ends_because=None)
    assert rules.to_renew([overdue, without], NOW, anew=True) == ()


def test_deadlines_follow_from_the_settings_and_the_overrides_that_hold():
    override = Override(amount=1, expires_at=NOW + HOUR, reason="x")
    quota = a_quota(override=override)
    found = Settings(catalog=a_catalog(quotas=(quota,)), directory=a_directory())
    same = Settings(catalog=a_catalog(quotas=(quota,)), directory=a_directory())
    other = Settings(catalog=a_catalog(), directory=a_directory())
    assert rules.basis_of(found, NOW) == rules.basis_of(same, NOW + HOUR / 2)
    assert rules.basis_of(found, NOW) != rules.basis_of(found, NOW + HOUR)
    assert rules.basis_of(found, NOW) != rules.basis_of(other, NOW)
