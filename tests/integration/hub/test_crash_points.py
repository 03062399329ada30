"""
Kill -9 at every await of hub and services: nothing stays reserved, nobody is charged, what is to end ends.

Promises 2 and 6. Each death leaves what it leaves; then the ledger must balance, one sweep must
clear away what nobody answers for, and whoever was cut off must be able to start anew. What the
next hub adopts instead goes on, and ends as if nothing had been.
"""

import asyncio
import collections
import contextlib
import itertools
import json
import os
import sqlite3
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta

import pytest

from eugospawner import store as stores
from eugospawner.policy.lifecycle import Ending, State
from eugospawner.policy.quota import Fits
from tests.contract.store.consistency import check_ledger_consistency
from tests.factories.sessions import a_demand
from tests.integration.demo import demos
from tests.integration.hub import crashing
from tests.integration.reaper.conftest import ClockAhead

pytestmark = [pytest.mark.cluster, pytest.mark.usefixtures("embedded")]

MOMENTS = ("suspended", "resumed")
SOON = timedelta(seconds=5)
#: Fewer and the test kills at less than it thinks: templates, home, session, Pod, binding.
LEAST = {
    "start": 8, "stop": 4, "sweep": 8, "settle": 6, "cull": 8, "close": 8, "terminate": 10
}  # fmt: skip
#: Between two states; only while somebody works on it.
PASSING = {State.STARTING, State.STOPPING, State.SUSPENDING, State.TERMINATING}
#: By day what was asked for has happened, and nobody has taken notice: the worse of the two.
EVERY_MOMENT = pytest.mark.parametrize(
    "moments",
    [MOMENTS[1:], pytest.param(MOMENTS[:1], marks=pytest.mark.nightly)],
    ids=lambda each: each[0],
)


class Crashing:
    """The program of `crashing`, and what it leaves."""

    def __init__(self, process, kubectl, namespace, url):
        self.process, self.kubectl, self.namespace, self.url = process, kubectl, namespace, url

    def order(self, what, *users, at=0, when=""):
        words = {"what": what, "users": users, "at": at, "when": when}
        self.process.stdin.write(json.dumps(words) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        assert "error" not in answer, (words, answer)
        return answer

    def die_everywhere(self, what, user_of, moments=MOMENTS):
        """Carry out *what* again and again, dying one moment later each time; return the users."""
        users = []
        for when in moments:
            for at in itertools.count(1):
                user = user_of(f"{what}-{when}-{at}")
                users.append(user)
                if "died" not in self.order(what, user, at=at, when=when):
                    assert at > LEAST[what], f"{what} was cut at {at - 1} awaits only"
                    break
        return users

    def pods(self):
        return [
            each["metadata"]["annotations"]["hub.jupyter.org/username"]
            for each in self.kubectl.objects("pods", self.namespace)
            if "deletionTimestamp" not in each["metadata"]
        ]

    def ask(self, question):
        async def asked():
            store = await stores.open_store(self.url)
            try:
                return await question(store)
            finally:
                await store.close()

        return asyncio.run(asked())

    def workspaces(self):
        """Return the state of each workspace, by owner, and the reason of its last end."""

        async def look(store):
            found = [each for state in State for each in await store.workspaces.in_state(state)]
            return {each.owner: (each.state, each.because) for each in found}

        return self.ask(look)

    def ends(self):
        """Return why each session ended, by owner."""
        ends = collections.defaultdict(list)
        for owner, reason in self.look(
            "SELECT owner, end_reason FROM sessions WHERE ended_at > ''"
        ):
            ends[owner].append(reason)
        return dict(ends)

    def recorded(self, action):
        """Return what was done so, as the audit has it."""
        return [
            found for (found,) in self.look("SELECT object FROM audit WHERE action = ?", action)
        ]

    def look(self, query, *values):
        path = self.url.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as store, store:
            return store.execute(query, values).fetchall()

    def put_in_a_window(self, user):
        """Have the running session of *user* be one that a window ends, which is about to close."""

        async def work(store):
            (found,) = [s for s in await store.sessions.open_sessions() if s.owner == user]
            now = ClockAhead().now()
            demand = a_demand(
                replace(found, queue="night"),
                start=now, latest_end=now + SOON, because=Ending.WINDOW,
            )  # fmt: skip
            moved = await store.sessions.switch_queue(
                found.id, "night", demand, actor="reaper", at=now
            )
            assert isinstance(moved, Fits), moved

        self.ask(work)

    def homes(self):
        return sorted(
            each["metadata"]["annotations"]["hub.jupyter.org/username"]
            for each in self.kubectl.objects("pvc", self.namespace)
            if "deletionTimestamp" not in each["metadata"]
        )

    def open_sessions(self):
        async def look(store):
            await check_ledger_consistency(store)
            return sorted(each.owner for each in await store.sessions.open_sessions())

        return self.ask(look)

    def reserved(self):
        """Return what stands reserved, whoever has it; also checks the ledger against it."""

        async def look(store):
            await check_ledger_consistency(store)
            query = "SELECT * FROM usage WHERE reserved_gpu + reserved_cpu + reserved_memory <> 0"
            return await store._database.look(
                "look", lambda it: it.exec_driver_sql(query).mappings().all()
            )

        return self.ask(look)


@pytest.fixture
def crash(kubeconfig, kubectl, namespace, tmp_path):
    url = f"sqlite:///{tmp_path}/store.sqlite"
    stores.upgrade(url)
    catalog = demos.open_catalog(tmp_path)
    words = [sys.executable, crashing.__file__, namespace, catalog, url]
    with subprocess.Popen(
        words, cwd=demos.ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": str(demos.ROOT), "KUBECONFIG": str(kubeconfig)},
    ) as process:  # fmt: skip
        yield Crashing(process, kubectl, namespace, url)
        process.stdin.close()
    kubectl("delete", "pods", "--all", "-n", namespace, "--grace-period=0", "--force")


@EVERY_MOMENT
def test_a_start_that_is_cut_at_any_await_leaves_nothing_behind(crash, moments):
    users = crash.die_everywhere("start", lambda name: name, moments)
    running = set(crash.open_sessions())
    assert set(crash.pods()) <= running, "a Pod without a session"
    assert running < set(users), "no start was cut before its session"

    # Every other one is adopted by the next hub, the rest is not known to it.
    adopted = crash.pods()[::2]
    answers = crash.order("adopt", *adopted)["came_to"]
    assert not [each for each in answers if "not adopted" in each]
    crash.order("sweep", *adopted)
    assert crash.open_sessions() == sorted(adopted)
    assert crash.pods() == sorted(adopted)
    states = {user: state for user, (state, _) in crash.workspaces().items()}
    assert {states.pop(user) for user in adopted} == {State.RUNNING}
    assert not PASSING & set(states.values())
    assert {State.START_FAILED} <= set(states.values())
    crash.order("stop", *adopted)
    assert not crash.reserved()

    crash.order("start", *users)
    assert crash.open_sessions() == sorted(users)
    crash.order("stop", *users)
    assert not crash.reserved()
    assert not crash.open_sessions()


@EVERY_MOMENT
def test_a_settlement_that_is_cut_at_any_await_charges_nothing_twice_and_nothing_never(
    crash, moments
):
    """The checker compares what is settled with the times of each session, to the millisecond."""
    crash.order("start", "runs", "runs-too")

    def balances(name):
        assert crash.open_sessions() == ["runs", "runs-too"]
        return name

    crash.die_everywhere("settle", balances, moments)
    swept = crash.order("settle")["came_to"]
    assert (swept["settled"], swept["bound"], swept["doubts"]) == (2, 0, 0)
    crash.open_sessions()
    ledger = "SELECT SUM(settled_cpu), SUM(reserved_cpu) FROM ledger"
    rolled_up = "SELECT SUM(settled_cpu), SUM(reserved_cpu) FROM consumption"

    async def look(store):
        return [
            await store._database.look("look", lambda it, q=q: tuple(it.exec_driver_sql(q).one()))
            for q in (ledger, rolled_up)
        ]

    sums = crash.ask(look)
    assert sums[0] == sums[1]
    assert sums[0][0] > 0
    crash.order("stop", "runs", "runs-too")
    assert not crash.reserved()


@EVERY_MOMENT
def test_a_stop_that_is_cut_at_any_await_is_finished_by_the_sweep(crash, moments):
    def started(name):
        crash.order("start", name)
        return name

    crash.die_everywhere("stop", started, moments)
    assert crash.reserved(), "no stop was cut before its session had ended"
    crash.order("sweep")
    assert not crash.reserved()
    assert not crash.open_sessions()
    assert not crash.pods()
    assert {state for state, _ in crash.workspaces().values()} == {State.STOPPED}


@pytest.mark.nightly
@pytest.mark.parametrize("when", MOMENTS)
def test_a_sweep_that_is_cut_at_any_await_is_finished_by_the_next(crash, when):
    for at in itertools.count(1):
        # One with a Pod that nobody answers for, one with a session and no Pod.
        crash.order("lose", f"orphan-{at}", f"gone-{at}")
        if "died" not in crash.order("sweep", at=at, when=when):
            assert at > LEAST["sweep"]
            break
    crash.order("sweep")
    assert not crash.reserved()
    assert not crash.open_sessions()
    assert not crash.pods()


@pytest.mark.nightly
def test_who_is_stopped_for_idleness_is_so_once_whatever_is_cut(crash):
    def started(name):
        crash.order("cull")
        crash.order("sweep")  # the two finish what the last one left
        crash.order("start", name)
        return name

    users = crash.die_everywhere("cull", started)
    crash.order("cull")
    crash.order("sweep")
    assert not crash.reserved()
    assert not crash.open_sessions()
    assert not crash.pods()
    assert crash.workspaces() == dict.fromkeys(users, (State.STOPPED, Ending.IDLE))
    assert crash.ends() == {user: [Ending.IDLE] for user in users}


@pytest.mark.nightly
def test_a_close_that_is_cut_at_any_await_is_finished_by_the_next_and_ends_nothing_else(crash):
    crash.order("start", "by-day")

    def started(name):
        crash.order("close")
        crash.order("start", name)
        crash.put_in_a_window(name)
        return name

    users = crash.die_everywhere("close", started)
    crash.order("close")
    crash.order("sweep", "by-day")
    assert crash.open_sessions() == crash.pods() == ["by-day"]
    ended = crash.workspaces()
    assert ended.pop("by-day")[0] is State.RUNNING
    assert ended == dict.fromkeys(users, (State.STOPPED, Ending.WINDOW))
    assert crash.ends() == {user: [Ending.WINDOW] for user in users}


@pytest.mark.nightly
def test_a_termination_that_is_cut_at_any_await_goes_on_where_it_was(crash):
    crash.order("start", "stays")

    def finish():
        for _ in range(20):
            if crash.order("terminate")["came_to"]["terminating"] == 0:
                return
            crash.order("sweep", "stays")
        pytest.fail("a termination does not come to its end")

    def started(name):
        finish()
        crash.order("start", name)
        return name

    users = crash.die_everywhere("terminate", started)
    assert set(crash.homes()) <= {"stays", users[-1]}
    finish()
    assert crash.open_sessions() == crash.pods() == crash.homes() == ["stays"]
    assert list(crash.workspaces()) == ["stays"]
    terminated = crash.recorded("terminated")
    assert sorted(terminated) == sorted(f"workspace.{user}/" for user in users)
