"""
The lives of workspaces: their states follow their sessions, and nothing else happens to them.

F12, F15 to F17, F27, F116; promises 6 and 8. After each test the ledger balances, every workspace is in the
state that the last line of the audit about it says, since the moment of that line, and no seal is broken.
"""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from eugospawner.policy.errors import StoreError
from eugospawner.policy.lifecycle import PERMITTED, Ending, Operation, State, leads_to, may_ask
from eugospawner.policy.quota import Exceeds, Fits, Limit, Resource, Span, Subject, SubjectKind
from eugospawner.store import Wish
from eugospawner.store.sessions import Asked
from eugospawner.store.workspaces import InState, NameTaken, NewWorkspace, Workspace
from tests.contract.store.consistency import check_ledger_consistency
from tests.contract.store.values import a_session
from tests.factories.sessions import a_demand

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


@pytest.fixture(autouse=True)
async def consistent(store):
    yield
    await check_ledger_consistency(store)
    assert (await store.audit.verify()).problems == ()
    for workspace in await store.workspaces.every():
        lines = await store.audit.lines(about=workspace.object)
        moved = [line for line in lines if line.detail.get("state")]
        assert moved[0].detail["state"] == workspace.state
        assert moved[0].at == workspace.since


async def start(store, session_id="s1", *, at=NOON, name=None, options=None, limits=(), **changes):
    session = a_session(session_id, **{"admitted_at": at} | changes)
    wish = Wish(name=name, options=options or {})
    return await store.sessions.open(session, a_demand(session, limits=limits), wish=wish)


async def run(store, session_id="s1", *, at=NOON, **changes):
    assert isinstance(await start(store, session_id, at=at, **changes), Fits)
    await store.sessions.bind(session_id, granted_percent=25, at=at + MINUTE)


async def state_of(store, owner="alice", server=""):
    found = await store.workspaces.get(owner, server)
    return None if found is None else found.state


async def create(store, server="thesis", name="Thesis", owner="alice"):
    return await store.workspaces.create(
        NewWorkspace(
            owner=owner, server=server, project="alice", name=name, options={"profile": "cpu"},
            actor="alice", at=NOON,
        )
    )  # fmt: skip


async def stop(store, session_id="s1", *, reason="user", actor="alice", at=NOON + HOUR, **more):
    return await store.sessions.ask_to_stop(session_id, reason=reason, actor=actor, at=at, **more)


async def end(store, session_id="s1", *, reason="stopped", at=NOON + HOUR, **more):
    return await store.sessions.end(session_id, reason=reason, at=at, **more)


async def in_state(store, state):
    """Bring alice's default workspace into *state*, as it would get there."""
    if state is State.CREATED:
        await create(store, server="")
        return
    await run(store)
    match state:
        case State.STARTING:
            await end(store)
            await start(store, "s2", at=NOON + 2 * HOUR)
        case State.RUNNING:
            pass
        case State.START_FAILED:
            await end(store)
            await start(store, "s2", at=NOON + 2 * HOUR)
            await end(store, "s2", reason="image-pull", at=NOON + 3 * HOUR)
        case State.STOPPING:
            await stop(store)
        case State.SUSPENDING | State.SUSPENDED | State.SUSPEND_FAILED:
            await stop(store, reason="suspension", actor="ada", to=State.SUSPENDING)
            if state is State.SUSPENDED:
                await end(store)
            if state is State.SUSPEND_FAILED:
                await move(store, State.SUSPEND_FAILED)
        case _:
            await end(store)
            if state is not State.STOPPED:
                await move(store, State.TERMINATING)
            if state is State.TERMINATE_FAILED:
                await move(store, State.TERMINATE_FAILED)


async def move(store, to, operation=None, *, at=NOON + 4 * HOUR):
    return await store.workspaces.move("alice", "", to, actor="ada", at=at, operation=operation)


LIVING = [state for state in State if state is not State.TERMINATED]


async def test_a_workspace_follows_its_session_and_remembers_who_and_why(store):
    await start(store, actor="ada")
    found = await store.workspaces.get("alice", "")
    assert (found.state, found.since, found.actor) == (State.STARTING, NOON, "ada")
    await store.sessions.bind("s1", granted_percent=25, at=NOON + MINUTE)
    found = await store.workspaces.get("alice", "")
    assert (found.state, found.since, found.session_id) == (State.RUNNING, NOON + MINUTE, "s1")
    assert await stop(store, reason="idle", actor="culler", said="Idle for 30 min.") == "asked"
    found = await store.workspaces.get("alice", "")
    assert (found.state, found.because, found.said) == (State.STOPPING, "idle", "Idle for 30 min.")
    await end(store, at=NOON + HOUR + MINUTE)
    found = await store.workspaces.get("alice", "")
    assert (found.state, found.because, found.actor) == (State.STOPPED, "idle", "culler")
    assert found.said == "Idle for 30 min."
    session = await store.sessions.get("s1")
    assert (session.end_reason, session.stop_by) == ("idle", "culler")


async def test_every_start_and_every_stop_is_one_line_that_says_all_of_it(store):
    await run(store, plan="research")
    await stop(store, reason="idle", actor="culler")
    await end(store)
    lines = await store.audit.lines(prefix="workspace.alice/")
    assert [line.action for line in lines] == ["stop", "ask-to-stop", "run", "start"]
    stopped, begun = lines[0], lines[-1]
    assert (stopped.actor, stopped.reason, stopped.detail["state"]) == ("culler", "idle", "stopped")
    assert (begun.actor, begun.detail["session"]) == ("alice", "s1")
    for line in lines:
        assert line.detail["profile"] == "nb-gpu-h100"
        assert line.detail["plan"] == "research"
    again = await end(store)
    assert again is False
    assert len(await store.audit.lines(prefix="workspace.alice/")) == 4


@pytest.mark.parametrize(
    ("reason", "bound", "state"),
    [
        ("image-pull", False, State.START_FAILED),
        ("start-failed", False, State.START_FAILED),
        ("pod-gone", False, State.START_FAILED),
        ("user", False, State.STOPPED),
        ("crash", True, State.STOPPED),
        ("node-lost", True, State.STOPPED),
        ("pod-gone", True, State.STOPPED),
    ],
)
async def test_a_pod_that_never_was_ready_failed_and_one_that_dies_stopped(
    store, reason, bound, state
):
    await (run if bound else start)(store)
    await end(store, reason=reason, problem="What was said.\0")
    found = await store.workspaces.get("alice", "")
    assert (found.state, found.because, found.said) == (state, reason, "What was said.")
    assert (await store.sessions.get("s1")).problem == "What was said."


async def test_failures_in_a_row_are_counted_until_it_runs(store):
    for number in range(3):
        await start(store, f"s{number}", at=NOON + number * HOUR)
        await end(store, f"s{number}", reason="image-pull", at=NOON + number * HOUR + MINUTE)
    assert (await store.workspaces.get("alice", "")).failures == 3
    await start(store, "s8", at=NOON + 8 * HOUR)
    await stop(store, "s8", at=NOON + 8 * HOUR)
    await end(store, "s8", at=NOON + 8 * HOUR + MINUTE)
    assert (await store.workspaces.get("alice", "")).failures == 3  # given up is no failure
    await run(store, "s9", at=NOON + 9 * HOUR)
    assert (await store.workspaces.get("alice", "")).failures == 0


async def test_a_start_that_is_cancelled_does_not_run_when_its_pod_is_ready_after_all(store):
    await start(store)
    await stop(store, at=NOON + MINUTE)
    assert await state_of(store) is State.STOPPING
    await store.sessions.bind("s1", granted_percent=25, at=NOON + MINUTE)
    assert await state_of(store) is State.STOPPING
    await end(store)
    assert await state_of(store) is State.STOPPED


async def test_what_was_started_anew_is_not_moved_by_its_former_session(store):
    await run(store)
    await start(store, "s2", at=NOON + HOUR)
    assert (await store.sessions.get("s1")).end_reason == "superseded"
    assert await state_of(store) is State.STARTING
    assert await end(store, "s1", reason="crash") is False
    assert await stop(store, "s1") is Asked.ENDED
    assert await state_of(store) is State.STARTING


@pytest.mark.parametrize("state", LIVING)
async def test_only_what_the_table_permits_happens(store, state):
    """Every transition is asked for from every state; what is not permitted changes nothing."""
    await in_state(store, state)
    before = await store.workspaces.get("alice", "")
    assert before.state is state
    for to in State:
        if to in PERMITTED[state]:
            continue
        assert await move(store, to) == InState(state)
    for operation in Operation:
        to = leads_to(operation)
        if to is not None and not may_ask(state, operation):
            assert await move(store, to, operation) == InState(state)
    assert await store.workspaces.get("alice", "") == before


@pytest.mark.parametrize(
    "state", [s for s in LIVING if s not in {State.STARTING, State.RUNNING, State.STOPPING}]
)
async def test_what_is_suspended_or_ending_is_not_started_and_reserves_nothing(store, state):
    await in_state(store, state)
    answer = await start(store, "s9", at=NOON + 9 * HOUR)
    if state in {State.CREATED, State.STOPPED, State.START_FAILED}:
        assert isinstance(answer, Fits)
        assert await state_of(store) is State.STARTING
    else:
        # Whoever starts it has seen that its Pod is gone.
        state = State.SUSPENDED if "suspend" in state else state
        assert answer == InState(state)
        assert await store.sessions.get("s9") is None
        assert await state_of(store) is state


async def test_suspending_ends_in_suspended_whatever_the_pod_said(store):
    await run(store)
    await stop(store, reason=Ending.SUSPENSION, actor="ada", to=State.SUSPENDING, said="Unpaid.")
    await end(store, reason="crash")
    found = await store.workspaces.get("alice", "")
    assert (found.state, found.because, found.actor) == (State.SUSPENDED, "suspension", "ada")


async def test_of_many_who_ask_to_stop_one_is_heard(store):
    await run(store)
    answers = await asyncio.gather(
        *(stop(store, reason="idle", actor=f"culler-{number}") for number in range(20))
    )
    assert sorted(answers) == ["already"] * 19 + ["asked"]
    await end(store)
    assert await stop(store) is Asked.ENDED
    assert await stop(store, "ghost") is Asked.ENDED
    lines = await store.audit.lines(prefix="workspace.", action="ask-to-stop")
    assert len(lines) == 1


async def test_idleness_is_looked_at_in_the_transaction_that_stops(store):
    await run(store)
    due = {"reason": "idle", "actor": "culler", "idle_before": NOON + MINUTE}
    await store.sessions.note_activity("s1", NOON + 30 * MINUTE)
    assert await stop(store, **due) is Asked.SPARED
    await store.sessions.note_activity("s1", NOON)  # an old report takes nothing away
    assert (await store.sessions.get("s1")).idle_since == NOON + 30 * MINUTE
    assert await stop(store, **due | {"idle_before": NOON + 30 * MINUTE}) is Asked.ASKED


async def test_whoever_keeps_it_running_a_moment_before_has_won(store):
    await run(store)
    assert await store.sessions.keep("s1", actor="alice", at=NOON + HOUR)
    assert await stop(store, idle_before=NOON + HOUR - MINUTE) is Asked.SPARED
    (line,) = await store.audit.lines(action="keep")
    assert (line.actor, line.at) == ("alice", NOON + HOUR)
    await stop(store)
    assert not await store.sessions.keep("s1", actor="alice", at=NOON + 2 * HOUR)
    assert not await store.sessions.keep("ghost", actor="alice", at=NOON)


async def test_deadline_and_queue_are_looked_at_in_the_transaction_that_stops(store):
    await run(store)
    ends_at = (await store.sessions.get("s1")).ends_at
    early = ends_at - timedelta(milliseconds=1)
    assert await stop(store, overdue_at=early) is Asked.SPARED
    assert await stop(store, overdue_at=ends_at, queue="night") is Asked.SPARED
    assert await stop(store, overdue_at=ends_at, queue="default") is Asked.ASKED


async def test_what_may_have_to_end_is_found_and_nothing_else(store):
    for number, workspace in enumerate(["a", "b", "c", "d", "e"]):
        await run(store, f"s{number}", workspace=workspace)
    await store.sessions.note_activity("s1", NOON + HOUR)
    await store.sessions.keep("s2", actor="alice", at=NOON + HOUR)
    await stop(store, "s3")
    await end(store, "s4")
    due = await store.sessions.due(at=NOON, idle_before=NOON + 30 * MINUTE)
    assert [session.id for session in due] == ["s0"]
    assert [session.id for session in await store.sessions.stopping()] == ["s3"]
    ends_at = (await store.sessions.get("s1")).ends_at
    due = await store.sessions.due(at=ends_at, idle_before=NOON)
    assert [session.id for session in due] == ["s0", "s1", "s2"]


async def test_activity_of_what_has_ended_is_not_recorded(store):
    await run(store)
    await end(store)
    await store.sessions.note_activity("s1", NOON + 2 * HOUR)
    assert (await store.sessions.get("s1")).active_at is None


def a_limit(hours, *, key="day", kind=SubjectKind.USER, subject="alice"):
    return Limit(
        key=key, subject=Subject(kind, subject), resource=Resource.CPU, span=Span.DAY,
        gpu_model=None, amount=8000 * 3_600_000 * hours,
    )  # fmt: skip


async def test_an_extension_reserves_what_it_adds_and_no_quota_is_passed(store):
    await run(store)
    session = await store.sessions.get("s1")
    bound = NOON + MINUTE
    asked = a_demand(session, start=bound, latest_end=session.ends_at + 4 * HOUR)
    extended = await store.sessions.extend("s1", asked, extension=4 * HOUR, actor="alice", at=bound)
    assert extended.ends_at == session.ends_at + 4 * HOUR
    assert (await store.sessions.get("s1")).extension == 4 * HOUR
    limited = a_demand(
        session, start=bound, latest_end=session.ends_at + 9 * HOUR, limits=(a_limit(2),)
    )
    same = await store.sessions.extend("s1", limited, extension=9 * HOUR, actor="alice", at=bound)
    assert same == extended
    # That would have been less than it has, so it is none and is not put on record as one.
    assert (await store.sessions.get("s1")).extension == 4 * HOUR
    assert len(await store.audit.lines(action="extend")) == 1
    await stop(store)
    assert await store.sessions.extend("s1", asked, extension=HOUR, actor="a", at=bound) is None


async def test_another_queue_is_another_account_from_that_moment_on(store):
    await run(store, queue="night")
    session = await store.sessions.get("s1")
    at = NOON + 2 * HOUR
    there = a_session("s1", queue="default", admitted_at=NOON)
    demand = a_demand(there, start=at, latest_end=NOON + 9 * HOUR)
    moved = await store.sessions.switch_queue("s1", "default", demand, actor="alice", at=at)
    assert moved.ends_at == NOON + 9 * HOUR
    after = await store.sessions.get("s1")
    assert (after.queue, after.reserved_from, after.bound_at) == ("default", at, session.bound_at)
    await check_ledger_consistency(store)
    assert await store.sessions.switch_queue("s1", "default", demand, actor="a", at=at) == moved
    (line,) = await store.audit.lines(action="switch-queue")
    assert (line.detail["queue_before"], line.detail["queue_after"]) == ("night", "default")
    await end(store, at=NOON + 3 * HOUR)
    assert await store.sessions.switch_queue("s1", "x", demand, actor="a", at=at) is None


async def test_another_queue_that_is_full_leaves_everything_as_it_was(store):
    await run(store, queue="night")
    before = await store.sessions.get("s1")
    none = Limit(
        key="full", subject=Subject(SubjectKind.QUEUE, "default"), resource=Resource.GPU,
        span=Span.AT_ONCE, gpu_model=None, amount=0,
    )  # fmt: skip
    there = a_session("s1", queue="default", admitted_at=NOON)
    demand = a_demand(there, start=NOON + HOUR, limits=(none,))
    answer = await store.sessions.switch_queue(
        "s1", "default", demand, actor="alice", at=NOON + HOUR
    )
    assert isinstance(answer, Exceeds)
    assert await store.sessions.get("s1") == before


async def test_moving_counts_itself_only_once(store):
    await run(store, queue="night")
    own = Limit(
        key="own", subject=Subject(SubjectKind.USER, "alice"), resource=Resource.GPU,
        span=Span.AT_ONCE, gpu_model=None, amount=25,
    )  # fmt: skip
    there = a_session("s1", queue="default", admitted_at=NOON)
    demand = a_demand(there, start=NOON + HOUR, limits=(own, a_limit(24)))
    answer = await store.sessions.switch_queue(
        "s1", "default", demand, actor="alice", at=NOON + HOUR
    )
    assert isinstance(answer, Fits)


async def test_what_is_created_is_there_and_has_no_session(store):
    made = await create(store)
    assert (made.state, made.since, made.name) == (State.CREATED, NOON, "Thesis")
    assert made.session_id is None
    assert len(made.id) == 32
    assert await create(store) == InState(State.CREATED)
    assert await create(store, server="other", name="thesis") == NameTaken(free="thesis-2")
    assert await store.sessions.open_sessions() == ()
    await start(store, workspace="thesis", project="alice")
    found = await store.workspaces.get("alice", "thesis")
    assert (found.state, found.id, found.name) == (State.STARTING, made.id, "Thesis")


async def test_what_does_not_run_can_be_edited(store):
    await create(store)
    edited = await store.workspaces.edit(
        "alice", "thesis", {"profile": "gpu"}, actor="alice", at=NOON + HOUR
    )
    assert (edited.options, edited.changed_at) == ({"profile": "gpu"}, NOON + HOUR)
    await run(store, workspace="thesis", project="alice")
    answer = await store.workspaces.edit("alice", "thesis", {}, actor="alice", at=NOON)
    assert answer == InState(State.RUNNING)
    assert await store.workspaces.edit("bob", "x", {}, actor="bob", at=NOON) == InState(None)


@pytest.mark.parametrize("terminated", [False, True])
async def test_what_is_removed_is_found_among_the_former_ones(store, terminated):
    made = await create(store)
    assert await store.workspaces.remove(
        "alice", "thesis", actor="alice", at=NOON + HOUR, terminated=terminated
    )
    assert await store.workspaces.get("alice", "thesis") is None
    (former,) = await store.workspaces.former("alice")
    assert (former.id, former.name, former.is_terminated) == (made.id, "Thesis", terminated)
    assert await store.workspaces.former("bob") == ()
    (line, *_) = await store.audit.lines(about="workspace.alice/thesis")
    assert (line.action, line.at) == ("terminated" if terminated else "delete", NOON + HOUR)
    again = await create(store)
    assert isinstance(again, Workspace)
    assert again.id != made.id


async def test_what_is_left_to_destroy_is_kept(store):
    await in_state(store, State.TERMINATING)
    await store.workspaces.note_remaining("alice", "", ["volume data", "server"])
    assert (await store.workspaces.get("alice", "")).remaining == ("volume data", "server")
    (found,) = await store.workspaces.in_state(State.TERMINATING, State.TERMINATE_FAILED)
    assert found.owner == "alice"


async def test_the_log_of_a_start_outlives_it(store):
    await run(store)
    await store.sessions.note_deployment(
        "s1", [("2026-11-24T12:00:00+00:00", "Looking for a node.")]
    )
    await store.sessions.note_deployment("s1", [("2026-11-24T12:00:01+00:00", "Ready.")])
    await end(store)
    assert await store.sessions.deployment("s1") == (("2026-11-24T12:00:01+00:00", "Ready."),)
    assert await store.sessions.deployment("s2") == ()


async def test_nothing_that_no_database_could_hold_is_written(store):
    await run(store)
    with pytest.raises(StoreError, match="said cannot be stored"):
        await stop(store, said="a\0b")
    assert await state_of(store) is State.RUNNING
