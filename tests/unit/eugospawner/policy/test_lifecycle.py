"""
The state machine, compared with the table of features.md as it was written down there. F15 to F18, F23.
"""

import pytest

from eugospawner.policy import lifecycle
from eugospawner.policy.lifecycle import (
    ENDINGS,
    LOOKS,
    PERMITTED,
    Ending,
    Operation,
    State,
    Tone,
    after_end,
    find_state,
    label_of,
    leads_to,
    may_ask,
    may_become,
    operations_of,
    words_of,
)

# "Permitted transitions (all others answer 409)", word for word.
TABLE = """
Created → Starting, Terminating
Stopped → Starting, Suspending, Terminating
Start failed → Starting, Stopped, Suspending, Terminating
Starting → Running, Start failed, Stopping, Suspending
Running → Stopping, Suspending, Terminating
Stopping → Stopped
Suspending → Suspended, Suspend failed
Suspend failed → Suspending, Terminating
Suspended → Stopped, Starting, Terminating
Terminating → Terminated, Terminate failed
Terminate failed → Terminating
"""
# The column "badge", and what each state is called elsewhere.
BADGES = {
    State.CREATED: Tone.FRESH, State.STARTING: Tone.BUSY, State.RUNNING: Tone.GOOD,
    State.STOPPING: Tone.BUSY, State.STOPPED: Tone.NEUTRAL, State.SUSPENDING: Tone.BUSY,
    State.SUSPENDED: Tone.HELD, State.TERMINATING: Tone.BUSY, State.TERMINATED: Tone.PAST,
    State.START_FAILED: Tone.BAD, State.SUSPEND_FAILED: Tone.BAD,
    State.TERMINATE_FAILED: Tone.BAD,
}  # fmt: skip
ALIASES = {
    State.CREATED: ["Created"],
    State.STARTING: ["Deploying", "Starting"],
    State.RUNNING: ["Deployed", "Running", "RUNNING", "active session"],
    State.STOPPING: ["Stopping", "push to object storage"],
    State.STOPPED: ["Stopped", "STOPPED", "auto-suspended", "idle-stopped"],
    State.SUSPENDING: ["Suspending"],
    State.SUSPENDED: ["Suspended"],
    State.TERMINATING: ["Terminating"],
    State.TERMINATED: ["Terminated", "hard delete"],
    State.START_FAILED: [
        "Deploy Failed",
        "DEPLOY_FAILED",
        "Error",
        "error",
        "Notebook won't start",
    ],
    State.SUSPEND_FAILED: ["Suspend Failed"],
    State.TERMINATE_FAILED: ["Terminate Failed", "TERMINATE_FAILED"],
}


def by_word(word):
    (found,) = [state for state, look in LOOKS.items() if look.word == word]
    return found


def test_what_may_follow_is_the_table_of_the_specification_and_nothing_else():
    said = {}
    for line in TABLE.strip().splitlines():
        state, _, after = line.partition(" → ")
        said[by_word(state)] = {by_word(word) for word in after.split(", ")}
    assert {state: set(after) for state, after in PERMITTED.items()} == said | {
        State.TERMINATED: set()
    }
    for state in State:
        for after in State:
            assert may_become(state, after) is (after in said.get(state, ()))


def test_every_state_has_its_badge_and_an_icon_that_says_the_same_without_colour():
    assert {state: look.tone for state, look in LOOKS.items()} == BADGES
    for look in LOOKS.values():
        assert look.icon
        assert look.charges


@pytest.mark.parametrize("state", State)
def test_every_word_of_the_references_selects_its_state_without_regard_to_case(state):
    for word in [*ALIASES[state], state.value, LOOKS[state].word]:
        for spelled in (word, word.upper(), word.lower(), f" {word} "):
            assert find_state(spelled) is state, spelled
    assert {find_state(word) for word in lifecycle.aliases_of(state)} <= {state}


@pytest.mark.parametrize("word", ["", "  ", "running!", "stop", "0", "deploy"])
def test_what_is_no_state_selects_none(word):
    assert find_state(word) is None


def test_an_operation_leads_where_the_table_allows():
    for operation in Operation:
        to = leads_to(operation)
        for state in State:
            if to is not None and may_ask(state, operation):
                assert may_become(state, to), (state, operation)
    assert all(may_ask(state, Operation.DELETE) for state in lifecycle.DELETABLE)


@pytest.mark.parametrize(
    ("state", "offered"),
    [
        (State.CREATED, ["Deploy", "Delete", "Terminate"]),
        (State.STARTING, ["Cancel", "Suspend"]),
        (State.RUNNING, ["Stop", "Suspend", "Delete", "Terminate"]),
        (State.STOPPING, []),
        (State.STOPPED, ["Start", "Suspend", "Delete", "Terminate"]),
        (State.SUSPENDING, []),
        (State.SUSPENDED, ["Resume", "Terminate"]),
        (State.TERMINATING, []),
        (State.TERMINATED, []),
        (State.START_FAILED, ["Try again", "Reset", "Suspend", "Delete", "Terminate"]),
        (State.SUSPEND_FAILED, ["Try again", "Terminate"]),
        (State.TERMINATE_FAILED, ["Try again"]),
    ],
)
def test_what_is_offered_is_what_may_be_asked(state, offered):
    assert [label_of(each, state) for each in operations_of(state)] == offered


def test_every_ending_is_explained_and_says_that_files_are_kept_or_why_not():
    assert set(ENDINGS) == set(Ending)
    for words in ENDINGS.values():
        assert words.title
        assert words.sentence.endswith(".")
    assert words_of("image-pull").title == "Image pull"


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("reason", [*Ending, "image-pull"])
@pytest.mark.parametrize("was_running", [False, True])
def test_the_end_of_a_session_leads_somewhere_from_every_state(state, reason, was_running):
    after = after_end(state, reason, was_running=was_running)
    match state:
        case State.SUSPENDING | State.SUSPEND_FAILED:
            assert after is State.SUSPENDED
        case State.TERMINATING | State.TERMINATE_FAILED | State.TERMINATED:
            assert after is state
        case State.STARTING:
            assert after in {State.STOPPED, State.START_FAILED}
            assert (after is State.STOPPED) or not was_running
        case _:
            assert after is State.STOPPED
