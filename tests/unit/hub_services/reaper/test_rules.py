"""What the reaper decides: nothing that somebody answers for, everything else (promise 6)."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub_services.reaper import rules
from hub_services.reaper.observed import Shape
from tests.unit.hub_services.reaper.worlds import (
    HOUR,
    NOW,
    a_gpu_claim,
    a_pod,
    a_server,
    a_session,
    a_template,
    a_volume_claim,
    an_ended_session,
)

SECOND = timedelta(seconds=1)
YOUNG = NOW - rules.GRACE + SECOND
OLD_ENOUGH = NOW - rules.GRACE


def reaped(pod, servers, sessions):
    return [each.pod for each in rules.to_reap([pod], servers, sessions, NOW)] == [pod]


@pytest.mark.parametrize(
    ("pod", "servers", "sessions", "goes"),
    [
        pytest.param(a_pod(), [a_server()], [a_session()], False, id="runs"),
        pytest.param(a_pod(), [a_server(pending="spawn")], [a_session()], False, id="starts"),
        pytest.param(a_pod(), [a_server(pending="stop")], [a_session()], False, id="stops"),
        pytest.param(a_pod(), [a_server(pending="check")], [a_session()], False, id="adopted"),
        pytest.param(a_pod(), [], [a_session()], True, id="unknown to the hub"),
        pytest.param(a_pod(), [a_server(name="other")], [a_session()], True, id="other server"),
        pytest.param(a_pod(), [a_server(owner="bob")], [a_session()], True, id="other owner"),
        pytest.param(a_pod(created_at=YOUNG), [], [a_session()], False, id="young"),
        pytest.param(a_pod(created_at=OLD_ENOUGH), [], [a_session()], True, id="old enough"),
        pytest.param(
            a_pod(created_at=NOW + HOUR), [], [a_session()], False, id="from a clock that is ahead"
        ),
        pytest.param(a_pod(is_going=True), [], [a_session()], False, id="already going"),
        pytest.param(
            a_pod(), [], [], False, id="unknown to the store, too: another hub's, or a lost store"
        ),
        pytest.param(a_pod(), [a_server()], [an_ended_session()], True, id="session has ended"),
        pytest.param(
            a_pod(), [a_server()], [an_ended_session(ended_at=YOUNG)], False, id="ended just now"
        ),
        pytest.param(
            a_pod(),
            [a_server(pending="spawn")],
            [an_ended_session(end_reason="superseded"), a_session(id="s2")],
            True,
            id="its workspace has another session",
        ),
        pytest.param(
            a_pod(session="lost"),
            [a_server()],
            [a_session()],
            False,
            id="unknown in a workspace that runs: a store that was restored kills nobody",
        ),
    ],
)
def test_a_pod_goes_only_when_nobody_answers_for_it(pod, servers, sessions, goes):
    assert reaped(pod, servers, sessions) is goes


def test_a_reap_says_whose_pod_it_is_and_why():
    (one,) = rules.to_reap([a_pod()], [], [a_session(workspace="gpu")], NOW)
    assert (one.session.owner, one.session.workspace) == ("alice", "gpu")
    assert (one.reason, one.because) == ("orphan", "the hub knows no such server")


def test_a_pod_of_an_ended_session_says_how_that_ended():
    (one,) = rules.to_reap([a_pod()], [a_server()], [an_ended_session()], NOW)
    assert one.because == "its session has ended (stopped)"


@pytest.mark.parametrize(
    ("session", "pods", "servers", "ends"),
    [
        pytest.param(a_session(), [], [], True, id="nothing is left"),
        pytest.param(a_session(), [], [a_server()], True, id="the hub has not looked yet"),
        pytest.param(a_session(), [a_pod()], [], False, id="has a Pod"),
        pytest.param(a_session(), [a_pod(is_going=True)], [], False, id="has a Pod that goes"),
        pytest.param(a_session(), [a_pod(session="s2")], [], True, id="the Pod is another's"),
        pytest.param(a_session(), [], [a_server(pending="spawn")], False, id="starts"),
        pytest.param(a_session(), [], [a_server(pending="check")], False, id="is looked for"),
        pytest.param(a_session(), [], [a_server(pending="stop")], False, id="stops"),
        pytest.param(
            a_session(), [], [a_server(name="other", pending="spawn")], True, id="another starts"
        ),
        pytest.param(a_session(admitted_at=YOUNG), [], [], False, id="young"),
        pytest.param(a_session(admitted_at=OLD_ENOUGH), [], [], True, id="old enough"),
        pytest.param(an_ended_session(), [], [], False, id="ended long ago"),
    ],
)
def test_a_session_ends_only_when_it_has_no_pod_and_gets_none(session, pods, servers, ends):
    assert bool(rules.to_close([session], pods, servers, NOW)) is ends


def test_a_session_without_a_pod_ends_as_pod_gone():
    (close,) = rules.to_close([a_session()], [], [], NOW)
    assert close.reason == "pod-gone"


SHARES = {"gpu_model": "L4", "gpu_count": 1, "sm_percent": 50}


@pytest.mark.parametrize(
    ("template", "in_use", "sessions", "goes"),
    [
        pytest.param(a_template(), [], [], True, id="nobody needs it"),
        pytest.param(a_template(), ["gpu-1"], [], False, id="a Pod refers to it"),
        pytest.param(a_template(), ["gpu-2"], [], True, id="Pods refer to others"),
        pytest.param(a_template(), [], [a_session(**SHARES)], False, id="a start will ask for it"),
        pytest.param(a_template(), [], [an_ended_session(**SHARES)], True, id="asked in the past"),
        pytest.param(
            a_template(), [], [a_session(**SHARES | {"sm_percent": 25})], True, id="other share"
        ),
        pytest.param(
            a_template(created_at=NOW - rules.TEMPLATE_AGE + SECOND), [], [], False, id="young"
        ),
        pytest.param(
            a_template(created_at=NOW - rules.TEMPLATE_AGE), [], [], True, id="old enough"
        ),
        pytest.param(
            a_template(shape=Shape(gpu_model="L4", gpu_count="", sm_percent="")),
            [],
            [],
            True,
            id="labels of an older release",
        ),
    ],
)
def test_a_template_goes_only_when_no_pod_and_no_start_needs_it(template, in_use, sessions, goes):
    assert bool(rules.to_drop([template], in_use, sessions, NOW)) is goes


@pytest.mark.parametrize(
    ("claim", "recorded", "is_written"),
    [
        pytest.param(a_volume_claim(), {}, True, id="its owner has no volumes"),
        pytest.param(a_volume_claim(), {"alice": {"other"}}, True, id="its owner has others"),
        pytest.param(a_volume_claim(), {"bob": {"data"}}, True, id="another owner's"),
        pytest.param(a_volume_claim(), {"alice": {"data"}}, False, id="known"),
        pytest.param(a_volume_claim(is_going=True), {}, False, id="about to be deleted"),
        pytest.param(a_volume_claim(name="somebodys"), {}, False, id="not named as ours"),
        pytest.param(a_volume_claim(owner=""), {}, False, id="nobody's"),
        pytest.param(a_volume_claim(key="Not a key"), {}, False, id="key that none can have"),
        pytest.param(a_volume_claim(size_bytes=0), {}, False, id="size that cannot be read"),
    ],
)
def test_a_volume_is_recorded_only_when_it_is_ours_and_unknown(claim, recorded, is_written):
    assert bool(rules.to_record([claim], recorded)) is is_written


def test_a_recorded_volume_keeps_its_owner_key_claim_and_size():
    (record,) = rules.to_record([a_volume_claim()], {})
    assert record.owner == "alice"
    assert (record.volume.key, record.volume.size_bytes) == ("data", 10 * 2**30)
    assert record.volume.claim_name == a_volume_claim().name


def doubts(**changes):
    calm = {
        "pods": [a_pod()],
        "sessions": [a_session()],
        "volume_claims": [a_volume_claim()],
        "gpu_claims": [a_gpu_claim()],
        "pod_uids": {"uid-1"},
        "now": NOW,
    }
    return [doubt.uid for doubt in rules.doubts(**calm | changes)]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        pytest.param({}, [], id="all in order"),
        pytest.param({"sessions": []}, ["uid-1"], id="a Pod without a record"),
        pytest.param({"sessions": [], "pods": [a_pod(created_at=YOUNG)]}, [], id="a young one"),
        pytest.param({"sessions": [], "pods": [a_pod(is_going=True)]}, [], id="one that goes"),
        pytest.param({"volume_claims": [a_volume_claim(name="x")]}, ["uid-v"], id="forged volume"),
        pytest.param(
            {"volume_claims": [a_volume_claim(name="x", is_going=True)]}, [], id="it goes"
        ),
        pytest.param({"pod_uids": set()}, ["uid-c"], id="a claim that outlives its Pod"),
        pytest.param(
            {"pod_uids": set(), "gpu_claims": [a_gpu_claim(created_at=YOUNG)]},
            [],
            id="a claim whose Pod ended a moment ago",
        ),
    ],
)
def test_what_only_a_person_can_judge_is_told(changes, told):
    assert doubts(**changes) == told


# Any world at all

_owners = st.sampled_from(["alice", "bob"])
_workspaces = st.sampled_from(["", "gpu"])
_ids = st.sampled_from(["s1", "s2", "s3", "s4"])
_times = st.sampled_from([NOW - 5 * HOUR, NOW - HOUR, OLD_ENOUGH, YOUNG, NOW])
_pods = st.lists(
    st.builds(
        a_pod,
        uid=st.uuids().map(str),
        session=_ids,
        created_at=_times,
        is_going=st.booleans(),
    ),
    max_size=5,
)
_servers = st.lists(
    st.builds(
        a_server,
        owner=_owners,
        name=_workspaces,
        pending=st.sampled_from([None, "spawn", "stop", "check"]),
    ),
    max_size=4,
    unique_by=lambda server: (server.owner, server.name),
)
_sessions = st.lists(
    st.builds(
        lambda ended_at, **values: a_session(
            **values,
            admitted_at=NOW - 6 * HOUR,
            ended_at=ended_at,
            end_reason=ended_at and "stopped",
        ),
        ended_at=st.one_of(st.none(), _times),
        id=_ids,
        owner=_owners,
        workspace=_workspaces,
    ),
    max_size=4,
    unique_by=lambda session: session.id,
)


@given(_pods, _servers, _sessions)
def test_a_pod_that_the_hub_knows_stays_unless_its_session_is_known_to_have_ended(
    pods, servers, sessions
):
    active = {(server.owner, server.name) for server in servers}
    for reap in rules.to_reap(pods, servers, sessions, NOW):
        session = reap.session
        assert (session.owner, session.workspace) not in active or session.ended_at is not None


@given(_pods, _servers, _sessions)
def test_a_pod_whose_session_is_unknown_stays_whatever_the_hub_says(pods, servers, sessions):
    known = {session.id for session in sessions}
    assert {reap.pod.session for reap in rules.to_reap(pods, servers, sessions, NOW)} <= known


@given(_pods, _servers, _sessions)
def test_a_pod_that_belongs_to_an_open_session_of_an_active_server_is_never_reaped(
    pods, servers, sessions
):
    active = {(server.owner, server.name) for server in servers}
    safe = {each.id for each in sessions if (each.owner, each.workspace) in active} & {
        each.id for each in sessions if each.ended_at is None
    }
    victims = rules.to_reap(pods, servers, sessions, NOW)
    assert not safe & {reap.pod.session for reap in victims}


@given(_pods, _servers, _sessions, st.randoms())
def test_the_order_in_which_things_are_listed_changes_nothing(pods, servers, sessions, chance):
    def decided():
        reaps = rules.to_reap(pods, servers, sessions, NOW)
        closes = rules.to_close(sessions, pods, servers, NOW)
        return {reap.pod.uid for reap in reaps}, {close.session.id for close in closes}

    before = decided()
    for listed in (pods, servers, sessions):
        chance.shuffle(listed)
    assert decided() == before


def acted(pods, servers, sessions, now):
    """Return Pods and sessions as they are after one sweep."""
    reaps = rules.to_reap(pods, servers, sessions, now)
    ends = {reap.pod.session: reap.reason for reap in reversed(reaps)}
    for close in rules.to_close(sessions, pods, servers, now):
        ends.setdefault(close.session.id, close.reason)
    gone = {reap.pod.uid for reap in reaps}
    return [pod for pod in pods if pod.uid not in gone], [
        replace(session, ended_at=now, end_reason=ends[session.id])
        if session.id in ends and session.ended_at is None
        else session
        for session in sessions
    ]


@given(_pods, _servers, _sessions)
def test_what_was_done_is_not_done_again(pods, servers, sessions):
    left, records = acted(pods, servers, sessions, NOW)
    assert not rules.to_reap(left, servers, records, NOW)
    assert {each.session.id for each in rules.to_close(records, left, servers, NOW)} <= {
        session.id
        for session in sessions
        if session.ended_at is None and session.id not in {pod.session for pod in left}
    }


@given(_pods, _servers, _sessions)
def test_after_three_sweeps_in_a_calm_world_all_agree(pods, servers, sessions):
    """Nothing is pending and what was to go is gone: then hub, cluster and store say the same."""
    servers = [replace(server, pending=None) for server in servers]
    pods = [pod for pod in pods if not pod.is_going]
    now = NOW
    for _ in range(3):
        now += 2 * rules.GRACE
        pods, sessions = acted(pods, servers, sessions, now)
    active = {(server.owner, server.name) for server in servers}
    running = {pod.session for pod in pods}
    by_id = {session.id: session for session in sessions}
    assert {session.id for session in sessions if session.ended_at is None} <= running
    for pod in pods:
        session = by_id.get(pod.session)
        if session is not None:
            assert session.ended_at is None
            assert (session.owner, session.workspace) in active
