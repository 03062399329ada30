"""
Lifecycle: the states of a workspace, which of them follow which, and what people are told in each.

One table says what may happen; store, services, pages and the command ask it, and whatever it does not allow
is answered with 409. Source: features.md, "State machine"; D12; F15 to F24; F27; F64.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from eugospawner.policy.case import MAX_SESSION, WINDOW
from eugospawner.policy.quota import EXHAUSTED

if TYPE_CHECKING:
    from collections.abc import Mapping


class State(StrEnum):
    """Where a workspace is in its life."""

    CREATED = "created"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    SUSPENDING = "suspending"
    SUSPENDED = "suspended"
    TERMINATING = "terminating"
    TERMINATED = "terminated"
    START_FAILED = "start-failed"
    SUSPEND_FAILED = "suspend-failed"
    TERMINATE_FAILED = "terminate-failed"


class Tone(StrEnum):
    """How a badge looks; text and icon say the same, so that nothing hangs on colour (F23)."""

    GOOD = "good"
    BUSY = "busy"
    NEUTRAL = "neutral"
    FRESH = "fresh"
    HELD = "held"
    BAD = "bad"
    PAST = "past"


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """
    What people see of a state.

    Attributes:
        word: The badge's text.
        icon: A sign before it, which says the same without colour.
        sentence: What it means, for whoever has just arrived in it; may be empty.
        charges: What is charged meanwhile.
    """

    word: str
    tone: Tone
    icon: str
    sentence: str
    charges: str


_COMPUTE: Final = "compute and storage"
_STORAGE: Final = "storage"

LOOKS: Final[Mapping[State, Look]] = {
    State.CREATED: Look(
        word="Created", tone=Tone.FRESH, icon="○", charges="nothing",
        sentence="Created but not yet deployed",
    ),
    State.STARTING: Look(
        word="Starting", tone=Tone.BUSY, icon="◔", charges=_COMPUTE,
        sentence="Usually 30–120 seconds",
    ),
    State.RUNNING: Look(word="Running", tone=Tone.GOOD, icon="▶", charges=_COMPUTE, sentence=""),
    State.STOPPING: Look(
        word="Stopping", tone=Tone.BUSY, icon="◔", sentence="Files are kept.",
        charges="compute and storage, until it has ended",
    ),
    State.STOPPED: Look(word="Stopped", tone=Tone.NEUTRAL, icon="■", charges=_STORAGE, sentence=""),
    State.SUSPENDING: Look(
        word="Suspending", tone=Tone.BUSY, icon="◔", sentence="Files are kept.",
        charges="compute and storage, until it has ended",
    ),
    State.SUSPENDED: Look(
        word="Suspended", tone=Tone.HELD, icon="‖", charges="minimal storage fees, all data preserved",
        sentence="Notebooks, data, settings and permissions are kept.",
    ),
    State.TERMINATING: Look(
        word="Terminating", tone=Tone.BUSY, icon="◔", charges="nothing more once it is done",
        sentence="Everything that belongs to it alone is being destroyed.",
    ),
    State.TERMINATED: Look(
        word="Terminated", tone=Tone.PAST, icon="✕", charges="nothing",
        sentence="Everything that belonged to it alone is gone.",
    ),
    State.START_FAILED: Look(
        word="Start failed", tone=Tone.BAD, icon="!", charges=_STORAGE,
        sentence="Deployment didn't complete successfully.",
    ),
    State.SUSPEND_FAILED: Look(
        word="Suspend failed", tone=Tone.BAD, icon="!", charges="possibly compute and storage",
        sentence="Suspension didn't complete. The workspace may still be running and incurring "
        "charges.",
    ),
    State.TERMINATE_FAILED: Look(
        word="Terminate failed", tone=Tone.BAD, icon="!", charges="possibly storage",
        sentence="Deletion didn't complete. The workspace may still exist. You can retry "
        "termination from the actions menu.",
    ),
}  # fmt: skip

#: What may follow a state. A transition that is not here is refused.
PERMITTED: Final[Mapping[State, frozenset[State]]] = {
    State.CREATED: frozenset({State.STARTING, State.TERMINATING}),
    State.STARTING: frozenset(
        {State.RUNNING, State.START_FAILED, State.STOPPING, State.SUSPENDING}
    ),
    State.RUNNING: frozenset({State.STOPPING, State.SUSPENDING, State.TERMINATING}),
    State.STOPPING: frozenset({State.STOPPED}),
    State.STOPPED: frozenset({State.STARTING, State.SUSPENDING, State.TERMINATING}),
    State.SUSPENDING: frozenset({State.SUSPENDED, State.SUSPEND_FAILED}),
    State.SUSPENDED: frozenset({State.STOPPED, State.STARTING, State.TERMINATING}),
    State.TERMINATING: frozenset({State.TERMINATED, State.TERMINATE_FAILED}),
    State.TERMINATED: frozenset(),
    State.START_FAILED: frozenset(
        {State.STARTING, State.STOPPED, State.SUSPENDING, State.TERMINATING}
    ),
    State.SUSPEND_FAILED: frozenset({State.SUSPENDING, State.TERMINATING}),
    State.TERMINATE_FAILED: frozenset({State.TERMINATING}),
}

#: States in which a workspace may have a Pod.
ALIVE: Final = frozenset(
    {State.STARTING, State.RUNNING, State.STOPPING, State.SUSPENDING, State.SUSPEND_FAILED}
)
#: States from which an entry is removed while its data stays (F29).
DELETABLE: Final = frozenset({State.CREATED, State.RUNNING, State.STOPPED, State.START_FAILED})


class Operation(StrEnum):
    """What somebody may want of a workspace; the words are those of buttons, routes and audit."""

    START = "start"
    STOP = "stop"
    RESET = "reset"
    SUSPEND = "suspend"
    RESUME = "resume"
    DELETE = "delete"
    TERMINATE = "terminate"


#: Where each operation leads, and from where it may be asked for.
_LEADS: Final[Mapping[Operation, tuple[State | None, frozenset[State]]]] = {
    Operation.START: (
        State.STARTING,
        frozenset({State.CREATED, State.STOPPED, State.START_FAILED}),
    ),
    Operation.STOP: (State.STOPPING, frozenset({State.STARTING, State.RUNNING})),
    Operation.RESET: (State.STOPPED, frozenset({State.START_FAILED})),
    Operation.SUSPEND: (
        State.SUSPENDING,
        frozenset(
            {
                State.STARTING,
                State.RUNNING,
                State.STOPPED,
                State.START_FAILED,
                State.SUSPEND_FAILED,
            }
        ),
    ),
    Operation.RESUME: (State.STOPPED, frozenset({State.SUSPENDED})),
    Operation.DELETE: (None, DELETABLE),
    Operation.TERMINATE: (
        State.TERMINATING,
        frozenset(state for state, after in PERMITTED.items() if State.TERMINATING in after),
    ),
}

_LABELS: Final[Mapping[tuple[Operation, State], str]] = {
    (Operation.START, State.CREATED): "Deploy",
    (Operation.START, State.START_FAILED): "Try again",
    (Operation.STOP, State.STARTING): "Cancel",
    (Operation.SUSPEND, State.SUSPEND_FAILED): "Try again",
    (Operation.TERMINATE, State.TERMINATE_FAILED): "Try again",
}


def may_become(state: State, after: State) -> bool:
    """Whether *after* may follow *state*."""
    return after in PERMITTED[state]


def may_ask(state: State, operation: Operation) -> bool:
    """Whether *operation* may be asked for in *state*."""
    return state in _LEADS[operation][1]


def leads_to(operation: Operation) -> State | None:
    """Return the state in which *operation* is at work; `None`: there is no entry any more."""
    return _LEADS[operation][0]


def operations_of(state: State) -> tuple[Operation, ...]:
    """Return what may be asked for in *state*, in the order in which it is offered."""
    return tuple(each for each in Operation if may_ask(state, each))


def label_of(operation: Operation, state: State) -> str:
    """Return what the button says."""
    return _LABELS.get((operation, state), operation.capitalize())


class Ending(StrEnum):
    """Why a session ended, as far as we say so ourselves; failures of a start have their own."""

    USER = "user"
    ADMIN = "admin"
    IDLE = "idle"
    MAX_SESSION = MAX_SESSION
    WINDOW = WINDOW
    PREEMPTION = "preemption"
    QUEUE = "queue"
    QUOTA = EXHAUSTED
    SUSPENSION = "suspension"
    TERMINATION = "termination"
    SIGNED_OUT = "signed-out"
    STOPPED = "stopped"
    CRASH = "crash"
    NODE_LOST = "node-lost"
    POD_GONE = "pod-gone"
    ORPHAN = "orphan"
    SUPERSEDED = "superseded"
    START_FAILED = "start-failed"


@dataclass(frozen=True, slots=True)
class Words:
    """Why something ended: in a few words, and what happened with what to do next."""

    title: str
    sentence: str


#: What holds after every end that nobody of its owner's wanted.
AGAIN: Final = "Files are kept; start it again."

ENDINGS: Final[Mapping[str, Words]] = {
    Ending.USER: Words("Stopped by its owner", "It was stopped on request. Files are kept."),
    Ending.ADMIN: Words("Stopped by an admin", f"Somebody who may stop it did. {AGAIN}"),
    Ending.IDLE: Words(
        "Idle",
        "Nothing ran in it for as long as its profile allows. Files are kept; start it again, or choose "
        "a profile with a longer idle time for long computations.",
    ),
    Ending.MAX_SESSION: Words(
        "Longest session reached", f"It ran as long as its profile allows. {AGAIN}"
    ),
    Ending.WINDOW: Words(
        "Plan window expired",
        "The window of its plan closed. Restart it inside the next window, or switch to the default "
        "queue.",
    ),
    Ending.PREEMPTION: Words(
        "Preemption", f"A workspace in a queue of higher priority needed its GPUs. {AGAIN}"
    ),
    Ending.QUEUE: Words(
        "Ended by its queue",
        f"The cluster took back what the queue had given: the queue was stopped, or a Node left. {AGAIN}",
    ),
    Ending.QUOTA: Words(
        "Quota used up",
        "A quota had nothing left. Files are kept; it can be started when the quota is renewed or an "
        "admin grants more.",
    ),
    Ending.SUSPENSION: Words("Suspended", "It was suspended. Notebooks, data and settings are kept."),
    Ending.TERMINATION: Words("Terminated", "It was to be destroyed with everything in it."),
    Ending.SIGNED_OUT: Words("Signed out", f"Its owner's sign-in ended. {AGAIN}"),
    Ending.CRASH: Words("Crash", f"Its program ended with an error while it ran. {AGAIN}"),
    Ending.NODE_LOST: Words("Node lost", f"The machine it ran on is gone. {AGAIN}"),
    Ending.POD_GONE: Words(
        "Pod gone", f"Its Pod was deleted from outside, or its machine was lost. {AGAIN}"
    ),
    Ending.ORPHAN: Words(
        "Orphan", f"The hub had lost sight of it, so it was stopped. {AGAIN}"
    ),
    Ending.SUPERSEDED: Words("Started anew", "It was started again before its end was seen."),
    Ending.START_FAILED: Words(
        "Start failed", "It did not become ready. Try again, or look at what was reported."
    ),
    Ending.STOPPED: Words("Stopped", "Its program was shut down. Files are kept."),
}  # fmt: skip


def words_of(reason: str) -> Words:
    """Return what to say about a machine *reason* of an end; also of a start that failed."""
    known = ENDINGS.get(reason)
    return known or Words(reason.replace("-", " ").capitalize(), "")


#: A start that ended so was given up on purpose.
_NO_FAILURES: Final = frozenset(
    {
        Ending.USER,
        Ending.ADMIN,
        Ending.IDLE,
        Ending.MAX_SESSION,
        Ending.WINDOW,
        Ending.PREEMPTION,
        Ending.QUEUE,
        Ending.QUOTA,
        Ending.SUSPENSION,
        Ending.TERMINATION,
        Ending.SIGNED_OUT,
        Ending.STOPPED,
        Ending.SUPERSEDED,
    }
)


def after_end(state: State, reason: str, *, was_running: bool) -> State:
    """
    Return the state of a workspace whose session has ended in *state*.

    A Pod that dies while Running leads to Stopped; one that never becomes ready to Start failed.
    """
    match state:
        case State.SUSPENDING | State.SUSPEND_FAILED:
            return State.SUSPENDED
        case State.TERMINATING | State.TERMINATE_FAILED | State.TERMINATED:
            return state
        case State.STARTING if not was_running and reason not in _NO_FAILURES:
            return State.START_FAILED
        case _:
            return State.STOPPED


#: What the four products that ours follows call a state, beside our own words (D12).
_ALIASES: Final[Mapping[str, State]] = {
    "deploying": State.STARTING,
    "deployed": State.RUNNING,
    "active session": State.RUNNING,
    "push to object storage": State.STOPPING,
    "auto suspended": State.STOPPED,
    "idle stopped": State.STOPPED,
    "hard delete": State.TERMINATED,
    "deploy failed": State.START_FAILED,
    "error": State.START_FAILED,
    "notebook won't start": State.START_FAILED,
}


def find_state(word: str) -> State | None:
    """Return the state that *word* means, ours or another product's; `None`: none."""
    plain = re.sub(r"[\s_-]+", " ", word.replace("’", "'")).strip().casefold()
    by_word = {look.word.casefold(): state for state, look in LOOKS.items()}
    return by_word.get(plain) or _ALIASES.get(plain)


def aliases_of(state: State) -> tuple[str, ...]:
    """Return what else *state* is called."""
    return tuple(word for word, meant in _ALIASES.items() if meant is state)
