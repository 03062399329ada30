"""
The API of the workspaces service: what is shown, what is done, and what is refused in which words.

F3, F12, F15 to F17, F22, F27, F29, F33, F47, F63, F64, F67, F74, F91, F107, F115, F130; D5, D12.
"""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from eugospawner.policy.lifecycle import State
from eugospawner.policy.quota import Subject, SubjectKind
from eugospawner.policy.volumes import Volume
from eugospawner.store import Wish
from tests.contract.store.test_exports import an_export
from tests.contract.store.test_shares import a_share
from tests.factories.sessions import a_demand
from tests.integration.quota.servers import NOW
from tests.unit.hub_services.reaper.worlds import a_new_session

ALICE = "t-alice"

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def ask(service, method, path, body=None, *, token=ALICE, status=200):
    answer = service.ask(method, path, body, token=token)
    assert answer.status == status, answer.text
    return answer.body


def started(service, *, token=ALICE, server=None, **options):
    body = {"options": options} | ({"server": server} if server else {})
    return ask(service, "POST", "/ide", body, token=token)["workspace"]


def act(service, key, path="alice/thesis", body=None, *, token=ALICE, status=200):
    return ask(service, "POST", f"/workspaces/{path}/{key}", body or {}, token=token, status=status)


def keys(workspace):
    return [each["key"] for each in workspace["acts"] if not each["denied"]]


@pytest.fixture
def thesis(service):
    return started(service, name="Thesis", profile="notebook-cpu-small")


def test_a_workspace_is_created_without_being_started_and_then_deployed(service):
    made = ask(service, "POST", "/workspaces", {"options": {"name": "My Thesis"}})
    assert (made["server"], made["state"], made["word"]) == ("my-thesis", "created", "Created")
    assert made["session"] is None
    assert service.hub_state.asked == []
    assert made["acts"][0] == {"key": "start", "label": "Deploy", "denied": ""}
    answer = act(service, "start", "alice/my-thesis")
    assert answer["url"] == "/user/alice/my-thesis/"
    assert answer["workspace"]["state"] == "running"
    assert answer["workspace"]["id"] == made["id"]
    (asked,) = service.hub_state.asked
    assert asked[:3] == ("POST", "alice/my-thesis", "alice")  # with her own token
    assert asked[3]["user_options"]["name"] == "My Thesis"


def test_an_ide_is_created_and_started_in_the_words_of_the_form(service):
    made = started(service, name="Train", profile="nb-gpu-h100", sm_percent=25, project="vision")
    assert (made["server"], made["name"], made["project"]) == ("train", "Train", "vision")
    assert made["options"]["sm_percent"] == 25
    again = started(service, name="Train")
    assert again["server"] == "train-2"


def test_what_the_hub_refuses_is_said_on_with_its_reason(service):
    service.hub_state.refuses = (409, "A quota is used up. [quota-exhausted]")
    problem = ask(service, "POST", "/ide", {"options": {}}, status=409)
    assert (problem["reason"], problem["detail"]) == ("quota-exhausted", "A quota is used up.")


def test_words_that_are_none_are_named_and_nothing_is_asked(service):
    problem = ask(service, "POST", "/ide", {"options": {"gpu_count": True}}, status=400)
    assert problem["errors"][0]["field"] == "body.options.gpu_count"
    assert service.hub_state.asked == []


def test_everything_that_the_list_says_of_a_running_workspace(thesis):
    assert thesis["since"] == "2026-11-26T12:00:00Z"
    assert thesis["charges"] == "compute and storage"
    assert thesis["deadline"]["reason"] == "max-session"
    assert thesis["idle"]["at"] == "2026-11-26T12:30:00Z"  # 30 min of the profile
    assert thesis["can_extend_by"] == "4 h"
    assert keys(thesis) == ["open", "stop", "download", "suspend", "delete", "terminate"]


@pytest.mark.usefixtures("thesis")
def test_it_is_kept_running_before_it_is_stopped_as_idle(service):
    service.clock.time = NOW + 16 * MINUTE
    (notice,) = ask(service, "GET", "/workspaces/alice/thesis")["notices"]
    assert (notice["reason"], notice["acts"][0]["key"]) == ("idle", "keep")
    kept = act(service, "keep")
    assert kept["notices"] == []
    assert kept["idle"]["at"] == "2026-11-26T12:46:00Z"
    assert kept["idle_since"] == "2026-11-26T12:16:00Z"


@pytest.mark.usefixtures("thesis")
def test_it_is_extended_up_to_a_ceiling_that_no_number_of_clicks_passes(service):
    ends = [act(service, "extend")["deadline"]["at"] for _ in range(4)]
    assert ends == [f"2026-11-26T{hour}:00:00Z" for hour in (21, 22, 23)] + ["2026-11-27T00:00:00Z"]
    problem = act(service, "extend", status=409)
    assert problem["reason"] == "not-extendable"
    assert "extended by 4 h" in problem["detail"]
    lines = ask(service, "GET", "/workspaces/alice/thesis/activity")["lines"]
    assert [each["action"] for each in lines].count("extend") == 4


def test_a_workspace_in_a_window_counts_down_and_goes_on_in_the_default_queue(service):
    made = started(service, name="Thesis", project="vision", queue="research-high")
    service.run(close_at(service, made["session"], NOW + HOUR))
    shown = ask(service, "GET", "/workspaces/alice/thesis")
    (notice,) = [each for each in shown["notices"] if each["reason"] == "plan-window"]
    assert notice["title"] == "Plan window closes"
    assert [each["label"] for each in notice["acts"]] == ["Switch to Default Queue"]
    problem = act(service, "extend", status=409)
    assert "Switch to the default queue" in problem["detail"]
    moved = act(service, "switch-queue")
    assert moved["queue"] == "Default queue"
    assert moved["deadline"]["reason"] == "max-session"
    assert moved["options"]["queue"] == "default"
    assert act(service, "switch-queue", body={"queue": "nowhere"}, status=403)["reason"] == (
        "queue-unknown"
    )


async def close_at(service, session, at):
    """Have the window of a session close then."""
    found = await service.store.sessions.get(session)
    demand = replace(
        a_demand(found), start=NOW, latest_end=at, because="plan-window", zone="Europe/Berlin"
    )
    await service.store.sessions.renew({session: demand}, at=NOW)


def test_what_the_window_ended_says_when_it_can_be_started_again(service):
    made = started(service, name="Thesis", project="vision", queue="research-high")
    service.run(
        service.store.sessions.ask_to_stop(
            made["session"], reason="plan-window", actor="reaper", at=NOW
        )
    )
    service.run(service.store.sessions.end(made["session"], reason="stopped", at=NOW))
    shown = ask(service, "GET", "/workspaces/alice/thesis")
    assert shown["because"] == "plan-window"
    assert shown["why"].startswith("Plan window expired.")
    assert shown["note"].startswith("Restart it inside the next window: ")
    assert keys(shown)[:2] == ["switch-queue", "start"]
    moved = act(service, "switch-queue")
    assert (moved["state"], moved["options"]["queue"]) == ("stopped", "default")


def test_after_an_idle_stop_only_its_storage_counts_and_it_says_so(service):
    """F72."""
    store, alice = service.store, Subject(SubjectKind.USER, "alice")
    made = started(
        service, name="Thesis", profile="notebook-cpu-small",
        volumes=[{"claim": "data", "mount_path": "/data"}],
    )  # fmt: skip
    volume = Volume(key="data", claim_name="volume-1", size_bytes=10 * 2**30)
    service.run(store.volumes.add("alice", volume, payers=[alice], at=NOW))
    then, session = NOW + MINUTE, made["session"]
    service.run(store.sessions.ask_to_stop(session, reason="idle", actor="culler", at=then))
    service.run(store.sessions.end(session, reason="stopped", at=then))
    after = service.run(ledger_of(store, session))
    assert sum(each.settled_cpu for each in after) == 2000 * 60_000
    assert sum(each.reserved_cpu for each in after) == 0
    for later in (HOUR, 24 * HOUR):
        assert not service.run(store.sessions.settle(session, until=NOW + later))
    assert service.run(ledger_of(store, session)) == after
    brief = service.run(store.brief(revision=0, subjects=[alice], volumes_of="alice"))
    assert brief.held == {alice: volume.size_bytes}
    shown = ask(service, "GET", "/workspaces/alice/thesis")
    assert shown["because"] == "idle"
    assert shown["note"] == (
        "GPU, CPU and memory are free again and no longer count. Its storage does: data."
    )


async def ledger_of(store, session):
    def look(connection):
        found = connection.execute(
            text("SELECT * FROM ledger WHERE session_id = :session ORDER BY id"),
            {"session": session},
        )
        return found.all()

    return await store._database.look("read the ledger", look)


def test_stop_says_why_and_start_goes_on_with_the_same_options(service, thesis):
    stopped = act(service, "stop")
    assert stopped["state"] == "stopped"
    assert service.hub_state.asked[-1] == (
        "DELETE", "alice/thesis", "alice", {"session": thesis["session"]},
    )  # fmt: skip
    again = act(service, "start")["workspace"]
    assert (again["state"], again["options"]) == ("running", thesis["options"])
    assert act(service, "start", status=409)["reason"] == "wrong-state"


def test_what_is_not_permitted_in_a_state_is_answered_with_409_and_says_so(service):
    ask(service, "POST", "/workspaces", {"options": {"name": "Thesis"}})
    for key in ("stop", "keep", "extend", "reset", "resume"):
        problem = act(service, key, status=409)
        assert problem["reason"] == "wrong-state"
        assert "Created" in problem["detail"]
    problem = act(service, "suspend", body={"reason": "x"}, status=409)
    assert problem["detail"] == "It is Created and cannot be suspended."


@pytest.mark.usefixtures("thesis")
def test_a_suspended_workspace_says_why_and_cannot_be_started_until_it_is_resumed(service):
    suspended = act(service, "suspend", body={"reason": "Payment is overdue."}, token="t-ada")
    assert suspended["state"] == "suspending"
    assert service.woken == 1
    service.sweep()  # has the hub stop it
    shown = ask(service, "GET", "/workspaces/alice/thesis")
    assert (shown["state"], shown["said"], shown["actor"]) == (
        "suspended", "Payment is overdue.", "ada",
    )  # fmt: skip
    assert shown["note"] == "Contact your organization owner."
    assert act(service, "start", status=409)["reason"] == "wrong-state"
    assert act(service, "resume")["state"] == "stopped"
    assert act(service, "start")["workspace"]["state"] == "running"


def test_after_the_third_failure_in_a_row_support_is_named(service):
    made = started(service, name="Thesis")
    service.run(service.store.sessions.end(made["session"], reason="stopped", at=NOW))
    for number in range(3):
        service.clock.time = NOW + (number + 1) * HOUR
        service.run(fail(service, number))
    shown = ask(service, "GET", "/workspaces/alice/thesis")
    assert (shown["state"], shown["word"]) == ("start-failed", "Start failed")
    assert shown["said"] == "The image cannot be fetched."
    assert shown["note"] == "If the issue persists, contact support."
    labels = [each["label"] for each in shown["acts"]]
    assert labels == ["Try again", "Reset", "Suspend", "Delete", "Terminate"]
    assert act(service, "reset")["state"] == "stopped"


async def fail(service, number):
    session = a_new_session(
        id=f"f{number}", workspace="thesis", project="personal-alice",
        admitted_at=service.clock.time,
    )  # fmt: skip
    wish = Wish(name="Thesis", options={})
    await service.store.sessions.open(session, a_demand(session, zone="Europe/Berlin"), wish=wish)
    await service.store.sessions.end(
        session.id, reason="image-pull", at=service.clock.time + MINUTE,
        problem="The image cannot be fetched.",
    )  # fmt: skip


def test_deployments_are_listed_with_what_was_seen_of_them(service, thesis):
    service.run(
        service.store.sessions.note_deployment(
            thesis["session"], [("2026-11-26T12:00:00+00:00", "Looking for a node.")]
        )
    )
    act(service, "stop")
    service.clock.time = NOW + HOUR
    act(service, "start")
    found = ask(service, "GET", "/workspaces/alice/thesis/deployments")["deployments"]
    assert [each["kind"] for each in found] == ["start", "deploy"]
    assert [each["status"] for each in found] == ["succeeded", "succeeded"]
    path = f"/workspaces/alice/thesis/deployments/{thesis['session']}"
    log = ask(service, "GET", path)
    assert log["lines"] == [{"at": "2026-11-26T12:00:00+00:00", "sentence": "Looking for a node."}]
    assert log["deployment"]["kind"] == "deploy"
    ask(service, "GET", "/workspaces/alice/thesis/deployments/nothing", status=404)


@pytest.mark.usefixtures("thesis")
def test_what_does_not_run_is_edited_and_what_runs_is_not(service):
    body = {"options": {"profile": "notebook-cpu-large"}}
    assert ask(service, "PUT", "/workspaces/alice/thesis/options", body, status=409)
    act(service, "stop")
    changed = ask(service, "PUT", "/workspaces/alice/thesis/options", body)
    assert changed["options"] == {"profile": "notebook-cpu-large"}


@pytest.mark.parametrize(
    ("word", "found"),
    [("running", 1), ("DEPLOYED", 1), ("active session", 1), ("idle-stopped", 0), ("Error", 0),
     ("terminated", 0)],
)  # fmt: skip
@pytest.mark.usefixtures("thesis")
def test_states_are_found_by_what_others_call_them(service, word, found):
    answer = ask(service, "GET", f"/workspaces?state={word.replace(' ', '%20')}")
    assert len(answer["workspaces"]) == found


@pytest.mark.usefixtures("thesis")
def test_a_word_that_is_no_state_is_refused_with_those_that_are(service):
    problem = ask(service, "GET", "/workspaces?state=asleep", status=400)
    assert "Running" in problem["detail"]


def test_a_member_sees_own_workspaces_a_leader_the_organization_s_an_admin_all(service, thesis):
    started(service, token="t-bob", name="Bob's", server="bobs")
    started(service, token="t-carol", name="Carol's", server="carols")

    def seen(token, owner="*"):
        found = ask(service, "GET", f"/workspaces?owner={owner}", token=token)
        return {each["owner"] for each in found["workspaces"]}

    assert seen("t-bob") == {"bob"}
    assert seen("t-alice") == {"alice", "bob"}  # owner of acme
    assert seen("t-ada") == {"alice", "bob", "carol"}
    assert seen("t-carol") == {"carol"}
    assert seen("t-bob", "alice") == set()
    # Who looked at whose is on record, and who looked at their own is not.
    lines = service.run(service.store.audit.lines(action="list"))
    assert [(each.actor, each.detail["owners"]) for each in lines] == [
        ("ada", ["alice", "bob", "carol"]), ("alice", ["bob"]),
    ]  # fmt: skip
    assert thesis["owner"] == "alice"


@pytest.mark.usefixtures("thesis")
@pytest.mark.parametrize("token", ["t-bob", "t-carol", "t-new", "t-alice-small", "t-bob-small"])
def test_somebody_else_s_workspace_is_not_there_for_whoever_may_not_see_it(service, token):
    for method, path, body in (
        ("GET", "", None), ("DELETE", "", None), ("POST", "/stop", {}), ("POST", "/keep", {}),
        ("POST", "/terminate", {"confirmation": "DELETE"}), ("GET", "/activity", None),
        ("POST", "/suspend", {"reason": "x"}), ("GET", "/deployments", None),
        ("POST", "/switch-queue", {}), ("PUT", "/options", {"options": {}}),
    ):  # fmt: skip
        problem = ask(service, method, f"/workspaces/alice/thesis{path}", body, token=token,
                      status=404)  # fmt: skip
        assert problem["reason"] == "workspace-unknown"
    assert ask(service, "GET", "/workspaces/alice/thesis", token="t-ada")["state"] == "running"


@pytest.mark.usefixtures("thesis")
def test_a_leader_looks_stops_suspends_and_terminates_and_starts_nothing_of_a_member(service):
    started(service, token="t-bob", name="Bob's", server="bobs")
    path = "bob/bobs"
    assert act(service, "keep", path, status=403)["reason"] == "not-permitted"
    assert act(service, "suspend", path, {"reason": "x"})["state"] == "suspending"
    service.sweep()
    assert act(service, "resume", path)["state"] == "stopped"
    assert act(service, "resume", path, token="t-bob", status=403)["detail"].startswith(
        "Your roles do not include the permission “Suspend and resume workspace”."
    )


def test_deleting_keeps_the_data_and_the_entry_goes(service, thesis):
    ask(service, "DELETE", "/workspaces/alice/thesis")
    assert service.hub_state.asked[-1][3] == {"remove": True}
    assert ask(service, "GET", "/workspaces")["workspaces"] == []
    (former,) = ask(service, "GET", "/former")["workspaces"]
    assert (former["id"], former["state"]) == (thesis["id"], "deleted")
    assert service.cluster.deleted == []


def test_deleting_what_was_never_started_asks_the_hub_and_goes_on_without_it(service):
    ask(service, "POST", "/workspaces", {"options": {"name": "Thesis"}})
    ask(service, "DELETE", "/workspaces/alice/thesis")
    assert ask(service, "GET", "/workspaces")["workspaces"] == []


@pytest.mark.usefixtures("thesis")
def test_several_are_deleted_at_once_by_whoever_may_and_each_is_told(service):
    which = [{"owner": "alice", "server": each} for each in ("thesis", "nothing")]
    answer = ask(service, "POST", "/bulk-delete", {"workspaces": which})
    assert [(each["done"], each["reason"]) for each in answer["outcomes"]] == [
        (True, ""), (False, "workspace-unknown"),
    ]  # fmt: skip
    problem = ask(service, "POST", "/bulk-delete", {"workspaces": which}, token="t-bob", status=403)
    assert "IDE_MANAGE" in problem["detail"]


def test_the_plan_of_a_termination_says_what_goes_and_what_another_mounts_too(service):
    volumes = [{"claim": each, "mount_path": f"/{each}"} for each in ("data", "shared")]
    started(service, name="One", volumes=volumes)
    plan = ask(service, "GET", "/workspaces/alice/one/termination")
    assert plan == {
        "destroyed": ["session", "volume data", "volume shared", "home", "server"], "kept": [],
    }  # fmt: skip
    started(service, name="Two", volumes=volumes[1:])
    plan = ask(service, "GET", "/workspaces/alice/one/termination")
    assert plan == {
        "destroyed": ["session", "volume data", "server"], "kept": ["volume shared", "home"],
    }  # fmt: skip


@pytest.mark.usefixtures("thesis")
@pytest.mark.parametrize("typed", ["", "delete", "DELETE ", "yes"])
def test_nothing_is_destroyed_unless_the_word_is_typed_exactly(service, typed):
    problem = act(service, "terminate", body={"confirmation": typed}, status=400)
    assert "DELETE" in problem["detail"]
    assert ask(service, "GET", "/workspaces/alice/thesis")["state"] == State.RUNNING


@pytest.mark.usefixtures("thesis")
def test_a_terminated_workspace_goes_step_by_step_and_is_seen_to_be_gone(service):
    service.cluster.homes.add("alice")
    gone = act(service, "terminate", body={"confirmation": "DELETE"})
    assert gone["state"] == "terminating"
    for _ in range(3):
        service.sweep()
    assert service.cluster.deleted == ["home"]
    assert ask(service, "GET", "/workspaces")["workspaces"] == []
    (former,) = ask(service, "GET", "/former")["workspaces"]
    assert former["state"] == "terminated"
    lines = service.run(service.store.audit.lines(about="workspace.alice/thesis"))
    assert [each.action for each in lines][:3] == ["terminated", "stop", "ask-to-stop"]


def test_a_projects_volume_outlives_every_workspace_that_mounts_it(service):
    """Even if the termination was planned by somebody who did not know."""
    mounts = [
        {"claim": "data", "mount_path": "/mine"}, {"claim": "data@vision", "mount_path": "/ours"},
    ]  # fmt: skip
    started(service, name="Thesis", volumes=mounts)
    for key in ("data", "data@vision"):
        service.cluster.volumes.add(("alice", key))
    plan = ask(service, "GET", "/workspaces/alice/thesis/termination")
    assert plan["kept"] == ["volume data@vision"]
    assert "volume data" in plan["destroyed"]
    act(service, "terminate", body={"confirmation": "DELETE"})
    steps = ["volume data@vision", "volume data", "server"]
    service.run(service.store.workspaces.note_remaining("alice", "thesis", steps))
    for _ in range(4):
        service.sweep()
    assert service.cluster.deleted == ["data"]


@pytest.mark.usefixtures("thesis")
def test_what_is_exported_and_shared_of_it_goes_with_it(service):
    """A volume that is read does not go; and a copy that others read would be kept data."""
    service.cluster.homes.add("alice")
    service.cluster.read.add("alice")
    export = an_export("e", server="thesis", created_at=NOW)
    share = a_share("s", server="thesis", created_at=NOW, expires_at=NOW + 90 * MINUTE)
    other = an_export("o", server="else", created_at=NOW)
    service.run(service.store.exports.add(export))
    service.run(service.store.exports.add(other))
    service.run(service.store.shares.add(share, b"document"))
    act(service, "terminate", body={"confirmation": "DELETE"})
    for _ in range(3):
        service.sweep()
    assert service.cluster.deleted == ["home"]
    assert ask(service, "GET", "/workspaces")["workspaces"] == []
    assert service.run(service.store.exports.get("e")).revoked_by == "alice"
    assert service.run(service.store.exports.get("o")).revoked_at is None
    assert service.run(service.store.shares.get("s")).revoked_by == "alice"
    assert service.run(service.store.shares.document("s")) is None


@pytest.mark.usefixtures("thesis")
def test_a_step_that_goes_on_failing_is_told_and_the_retry_goes_on_there(service):
    service.cluster.homes.add("alice")
    service.cluster.refuses = {"home"}
    act(service, "terminate", body={"confirmation": "DELETE"})
    service.sweep()
    service.clock.time = NOW + 6 * MINUTE
    service.sweep()
    shown = ask(service, "GET", "/workspaces/alice/thesis")
    assert shown["state"] == "terminate-failed"
    assert shown["said"] == "Could not delete the volume home: no"
    assert [each["label"] for each in shown["acts"]] == ["Try again"]
    asked = len(service.hub_state.asked)
    service.cluster.refuses = set()
    act(service, "terminate", body={"confirmation": "DELETE"})
    for _ in range(2):
        service.sweep()
    assert ask(service, "GET", "/workspaces")["workspaces"] == []
    # It was stopped once; only the removal was asked for again.
    assert [each[3] for each in service.hub_state.asked[asked:]] == [{"remove": True}]


def test_the_activity_shows_an_owner_who_looked_into_theirs(service, thesis):
    service.run(service.store.audit.record("open", "workspace.alice/thesis", actor="ada", at=NOW))
    lines = ask(service, "GET", "/workspaces/alice/thesis/activity")["lines"]
    assert [(each["actor"], each["action"]) for each in lines] == [
        ("ada", "open"), ("hub", "run"), ("alice", "start"),
    ]  # fmt: skip
    assert lines[1]["at"] == thesis["since"]


@pytest.mark.usefixtures("thesis")
def test_the_audit_is_for_admins_filters_and_its_reading_is_on_record(service):
    ask(service, "GET", "/audit", status=403)
    found = ask(service, "GET", "/audit?action=start&about=workspace.alice/thesis", token="t-ada")
    assert [each["actor"] for each in found["lines"]] == ["alice"]
    (line, *_) = service.run(service.store.audit.lines(action="read-audit"))
    assert (line.actor, line.detail["action"]) == ("ada", "start")
    problem = ask(service, "GET", "/audit?since=2026-11-26T12:00:00", token="t-ada", status=400)
    assert "zone" in problem["detail"]


@pytest.mark.usefixtures("thesis")
def test_the_audit_is_verified_against_the_anchors_outside(service):
    service.run(service.auditing.anchor())
    found = ask(service, "GET", "/audit/verification", token="t-ada")
    assert (found["is_whole"], found["anchors"], found["problems"]) == (True, 1, [])
    service.run(cut_the_tail(service))
    found = ask(service, "GET", "/audit/verification", token="t-ada")
    assert not found["is_whole"]
    assert any("anchor" in each for each in found["problems"])


async def cut_the_tail(service):
    def work(connection):
        connection.execute(text("DROP TRIGGER tr_audit_delete"))
        connection.execute(text("DELETE FROM audit WHERE id >= (SELECT max(id) - 1 FROM audit)"))

    await service.store._database.transact(work)


def test_without_a_store_nothing_is_said_and_nothing_lost(service, thesis):
    (service.folder / "store.sqlite").rename(service.folder / "away")
    service.run(service.store.close())
    problem = ask(service, "GET", "/workspaces", status=503)
    assert problem["reason"] == "store-unavailable"
    assert thesis["state"] == "running"
