"""
Showing: a workspace as people see it: state, since when and why, what it has, when it ends, what can be done.

One function for the hub's page, the service and the command, so that they say the same in the same words.
Pure: records, settings and who looks come in as values. Times go out as they are; whoever shows them adds the
zone and how long ago. Source: features.md, "Workspaces list"; F23, F27, F33, F52, F61, F63, F64, F66, F67; L7.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eugospawner.lines import Fill, fill_of
from eugospawner.lives import NEEDS
from eugospawner.policy import deadlines, units
from eugospawner.policy.catalog import DEFAULT_QUEUE, Kind
from eugospawner.policy.deadlines import End
from eugospawner.policy.entitlement_rules import local
from eugospawner.policy.lifecycle import (
    LOOKS,
    Ending,
    Look,
    Operation,
    State,
    Words,
    label_of,
    operations_of,
    words_of,
)
from eugospawner.policy.permissions import may, who_may
from eugospawner.policy.roles import MEANINGS, Action
from eugospawner.policy.volumes import HOME, mounted_by, name_of
from eugospawner.policy.windows import next_opening, open_now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import datetime

    from eugospawner.policy.accounts import Actor, Person
    from eugospawner.policy.catalog import Catalog
    from eugospawner.policy.deadlines import Prospect
    from eugospawner.policy.permissions import Workspace as Target
    from eugospawner.policy.plans import Plan
    from eugospawner.store import Session, Workspace
    from eugospawner.store.measures import Measure

#: After so many failed starts in a row people are told whom to ask (F22).
MOST_FAILURES: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Act:
    """
    Something that can be done, or why it cannot.

    Attributes:
        key: `Operation`, or one of ``open``, ``keep``, ``extend``, ``switch-queue``, ``download``.
        denied: Why who looks may not, with who can grant it; empty: they may.
    """

    key: str
    label: str
    denied: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """
    An end that is near: what, when, and what can be done about it.

    Attributes:
        reason: As of the end.
        title: ``Plan window closes``; the page adds the countdown.
        at: UTC; when it happens.
    """

    reason: str
    title: str
    sentence: str
    at: datetime
    acts: tuple[Act, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Gpus:
    """What it holds of GPUs: effective ones as requested and as granted, two decimals (F33, D7)."""

    model: str
    requested: str
    granted: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """
    A volume that it mounts, as it was when it was last measured.

    Attributes:
        volume: Its key among the owner's; empty for the home.
        title: As people read it.
    """

    volume: str
    title: str
    used_bytes: int
    fill: Fill

    @property
    def name(self) -> str:
        """What it is called in addresses."""
        return name_of(self.volume)


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """
    A workspace as people see it.

    Attributes:
        why: Why it is in its state, if there is something to say.
        said: What was reported beside that; may be empty.
        note: What else to know now: when it can be started again, whom to ask; may be empty.
        gpus: `None`: it has none.
        kind: What runs in it; empty: nobody knows yet.
        prospect: What it has before it; `None`: it does not run.
        warnings: Ends that are near, the nearest first.
        storage: Its volumes, as far as they were measured, the home first.
        acts: What is offered in its state, in order.
    """

    workspace: Workspace
    session: Session | None
    look: Look
    why: Words | None
    said: str
    note: str
    project: str
    queue: str
    kind: str
    profile: str
    gpus: Gpus | None
    prospect: Prospect | None
    warnings: tuple[Notice, ...]
    storage: tuple[Stored, ...]
    acts: tuple[Act, ...]

    @property
    def kind_name(self) -> str:
        """What runs in it, as people read it."""
        return Kind(self.kind).display_name if self.kind in set(Kind) else self.kind


def show(
    workspace: Workspace,
    session: Session | None,
    target: Target,
    *,
    actor: Actor,
    people: Mapping[str, Person],
    catalog: Catalog,
    now: datetime,
    measures: Mapping[str, Measure] | None = None,
    support: str = "",
) -> Shown:
    """
    Return *workspace* as *actor* sees it.

    Args:
        session: Its last session, if it has one.
        target: What it is for `permissions.may`.
        measures: What is known of the volumes of its owner, by key.
        support: Whom to turn to when nothing helps; empty: an admin.
    """

    def denied(action: Action) -> str:
        if may(actor, action, target, people):
            return ""
        ask = (
            f"{who_may(Action.ASSIGN_ROLE, target)} for a role that does"
            if actor.name == workspace.owner
            else who_may(action, target)
        )
        return f"Your roles do not include the permission “{MEANINGS[action]}”. Ask {ask}."

    is_running = workspace.state is State.RUNNING and session is not None
    prospect = deadlines.prospect_of(session, catalog) if is_running and session else None
    queue = (session.queue if session is not None else "") or str(
        workspace.options.get("queue") or DEFAULT_QUEUE
    )
    known_queue = catalog.queues.get(queue)
    profile = catalog.profiles.get(
        session.profile if session else str(workspace.options.get("profile") or "")
    )
    acts = tuple(_acts(workspace, denied, is_running=is_running))
    return Shown(
        workspace=workspace,
        session=session,
        look=LOOKS[workspace.state],
        why=words_of(workspace.because) if workspace.because else None,
        said=workspace.said,
        note=_note(workspace, session, target, catalog, now, support),
        project=target.project.display_name,
        queue=queue if known_queue is None else known_queue.display_name,
        kind=str(session.kind) if session else str(workspace.options.get("kind") or ""),
        profile="" if profile is None else profile.display_name,
        gpus=gpus_of(session),
        prospect=prospect,
        warnings=()
        if prospect is None or session is None
        else tuple(
            _warnings(session, prospect, target.project.plan, denied(Action.DEPLOY), catalog, now)
        ),
        storage=tuple(_stored(workspace, measures or {})),
        acts=acts,
    )


def _stored(workspace: Workspace, measures: Mapping[str, Measure]) -> Iterator[Stored]:
    if workspace.session_id is None:
        return  # it was never started: nothing of it is written anywhere
    for key in (HOME, *mounted_by(workspace.options)):
        measure = measures.get(key)
        if measure is not None and measure.measured_at is not None:
            yield Stored(
                volume=key,
                title=key or "Home",
                used_bytes=measure.used_bytes,
                fill=fill_of(measure),
            )


#: Where there is something to take away (features, state machine).
_TAKE_AWAY: Final = frozenset({Operation.SUSPEND, Operation.DELETE, Operation.TERMINATE})
_HAVE_FILES: Final = frozenset({State.RUNNING, State.STOPPED, State.SUSPENDED})


def _acts(
    workspace: Workspace, denied: Callable[[Action], str], *, is_running: bool
) -> Iterator[Act]:
    state = workspace.state
    if is_running:
        yield Act(key="open", label="Open", denied=denied(Action.ACCESS))
    if state is State.STOPPED and workspace.because == Ending.WINDOW:
        yield Act(key="switch-queue", label="Switch to Default Queue", denied=denied(Action.DEPLOY))
    download = Act(key="download", label="Download Notebooks", denied=denied(Action.DOWNLOAD))
    is_offered = state not in _HAVE_FILES
    for operation in operations_of(state):
        # Before what takes it away: whoever looks for the one should meet the other first.
        if not is_offered and operation in _TAKE_AWAY:
            is_offered = True
            yield download
        refused = denied(NEEDS[operation])
        # Suspending is for others to do: whoever may not is not told of it.
        if refused and operation is Operation.SUSPEND:
            continue
        yield Act(key=str(operation), label=label_of(operation, state), denied=refused)


def _warnings(
    session: Session,
    prospect: Prospect,
    plan: Plan,
    refused: str,
    catalog: Catalog,
    now: datetime,
) -> Iterator[Notice]:
    ends = [
        each
        for each in (prospect.deadline, prospect.idle, _window(session, prospect, plan, now))
        if each is not None
    ]
    for end in sorted(ends, key=lambda each: each.at):
        if now < end.warned_from and not _is_window(end):
            continue
        yield Notice(
            reason=end.reason,
            title=_TITLES.get(end.reason, "Ends"),
            sentence=_sentence(end, session, catalog),
            at=end.at,
            acts=tuple(_remedies(end, session, prospect, refused)),
        )


def _window(session: Session, prospect: Prospect, plan: Plan, now: datetime) -> End | None:
    """Return the close of the window that *session* runs in, if another end comes before it."""
    if prospect.deadline is not None and prospect.deadline.reason == Ending.WINDOW:
        return None
    opening = open_now(plan.windows, now) if plan.binds(session.queue) else None
    if opening is None or opening.closes_at is None:
        return None
    return End(at=opening.closes_at, reason=Ending.WINDOW, warned_from=now)


def _is_window(end: End) -> bool:
    """A window that closes is counted down all the while it is open (F61)."""
    return end.reason == Ending.WINDOW


def _remedies(end: End, session: Session, prospect: Prospect, refused: str) -> Iterator[Act]:
    match end.reason:
        case Ending.IDLE:
            yield Act(key="keep", label="Keep running", denied=refused)
        case Ending.WINDOW if session.queue != DEFAULT_QUEUE:
            yield Act(key="switch-queue", label="Switch to Default Queue", denied=refused)
        case Ending.MAX_SESSION if prospect.can_extend_by:
            step = min(deadlines.EXTENSION_STEP, prospect.can_extend_by)
            yield Act(
                key="extend", label=f"Extend by {deadlines.duration_words(step)}", denied=refused
            )
        case _:
            return


_TITLES: Final[Mapping[str, str]] = {
    Ending.IDLE: "Stops because it is idle",
    Ending.WINDOW: "Plan window closes",
    Ending.MAX_SESSION: "Longest session ends",
    Ending.QUOTA: "Quota is used up",
}


def _sentence(end: End, session: Session, catalog: Catalog) -> str:
    kept = "Files are kept. Variables in memory are lost. Use %store or save results to disk."
    match end.reason:
        case Ending.IDLE:
            limit = deadlines.idle_limit(catalog.profiles.get(session.profile), catalog)
            return (
                f"Nothing has happened in it since {local(session.idle_since, catalog.zone)}; its "
                f"profile stops it after {deadlines.duration_words(limit)}. {kept}"
            )
        case Ending.WINDOW:
            return f"In the default queue it goes on, with lower priority. {kept}"
        case Ending.QUOTA:
            return f"Ask an admin for an override if you need more. {kept}"
        case _:
            return kept


def _note(
    workspace: Workspace,
    session: Session | None,
    target: Target,
    catalog: Catalog,
    now: datetime,
    support: str,
) -> str:
    if workspace.state is State.START_FAILED and workspace.failures >= MOST_FAILURES:
        return f"If the issue persists, contact {support or 'support'}."
    if workspace.state is State.SUSPENDED:
        return "Contact your organization owner."
    if workspace.state is State.STOPPED and workspace.because == Ending.WINDOW:
        opening = next_opening(target.project.plan.windows, now)
        if opening is None:
            return "No further window is planned. Switch to the default queue, or ask an admin."
        ends = "" if opening.closes_at is None else f" to {local(opening.closes_at, catalog.zone)}"
        return f"Restart it inside the next window: {local(opening.opens_at, catalog.zone)}{ends}."
    if workspace.state is State.STOPPED and session is not None:
        volumes = mounted_by(workspace.options)
        which = f" Its storage does: {', '.join(volumes)}." if volumes else ""
        return f"GPU, CPU and memory are free again and no longer count.{which}"
    return ""


def gpus_of(session: Session | None) -> Gpus | None:
    """Return the GPUs of *session*, as requested and as granted; `None`: it has none."""
    if session is None or not session.gpu_count or session.gpu_model is None:
        return None
    granted = session.granted_percent
    return Gpus(
        model=session.gpu_model,
        requested=units.effective_gpus(units.gpu_percent(session.gpu_count, session.sm_percent)),
        granted=None if granted is None else units.effective_gpus(granted),
    )
