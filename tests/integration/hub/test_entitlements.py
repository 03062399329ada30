"""
Plans, queues, windows and quotas, through the real hub: what the demo's people may start.

Design §4 says who they are. F2, F5, F6, F35 to F41, F55, F56, F59, F60, F65, F98 to F101; promises
1, 2 and 4.
"""

import asyncio
import sqlite3
import time
from contextlib import contextmanager

import pytest

from eugospawner.store import open_store
from hub_services.common.clock import SystemClock
from tests.integration.hub.hub_process import hub_pid

pytestmark = pytest.mark.cluster

#: How many denials come in a row: so many each day, and so many each night.
DENIALS = [40, pytest.param(1000, marks=pytest.mark.nightly)]


def reason(answer):
    return answer.message.rpartition("[")[2].rstrip("]")


async def asked(hub, question):
    store = await open_store(f"sqlite:///{hub.demo.data / 'store.sqlite'}")
    try:
        return await question(store)
    finally:
        await store.close()


def change(hub, section, key, document):
    """Do what an admin's page does: change an entry at run time."""

    async def put(store):
        await store.changes.put(
            section, key, document, actor="ada", reason="a test", at=SystemClock().now()
        )

    asyncio.run(asked(hub, put))


def entry(hub, section, key):
    async def look(store):
        changes = await store.changes.since(0)
        return next(each.document for each in changes if (each.section, each.key) == (section, key))

    return asyncio.run(asked(hub, look))


def last_session(hub, user):
    async def look(store):
        return (await store.sessions.history(user, limit=1))[0]

    return asyncio.run(asked(hub, look))


@pytest.fixture
def started(hub):
    """Start workspaces that are stopped afterwards."""
    running = []

    def start(user, server, **words):
        answer = hub.start_light(user, server, **words)
        if answer.status < 400:
            running.append((user, server))
        return answer

    yield start
    for user, server in running:
        hub.stop(user, server)


REFUSED = {
    "an organization that is suspended": (
        "dave", {}, 403, "organization-suspended", "billing@initech.example",
    ),
    "a quota that is used up": (
        "alice", {"profile": "nb-gpu-l40s"}, 409, "quota-exhausted", "40.00 of 40.00 L40S hours",
    ),
    "a window that is closed": (
        "carol",
        {"project": "course", "profile": "nb-gpu-l4", "queue": "teaching", "sm_percent": 50},
        403, "window-closed", "The default queue is always available",
    ),
    "a project of others": ("carol", {"project": "vision"}, 403, "project-unknown", "vision"),
    "a queue of another plan": (
        "bob", {"queue": "research-high"}, 403, "queue-unknown", "research-high",
    ),
    "a root shell that the group does not allow": (
        "bob", {"project": "vision", "root_shell": True}, 403, "root-not-allowed", "owning group",
    ),
    "more than the plan has at once": (
        "bob", {"project": "vision", "profile": "nb-gpu-h100", "gpu_count": 3},
        403, "more-than-plan", "2.00 GPUs",
    ),
    "a model outside the plan": (
        "bob", {"project": "vision", "profile": "gpu-a100-1x"}, 403, "gpu-model-not-in-plan",
        "A100",
    ),
}  # fmt: skip


@pytest.mark.parametrize(
    ("user", "words", "status", "code", "said"), REFUSED.values(), ids=REFUSED.keys()
)
def test_is_refused_in_words(hub, user, words, status, code, said):
    answer = hub.start(user, "refused", **words)
    assert (answer.status, reason(answer)) == (status, code), answer.message
    assert said in answer.message
    assert not hub.server(user, "refused")  # no row is left behind

    async def look(store):
        return await store.audit.lines(about=f"workspace.{user}/refused", limit=1)

    (line,) = asyncio.run(asked(hub, look))
    assert (line.action, line.reason) == ("refuse", code)
    assert line.detail["asked"].items() <= words.items()


def test_a_name_is_unique_in_the_project_and_free_again_when_its_server_is_removed(
    hub, user, started
):
    """F36, at REST: taken by whoever was admitted first, whoever owns it."""

    async def names(store):
        return {each.server: each.name for each in await store.workspaces.of_owner(user)}

    words = {"profile": "nb-cpu-2", "project": "vision"}
    assert started("bob", "one", name="Paper 7", **words).status in {201, 202}
    taken = started("alice", "two", name="PAPER 7", **words)
    assert (taken.status, reason(taken)) == (409, "name-taken"), taken.message
    assert "This name is already in use in Vision" in taken.message
    assert "PAPER 7-2 is still free" in taken.message
    assert not hub.server("alice", "two")
    assert started("alice", "two", name="PAPER 7-2", **words).status in {201, 202}

    assert started(user, "mine", profile="nb-cpu-2").status in {201, 202}
    assert started(user, "yours", profile="nb-cpu-2", name="mine").status == 409
    assert asyncio.run(asked(hub, names)) == {"mine": "mine"}
    hub.until_ready(user, "mine")
    hub.ask("DELETE", f"/users/{user}/servers/mine", {"remove": True})
    hub.until(lambda: asyncio.run(asked(hub, names)) == {}, "the name is kept")
    assert started(user, "yours", profile="nb-cpu-2", name="mine").status in {201, 202}


def test_a_queue_of_the_plan_ends_with_its_window_and_marks_the_pod(hub, started):
    words = {"project": "vision", "profile": "nb-gpu-h100", "sm_percent": 25}
    assert started("bob", "windowed", **words, queue="research-high").status in {201, 202}
    hub.until_ready("bob", "windowed")
    session = last_session(hub, "bob")
    assert (session.project, session.queue) == ("vision", "research-high")
    assert (session.group_key, session.organization) == ("vision-lab", "acme")
    assert session.ends_because == "plan-window"
    assert session.granted_percent == 25
    (pod,) = [each for each in hub.objects("pods", "bob") if "windowed" in each["metadata"]["name"]]
    assert pod["metadata"]["labels"]["eugo.dev/queue"] == "research-high"
    assert pod["spec"]["priorityClassName"] == "eugo-high"
    assert pod["spec"].get("schedulerName") == "default-scheduler"


def test_all_workspaces_of_a_project_share_its_limit_and_a_stop_makes_room(hub, started):
    whole = {"project": "vision", "profile": "nb-gpu-l4"}
    assert started("alice", "one", **whole).status in {201, 202}
    assert started("bob", "half", **whole, sm_percent=50).status in {201, 202}
    answer = started("bob", "two", **whole)
    assert (answer.status, reason(answer)) == (409, "in-use"), answer.message
    assert "1.50 of 2.00 GPUs" in answer.message
    assert started("alice", "rest", **whole, sm_percent=50).status in {201, 202}
    hub.stop("alice", "one")
    hub.until(lambda: started("bob", "two", **whole).status in {201, 202}, "no room was made")


def test_what_an_admin_changes_holds_from_the_next_start_on_saved_options_included(hub, started):
    words = {"project": "vision", "profile": "nb-gpu-l4", "sm_percent": 10}
    assert started("bob", "kept", **words).status in {201, 202}
    hub.until_ready("bob", "kept")
    hub.stop("bob", "kept")
    plan = entry(hub, "plans", "research")
    hub.ask("POST", "/users/bob/servers/kept", {})  # as saved: it is not started yet, or is
    hub.stop("bob", "kept")
    change(hub, "plans", "research", plan | {"gpu_models": ["H100"]})
    try:
        answer = hub.start_light("bob", "kept", **words)
        assert (answer.status, reason(answer)) == (403, "gpu-model-not-in-plan")
        assert hub.ask("GET", "/users/bob").status == 200
    finally:
        change(hub, "plans", "research", plan)
    assert started("bob", "kept", **words).status in {201, 202}


@pytest.mark.parametrize("denials", DENIALS)
def test_many_denials_in_a_row_leave_hub_cluster_and_store_as_they_were(hub, user, denials):
    """Of somebody no other test asks for: after twenty a minute the audit has no line of its own."""
    pid, pods = hub_pid(hub.demo), hub.kubectl("get", "pods", "-A", "-o", "name").stdout

    async def sessions(store):
        return len(await store.sessions.history(user, limit=10)), len(
            await store.sessions.open_sessions()
        )

    before = asyncio.run(asked(hub, sessions))
    for number in range(denials):
        answer = hub.start(user, f"n{number % 7}", project="vision")
        assert (answer.status, reason(answer)) == (403, "project-unknown")
    assert hub_pid(hub.demo) == pid
    assert asyncio.run(asked(hub, sessions)) == before
    assert hub.kubectl("get", "pods", "-A", "-o", "name").stdout == pods
    assert not any(hub.server(user, f"n{number}") for number in range(7))


@contextmanager
def store_locked(hub):
    """Have somebody else hold the store for as long as it takes."""
    connection = sqlite3.connect(hub.demo.data / "store.sqlite", isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")
        connection.close()


def test_while_the_store_does_not_answer_starts_are_refused_and_workspaces_live(hub, user):
    hub.start_light(user, profile="nb-cpu-2")
    hub.until_ready(user)
    with store_locked(hub):
        began = time.monotonic()
        answer = hub.start_light(user, "second", profile="nb-cpu-2")
        assert (answer.status, reason(answer)) == (503, "store-unavailable"), answer
        assert time.monotonic() - began < 30
        assert hub.server(user)["ready"]
    assert hub.start_light(user, "second", profile="nb-cpu-2").status in {201, 202}
    hub.stop(user, "second")
