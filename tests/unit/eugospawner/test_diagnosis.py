"""How far a start is, in words; and when waiting cannot help (F19, F25, F26)."""

from typing import Any

import pytest

from eugospawner import diagnosis
from eugospawner.diagnosis import State
from eugospawner.manifests.kueue import Ticket
from tests.factories import a_claim, some_gpus


def a_pod(
    *,
    scheduled: bool = True,
    sandbox: bool = True,
    phase: str = "Pending",
    notebook: dict[str, Any] | None = None,
    startup: dict[str, Any] | None = None,
    policy: str = "OnFailure",
    **status: Any,
) -> dict[str, Any]:
    """A Pod as the API shows it on the way to Running."""
    return {
        "metadata": {"name": "jupyter-alice", "namespace": "eugo"},
        "spec": {"restartPolicy": policy},
        "status": {
            "phase": phase,
            "conditions": [
                {"type": "PodScheduled", "status": str(scheduled)},
                {"type": "PodReadyToStartContainers", "status": str(sandbox)},
            ],
            "containerStatuses": [{"name": "notebook", "state": {}} | (notebook or {})],
            "initContainerStatuses": [{"name": "startup"} | startup] if startup else [],
        }
        | status,
    }


def ended(code: int) -> dict[str, Any]:
    return {"state": {"terminated": {"exitCode": code}}}


def an_event(reason: str, message: str = "") -> dict[str, Any]:
    return {"reason": reason, "message": message}


BACK_OFF = {"waiting": {"reason": "CrashLoopBackOff"}}
RUNNING = {"imageID": "sha256:1", "state": {"running": {}}, "ready": True, "restartCount": 0}


def states(progress: diagnosis.Progress) -> str:
    """The steps' states in one line: d(one), a(ctive), w(aiting), f(ailed)."""
    return "".join(step.state[0] for step in progress.steps)


@pytest.mark.parametrize(
    ("pod", "events", "expected", "said"),
    [
        pytest.param(None, [], "awwwww", "Preparing", id="nothing yet"),
        pytest.param(a_pod(scheduled=False), [], "dawwww", "Looking for", id="unscheduled"),
        pytest.param(a_pod(sandbox=False), [], "ddawww", "Attaching", id="no sandbox"),
        pytest.param(
            a_pod(sandbox=False),
            [an_event("FailedMount", "timed out")],
            "ddawww",
            "could not be attached yet",
            id="storage trouble",
        ),
        pytest.param(
            a_pod(sandbox=False),
            [an_event("FailedPrepareDynamicResources", "dial unix: refused")],
            "dawwww",
            "driver does not answer yet",
            id="GPU driver away",
        ),
        pytest.param(a_pod(), [an_event("Pulling")], "dddaww", "Fetching", id="pulling"),
        pytest.param(
            a_pod(notebook={"state": {"waiting": {"reason": "ErrImagePull"}}}),
            [],
            "dddaww",
            "Trying once more",
            id="first pull failed",
        ),
        pytest.param(
            a_pod(startup={"imageID": "sha256:1", "state": {"running": {}}}),
            [],
            "ddddaw",
            "startup script",
            id="startup script",
        ),
        pytest.param(
            a_pod(notebook={"imageID": "sha256:1", "state": {"waiting": {"reason": "x"}}}),
            [],
            "ddddaw",
            "Starting the workspace's programs",
            id="container starts",
        ),
        pytest.param(
            a_pod(notebook=RUNNING | {"ready": False}), [], "ddddda", "until it is ready", id="runs"
        ),
        pytest.param(
            a_pod(phase="Running", podIP="127.77.0.2", notebook=RUNNING),
            [],
            "ddddda",
            "until it answers",
            id="ready",
        ),
    ],
)
def test_each_state_of_a_pod_is_one_step_and_one_sentence(
    pod: Any, events: Any, expected: str, said: str
) -> None:
    progress = diagnosis.progress_of(pod, None, events, None)
    assert states(progress) == expected
    assert said in progress.message
    assert progress.message.endswith(".")


def test_the_steps_carry_the_names_people_were_promised() -> None:
    assert [step.label for step in diagnosis.progress_of(None, None, [], None).steps] == [
        "JupyterHub environment",
        "Compute resources",
        "Persistent storage",
        "Pre-installed libraries",
        "Security and access controls",
        "Authentication",
    ]


def test_progress_grows_with_each_step_and_leaves_the_last_ten_percent_to_the_hub() -> None:
    pods = [None, a_pod(scheduled=False), a_pod(sandbox=False), a_pod(), a_pod(notebook=RUNNING)]
    percents = [diagnosis.progress_of(pod, None, [], None).percent for pod in pods]
    assert percents == sorted(set(percents))
    assert percents[-1] <= 90


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("0/1 nodes are available: 1 cannot allocate all claims.", "all are in use"),
        ("pod has unbound immediate PersistentVolumeClaims", "Making your storage."),
        ("0/1 nodes are available: 1 Insufficient cpu.", "enough CPU and memory"),
        ("0/1 nodes are available: 1 node(s) had untolerated taint", "Waiting for a node"),
    ],
)
def test_a_pod_without_a_node_says_what_it_waits_for(message: str, said: str) -> None:
    gpus = some_gpus(count=2, sm_percent=25)
    events = [an_event("FailedScheduling", message)]
    shown = diagnosis.progress_of(a_pod(scheduled=False), None, events, gpus)
    assert said in shown.message
    assert diagnosis.failure_of(a_pod(scheduled=False), events) is None


def test_what_the_scheduler_said_last_counts_and_not_its_first_event() -> None:
    """Its recorder counts another text as a repetition, so the event keeps the first one's."""
    pod = a_pod(scheduled=False)
    pod["status"]["conditions"][0]["message"] = "0/1 nodes: 1 cannot allocate all claims."
    events = [an_event("FailedScheduling", "pod has unbound immediate PersistentVolumeClaims")]
    shown = diagnosis.progress_of(pod, None, events, some_gpus(1, 25))
    assert "all are in use" in shown.message
    pod["status"]["conditions"][0]["message"] = "request gpu: device class x does not exist"
    failure = diagnosis.failure_of(pod, events)
    assert failure is not None
    assert failure.reason == "device-class-missing"


def test_a_share_that_is_taken_is_named_with_count_model_and_percent() -> None:
    gpus = some_gpus(count=2, sm_percent=25)
    events = [an_event("FailedScheduling", "1 cannot allocate all claims")]
    shown = diagnosis.progress_of(a_pod(scheduled=False), a_claim(), events, gpus)
    assert shown.message.startswith(f"Waiting for 2 × {gpus.model.display_name} with 25 % SM free")


@pytest.mark.parametrize(
    ("said", "end"),
    [
        ("", "It starts by itself."),
        (
            "couldn't assign flavors to pod set main: 25 more needed.",
            "Kueue says: couldn't assign flavors to pod set main: 25 more needed.",
        ),
    ],
)
def test_a_pod_that_kueue_holds_back_says_in_which_queue_and_what_is_missing(
    said: str, end: str
) -> None:
    """Design section 6: gate-aware waiting; F26."""
    ticket = Ticket(queue="Research, batch", said=said)
    pod = a_pod(scheduled=False)
    shown = diagnosis.progress_of(pod, None, [], some_gpus(1, 25), ticket)
    assert shown.message.startswith("Waiting in the queue Research, batch until it has room.")
    assert shown.message.endswith(end)
    assert states(shown) == "dawwww"
    followed = diagnosis.follow(None, pod, None, [], some_gpus(1, 25), ticket, stopping=False)
    assert followed == shown
    # What the scheduler says of a gate is of no use, and before there is a Pod nothing waits.
    assert "Preparing" in diagnosis.progress_of(None, None, [], None, ticket).message


def test_a_start_that_kueue_ends_says_so_and_not_that_somebody_deleted_it() -> None:
    condition = {
        "type": "TerminationTarget",
        "status": "True",
        "reason": "WorkloadEvictedDueToPreempted",
    }
    pod = a_pod(conditions=[condition])
    pod["metadata"]["deletionTimestamp"] = "2026-11-27T12:00:00Z"
    failure = diagnosis.failure_of(pod, [])
    assert failure is not None
    assert failure.reason == "preemption"
    assert "higher priority" in failure.sentence


@pytest.mark.parametrize(
    ("pod", "events", "reason"),
    [
        pytest.param(None, [], "pod-deleted", id="gone"),
        pytest.param(
            a_pod() | {"metadata": {"deletionTimestamp": "2026-11-24T12:00:00Z"}},
            [],
            "pod-deleted",
            id="on its way out",
        ),
        pytest.param(a_pod(phase="Failed", reason="Evicted"), [], "evicted", id="evicted"),
        pytest.param(
            a_pod(phase="Failed", message="OutOfcpu"), [], "pod-failed", id="refused by the node"
        ),
        *(
            pytest.param(
                a_pod(notebook={"image": "x", "state": {"waiting": {"reason": waiting}}}),
                [],
                "image-pull",
                id=waiting,
            )
            for waiting in ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
        ),
        pytest.param(
            a_pod(notebook={"state": {"waiting": {"reason": "CreateContainerConfigError"}}}),
            [],
            "container-refused",
            id="no container",
        ),
        pytest.param(
            a_pod(
                notebook={
                    "state": BACK_OFF,
                    "restartCount": 2,
                    "lastState": {"terminated": {"exitCode": 3}},
                },
            ),
            [],
            "crash-loop",
            id="crash loop",
        ),
        pytest.param(
            a_pod(
                notebook={
                    "state": BACK_OFF,
                    "restartCount": 2,
                    "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
                },
            ),
            [],
            "out-of-memory",
            id="out of memory",
        ),
        pytest.param(
            a_pod(scheduled=False),
            [an_event("FailedScheduling", "request gpu: device class x does not exist")],
            "device-class-missing",
            id="no driver",
        ),
    ],
)
def test_a_cause_that_waiting_cannot_mend_fails_at_once(pod: Any, events: Any, reason: str) -> None:
    failure = diagnosis.failure_of(pod, events)
    assert failure is not None
    assert failure.reason == reason
    assert len(failure.sentence) > 40  # what happened and what to do


@pytest.mark.parametrize("waiting", ["ErrImagePull", "ContainerCreating", "PodInitializing"])
def test_a_fault_that_may_pass_is_waited_for(waiting: str) -> None:
    pod = a_pod(notebook={"state": {"waiting": {"reason": waiting}}})
    assert diagnosis.failure_of(pod, []) is None


def test_one_restart_is_no_crash_loop() -> None:
    ended = {"lastState": {"terminated": {"exitCode": 1}}}
    pod = a_pod(notebook={"state": BACK_OFF, "restartCount": 1} | ended)
    assert diagnosis.failure_of(pod, []) is None


def test_restarts_of_a_life_before_are_no_crash_loop() -> None:
    """A Pod that outlived its node's restarts counts them for ever."""
    ended = {"lastState": {"terminated": {"exitCode": 137}}}
    pod = a_pod(notebook={"state": {"running": {}}, "restartCount": 9} | ended)
    assert diagnosis.failure_of(pod, []) is None
    assert diagnosis.exit_code(pod) is None


def test_the_registrys_message_is_shown_on_one_line_and_cut() -> None:
    said = "no such image\n" + "x" * 1000
    waiting = {"reason": "ImagePullBackOff", "message": "y" * 1000}
    failure = diagnosis.failure_of(a_pod(notebook={"state": {"waiting": waiting}}), [])
    assert failure is not None
    assert "\n" not in failure.sentence
    assert len(failure.sentence) < 500
    waiting["message"] = said
    failure = diagnosis.failure_of(a_pod(notebook={"state": {"waiting": waiting}}), [])
    assert failure is not None
    assert failure.sentence.endswith("no such image")


def follow(shown: Any, pod: Any, *, stopping: bool = False) -> diagnosis.Progress:
    return diagnosis.follow(shown, pod, None, [], None, stopping=stopping)


def test_a_failure_marks_the_step_that_was_at_work() -> None:
    pod = a_pod(notebook={"state": {"waiting": {"reason": "ImagePullBackOff"}}})
    failure = diagnosis.failure_of(pod, [])
    assert failure is not None
    shown = follow(None, pod)
    assert states(shown) == "dddfww"
    assert shown.steps[3].state is State.FAILED
    assert shown.message == failure.sentence


def test_a_pod_that_is_gone_again_leaves_in_sight_how_far_the_start_came() -> None:
    """It went back to the first step, and that step was then said to have failed."""
    waiting = follow(None, a_pod(scheduled=False))
    assert states(follow(waiting, None)) == "dawwww"
    going = a_pod(scheduled=False)
    going["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    refused = follow(waiting, going)
    assert states(refused) == "dfwwww"
    assert follow(refused, None) == refused


def test_a_pod_that_the_hub_removes_is_not_said_to_be_stopped_from_outside() -> None:
    going = a_pod(scheduled=False)
    going["metadata"]["deletionTimestamp"] = "2026-11-24T12:00:00Z"
    assert states(follow(None, going, stopping=True)) == "dawwww"


def test_before_there_is_a_pod_a_start_prepares() -> None:
    assert states(follow(None, None)) == "awwwww"


@pytest.mark.parametrize(
    ("pod", "ready"),
    [
        pytest.param(None, False, id="no pod"),
        pytest.param(a_pod(phase="Running", podIP="10.0.0.1", notebook=RUNNING), True, id="ready"),
        pytest.param(a_pod(phase="Running", notebook=RUNNING), False, id="no address"),
        pytest.param(
            a_pod(phase="Running", podIP="10.0.0.1", notebook=RUNNING | {"ready": False}),
            False,
            id="not ready",
        ),
        pytest.param(
            a_pod(phase="Running", podIP="10.0.0.1", containerStatuses=None), False, id="no status"
        ),
        pytest.param(
            a_pod(phase="Running", podIP="10.0.0.1", notebook=RUNNING)
            | {"metadata": {"deletionTimestamp": "2026-11-24T12:00:00Z"}},
            False,
            id="on its way out",
        ),
    ],
)
def test_a_pod_is_ready_when_it_serves_and_stays(pod: Any, ready: bool) -> None:
    assert diagnosis.is_ready(pod) is ready


@pytest.mark.parametrize(
    ("pod", "code"),
    [
        pytest.param(None, 1, id="gone"),
        pytest.param(a_pod(scheduled=False), None, id="waits for its node"),
        pytest.param(a_pod(phase="Running", notebook=RUNNING), None, id="runs"),
        pytest.param(
            a_pod(notebook={"state": {"waiting": {"reason": "CrashLoopBackOff"}}}),
            None,
            id="restarts",
        ),
        pytest.param(
            a_pod(phase="Succeeded", notebook={"state": {"terminated": {"exitCode": 0}}}),
            0,
            id="ended well",
        ),
        pytest.param(
            a_pod(phase="Failed", notebook={"state": {"terminated": {"exitCode": 137}}}),
            137,
            id="killed",
        ),
        pytest.param(a_pod(phase="Failed", containerStatuses=None), 1, id="given up by the node"),
        pytest.param(
            a_pod(phase="Running", policy="OnFailure", notebook=ended(137)),
            None,
            id="killed and about to be started again",
        ),
        pytest.param(
            a_pod(phase="Running", policy="OnFailure", notebook=ended(0)),
            0,
            id="ended well while another container runs",
        ),
        pytest.param(
            a_pod(phase="Running", policy="Never", notebook=ended(3)),
            3,
            id="ended while another container runs, and stays so",
        ),
        pytest.param(
            a_pod(
                phase="Running",
                policy="OnFailure",
                notebook={
                    "state": BACK_OFF,
                    "restartCount": 2,
                    "lastState": {"terminated": {"exitCode": 3}},
                },
            ),
            3,
            id="keeps ending",
        ),
    ],
)
def test_the_hub_is_told_whether_a_pod_lives(pod: Any, code: int | None) -> None:
    assert diagnosis.exit_code(pod) == code


def test_the_startup_scripts_report_is_its_termination_message() -> None:
    ended = {"state": {"terminated": {"exitCode": 0, "message": "exit code 1\nno such module"}}}
    assert diagnosis.startup_report(a_pod(startup=ended)) == "exit code 1\nno such module"
    assert diagnosis.startup_report(a_pod(startup={"state": {"running": {}}})) is None
    assert diagnosis.startup_report(None) is None


def test_a_template_that_is_gone_is_noticed_in_the_claim_controllers_event() -> None:
    message = 'resourceclaimtemplate.resource.k8s.io "gpu-1" not found'
    assert diagnosis.misses_template([an_event("FailedResourceClaimCreation", message)])
    assert not diagnosis.misses_template([an_event("FailedResourceClaimCreation", "quota")])
    assert not diagnosis.misses_template([])


def test_an_event_of_the_progress_stream_is_text_only() -> None:
    event = diagnosis.to_event(diagnosis.progress_of(None, None, [], None), startup="exit code 0")
    assert set(event) == {"progress", "message", "waiting_for", "steps", "startup"}
    assert "html_message" not in event
