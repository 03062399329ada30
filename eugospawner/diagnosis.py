"""
Diagnosis: what a Pod is doing, in words people understand.

Pure: Pod, claim and events come in as Kubernetes shows them, and out comes how far a start is
(the six steps of F19), what it waits for, or why waiting cannot help. Kubernetes retries for
ever; people should not have to. A cause counts as final only when retrying the same Pod cannot
change it: an image that does not exist, a program that keeps ending, a Pod the node gave up.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from eugospawner.manifests import allocation, kueue
from eugospawner.manifests.pod import STARTUP
from eugospawner.policy.catalog import WHOLE_PERCENT
from eugospawner.policy.lifecycle import Ending, words_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eugospawner.manifests.kueue import Ticket
    from eugospawner.policy.decisions import Gpus

#: A Kubernetes object as JSON gives it.
Json = Any

NOTEBOOK: Final = "notebook"

#: Restarts after which a program is said to keep ending; kubelet waits 10 s, 20 s between them.
_MOST_RESTARTS: Final = 2
#: Back-off follows a second failure: the first may be a passing fault of the registry.
_NO_IMAGE: Final = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"})
#: What the kubelet or the node controller says of a Pod whose node goes away.
_NODE_IS_GONE: Final = frozenset({"NodeLost", "NodeShutdown", "Shutdown", "Terminated"})
_NO_CONTAINER: Final = frozenset({"CreateContainerConfigError", "CreateContainerError"})


class State(StrEnum):
    """How far a step is."""

    WAITING = "waiting"
    ACTIVE = "active"
    DONE = "done"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One line of the start's list (F19)."""

    label: str
    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """
    How far a start is.

    Attributes:
        percent: 0 to 100; 100 is the hub's to say, when the server answers.
        message: What is happening, one sentence.
        waiting_for: What the start waits for if it is still the same later, for F26.
    """

    percent: int
    message: str
    waiting_for: str
    steps: tuple[Step, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a Pod cannot become ready: machine reason, sentence, and what to do."""

    reason: str
    sentence: str


#: The steps of a start, in order (F19).
STEPS: Final = (
    "JupyterHub environment",
    "Compute resources",
    "Persistent storage",
    "Pre-installed libraries",
    "Security and access controls",
    "Authentication",
)


def is_ready(pod: Json | None) -> bool:
    """Whether the Pod serves: running, addressed, every container ready, not on its way out."""
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return False
    status = pod["status"]
    containers = status.get("containerStatuses") or ()
    return (
        status.get("phase") == "Running"
        and bool(status.get("podIP"))
        and bool(containers)
        and all(each.get("ready") for each in containers)
    )


def progress_of(
    pod: Json | None,
    claim: Json | None,
    events: Sequence[Json],
    gpus: Gpus | None,
    ticket: Ticket | None = None,
) -> Progress:
    """
    Return how far a start is.

    Args:
        events: The Pod's, oldest first.
        ticket: Its place in a queue of Kueue, as long as that holds it back.
    """
    done, message = (1, _in_queue(ticket)) if pod and ticket else _stage(pod, claim, events, gpus)
    return Progress(
        percent=min(90, 5 + 17 * done),
        message=message,
        waiting_for=message,
        steps=tuple(
            Step(
                label=label,
                state=State.DONE
                if index < done
                else State.ACTIVE
                if index == done
                else State.WAITING,
            )
            for index, label in enumerate(STEPS)
        ),
    )


def follow(
    shown: Progress | None,
    pod: Json | None,
    claim: Json | None,
    events: Sequence[Json],
    gpus: Gpus | None,
    ticket: Ticket | None = None,
    *,
    stopping: bool,
) -> Progress:
    """
    Return how far a start is, given what was *shown* of it before.

    A Pod that is gone again has nothing new to say: how far the start came stays in sight.

    Args:
        shown: The last progress of this start; `None`: nothing yet.
        stopping: Whether the hub itself removes the Pod, which then is no sign of a failure.
    """
    if pod is None and shown is not None:
        return shown
    progress = progress_of(pod, claim, events, gpus, ticket)
    failure = failure_of(pod, events) if pod is not None and not stopping else None
    return progress if failure is None else _failed(progress, failure)


def _failed(progress: Progress, failure: Failure) -> Progress:
    """Return *progress* with the step at work marked as the one that failed."""
    return Progress(
        percent=progress.percent,
        message=failure.sentence,
        waiting_for="",
        steps=tuple(
            Step(label=step.label, state=State.FAILED) if step.state is State.ACTIVE else step
            for step in progress.steps
        ),
    )


def _stage(
    pod: Json | None, claim: Json | None, events: Sequence[Json], gpus: Gpus | None
) -> tuple[int, str]:
    """Return how many steps are done, and what is happening."""
    if pod is None:
        return 0, "Preparing the workspace."
    conditions = {
        each["type"]: each["status"] == "True" for each in pod["status"].get("conditions") or ()
    }
    if not conditions.get("PodScheduled"):
        return 1, _waits_for_node(_scheduling(pod, events), gpus, claim)
    startup = _container(pod, STARTUP, "initContainerStatuses")
    notebook = _container(pod, NOTEBOOK)
    begun = _has_image(startup) or _has_image(notebook) or bool(_waiting_reason(notebook))
    if not (conditions.get("PodReadyToStartContainers") or begun):
        trouble = _last(events, {"FailedMount", "FailedAttachVolume", "FailedMapVolume"})
        if trouble is not None:
            return 2, "Waiting for the storage: it could not be attached yet. Trying again."
        if _last(events, {"FailedPrepareDynamicResources"}) is not None:
            return 1, "Waiting for the GPU: its driver does not answer yet. Trying again."
        return 2, "Attaching your files."
    if startup is not None and "running" in (startup.get("state") or {}):
        return 4, "Running the profile's startup script."
    if not _has_image(notebook):
        if _waiting_reason(notebook) == "ErrImagePull":
            return 3, "The image could not be fetched. Trying once more."
        if _last(events, {"Pulling"}) is not None:
            return 3, "Fetching the image with its libraries."
        return 3, "Looking for the image with its libraries."
    if "running" not in (notebook or {}).get("state", {}):
        return 4, "Starting the workspace's programs."
    if not is_ready(pod):
        return 5, "The workspace runs; waiting until it is ready."
    return 5, "The workspace runs; waiting until it answers."


def _in_queue(ticket: Ticket) -> str:
    said = f" Kueue says: {_short(ticket.said).rstrip('.')}." if ticket.said else ""
    return f"Waiting in the queue {ticket.queue} until it has room. It starts by itself.{said}"


def _scheduling(pod: Json, events: Sequence[Json]) -> str:
    """
    Return what the scheduler said last of a Pod that has no node; empty: nothing yet.

    The Pod's condition says it. Of several events the first alone may be there: the scheduler's
    recorder counts those that differ only in their text as repetitions (events.k8s.io series).
    """
    for condition in pod["status"].get("conditions") or ():
        if condition["type"] == "PodScheduled" and condition.get("message"):
            return str(condition["message"])
    event = _last(events, {"FailedScheduling"})
    return "" if event is None else str(event.get("message") or "")


def _waits_for_node(text: str, gpus: Gpus | None, claim: Json | None) -> str:
    wanted = f"{gpus.count} × {gpus.model.display_name}" if gpus else ""
    if gpus is not None and "claim" in text and not (claim and allocation.is_allocated(claim)):
        percent = gpus.model.charged_percent(gpus.sm_percent)
        share = "" if percent == WHOLE_PERCENT else f" with {percent} % SM free"
        return f"Waiting for {wanted}{share}: all are in use. It starts by itself."
    # Kubernetes says this of a volume that is just being made; it is no failure.
    if "unbound immediate PersistentVolumeClaims" in text:
        return "Making your storage."
    if "Insufficient" in text:
        return "Waiting for a node with enough CPU and memory: all are in use."
    if text:
        return "Waiting for a node that can take the workspace."
    return f"Looking for {wanted}." if wanted else "Looking for a node."


def failure_of(pod: Json | None, events: Sequence[Json]) -> Failure | None:
    """
    Return why *pod* cannot become ready however long one waits, or `None`.

    Args:
        pod: The Pod; `None` after it has been seen means that somebody deleted it.
        events: The Pod's events, oldest first.
    """
    eviction = kueue.eviction_of(pod)
    if eviction is not None:
        return Failure(reason=eviction.ending, sentence=words_of(eviction.ending).sentence)
    if pod is None or "deletionTimestamp" in pod["metadata"]:
        return Failure(
            reason="pod-deleted",
            sentence="The workspace was stopped from outside while it started. Start it again.",
        )
    if pod["status"].get("phase") == "Failed":
        return _failed_phase(pod)
    if _misses_device_class(_scheduling(pod, events)):
        return Failure(
            reason="device-class-missing",
            sentence="The cluster does not know the device class of this GPU model. "
            "Ask an admin to install its driver, or choose another model.",
        )
    for container in _containers(pod):
        failure = _container_failure(container)
        if failure is not None:
            return failure
    return None


def misses_template(events: Sequence[Json]) -> bool:
    """Whether the shared claim template was gone when the Pod's claim was to be made."""
    event = _last(events, {"FailedResourceClaimCreation"})
    return event is not None and "not found" in (event.get("message") or "")


def exit_code(pod: Json | None) -> int | None:
    """
    Return `None` while *pod* lives, else the exit code that the hub is told.

    A Pod that waits for its node lives, and so does one whose program ended and is started again;
    one that is gone, that the node gave up or whose program keeps ending does not. 1 stands for
    an end whose code is unknown.
    """
    if pod is None:
        return 1
    notebook = _container(pod, NOTEBOOK) or {}
    ended = (notebook.get("state") or {}).get("terminated")
    if pod["status"].get("phase") in {"Failed", "Succeeded"}:
        return _code_of(ended)
    if ended is not None and not _is_started_again(pod, ended):
        return _code_of(ended)
    if _keeps_ending(notebook):
        return _code_of(notebook["lastState"]["terminated"])
    return None


def ending_of(pod: Json, status: int) -> str:
    """Return the machine reason of the end of *pod*, whose program ended with *status*."""
    if pod["status"].get("reason") in _NODE_IS_GONE:
        return Ending.NODE_LOST
    # 0: somebody shut the program down from inside, which is a stop like any.
    return Ending.CRASH if status else Ending.STOPPED


def last_words(pod: Json) -> str | None:
    """Return what is known of how the program of *pod* ended; `None`: nothing is."""
    notebook = _container(pod, NOTEBOOK) or {}
    ended = (notebook.get("state") or {}).get("terminated") or (
        notebook.get("lastState") or {}
    ).get("terminated")
    said = pod["status"].get("message") or ""
    if ended is None:
        return _short(said) if said else None
    if ended.get("reason") == "OOMKilled":
        return "It used more memory than it has. Choose more memory, or work on less data."
    code = ended.get("exitCode", 1)
    return f"Its program ended with exit code {code}." if code else None


def event_words(event: Json) -> str:
    """Return a Kubernetes event as a line of a log."""
    return f"{event.get('reason') or 'Event'}: {_short(event.get('message') or '')}"


def _code_of(ended: Json | None) -> int:
    return 1 if ended is None else int(ended.get("exitCode", 1))


def _is_started_again(pod: Json, ended: Json) -> bool:
    policy = (pod.get("spec") or {}).get("restartPolicy", "Always")
    return policy == "Always" or (policy == "OnFailure" and _code_of(ended) != 0)


def _keeps_ending(container: Json) -> bool:
    """Whether the kubelet has restarted it in vain; a restart long ago is no reason any more."""
    return (
        container.get("restartCount", 0) >= _MOST_RESTARTS
        and _waiting_reason(container) == "CrashLoopBackOff"
        and bool((container.get("lastState") or {}).get("terminated"))
    )


def to_event(progress: Progress, *, startup: str | None) -> dict[str, object]:
    """
    Return *progress* as JupyterHub's progress stream takes it; all text, never HTML.

    Args:
        startup: What the startup script reported, if it has ended.
    """
    event: dict[str, object] = {
        "progress": progress.percent,
        "message": progress.message,
        "waiting_for": progress.waiting_for,
        "steps": [{"label": step.label, "state": str(step.state)} for step in progress.steps],
    }
    if startup is not None:
        event["startup"] = startup
    return event


def startup_report(pod: Json | None) -> str | None:
    """Return what the startup script said and its exit code, once it has ended (F49); or `None`."""
    startup = _container(pod, STARTUP, "initContainerStatuses") if pod else None
    ended = (startup or {}).get("state", {}).get("terminated")
    # Without a script the container ends and says nothing.
    return str(ended["message"]) if (ended or {}).get("message") else None


def _failed_phase(pod: Json) -> Failure:
    reason = pod["status"].get("reason") or ""
    if reason == "Evicted":
        return Failure(
            reason="evicted",
            sentence="The node ran out of resources and gave the workspace up. "
            "Start it again; choose more memory if it happens often.",
        )
    said = pod["status"].get("message") or reason or "no reason given"
    return Failure(
        reason="pod-failed", sentence=f"The node could not run the workspace: {_short(said)}"
    )


def _container_failure(container: Json) -> Failure | None:
    waiting = _waiting_reason(container)
    if waiting in _NO_IMAGE:
        said = container["state"]["waiting"].get("message") or ""
        return Failure(
            reason="image-pull",
            sentence=f"The image {container.get('image')} cannot be fetched. Choose another "
            f"image, or ask an admin to check it. The registry said: {_short(said)}",
        )
    if waiting in _NO_CONTAINER:
        said = container["state"]["waiting"].get("message") or ""
        return Failure(
            reason="container-refused",
            sentence=f"The workspace's container cannot be made: {_short(said)}",
        )
    if _keeps_ending(container):
        ended = container["lastState"]["terminated"]
        if ended.get("reason") == "OOMKilled":
            return Failure(
                reason="out-of-memory",
                sentence="The workspace ran out of memory while it started. "
                "Choose more memory or a larger flavor.",
            )
        return Failure(
            reason="crash-loop",
            sentence="The workspace's program keeps ending while it starts "
            f"(exit code {ended.get('exitCode')}). Ask an admin to check the image.",
        )
    return None


def _misses_device_class(message: str) -> bool:
    return "device class" in message and "does not exist" in message


def _containers(pod: Json) -> list[Json]:
    status = pod["status"]
    return [
        *(status.get("initContainerStatuses") or ()),
        *(status.get("containerStatuses") or ()),
    ]


def _container(pod: Json, name: str, statuses: str = "containerStatuses") -> Json | None:
    return next(
        (each for each in pod["status"].get(statuses) or () if each.get("name") == name), None
    )


def _has_image(container: Json | None) -> bool:
    return bool((container or {}).get("imageID"))


def _waiting_reason(container: Json | None) -> str:
    reason: str = ((container or {}).get("state", {}).get("waiting") or {}).get("reason") or ""
    return "" if reason in {"ContainerCreating", "PodInitializing"} else reason


def _last(events: Sequence[Json], reasons: set[str]) -> Json | None:
    return next((each for each in reversed(events) if each.get("reason") in reasons), None)


def _short(text: str) -> str:
    """Keep the first line of a foreign message, at a length that fits a sentence."""
    line = text.strip().splitlines()[0] if text.strip() else "nothing"
    return line if len(line) <= 300 else f"{line[:299]}…"  # noqa: PLR2004 - fits four lines
