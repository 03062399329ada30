"""
Lives: what people do to workspaces that are there, whichever door they come through.

The hub's pages and the workspaces service call the same methods. Each asks whether who asks may, then has the
store do it under the conditions that hold at that moment; a refusal is `Barred`, with its reason and what to do.
Starting and stopping the program itself is the hub's: here is what is written before and beside it.
Source: design §7; F12, F15 to F17, F20, F28, F29, F63, F67, F74, L7; promises 3 and 8.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from eugospawner import records
from eugospawner.policy import deadlines, names
from eugospawner.policy.catalog import DEFAULT_QUEUE
from eugospawner.policy.errors import Barred
from eugospawner.policy.lifecycle import (
    LOOKS,
    Ending,
    Operation,
    State,
    leads_to,
    may_ask,
)
from eugospawner.policy.permissions import Workspace as Target
from eugospawner.policy.permissions import may, who_may
from eugospawner.policy.quota import MILLISECOND, Exceeds
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import MEANINGS, Action
from eugospawner.store import Workspace
from eugospawner.store.sessions import Asked
from eugospawner.store.workspaces import InState, NameTaken, NewWorkspace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from datetime import datetime, timedelta
    from typing import Any

    from eugospawner.policy.accounts import Actor
    from eugospawner.policy.quota import Demand
    from eugospawner.settings import Settings
    from eugospawner.store import Session, Store

#: What each operation needs.
NEEDS: Final[Mapping[Operation, Action]] = {
    Operation.START: Action.DEPLOY,
    Operation.STOP: Action.STOP,
    Operation.RESET: Action.DEPLOY,
    Operation.SUSPEND: Action.SUSPEND,
    Operation.RESUME: Action.SUSPEND,
    Operation.DELETE: Action.TERMINATE,
    Operation.TERMINATE: Action.TERMINATE,
}
#: What somebody types before everything is destroyed (F28).
CONFIRMATION: Final = "DELETE"
_LONGEST_WHY: Final = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A workspace, its last session if it has one, and what it is for `permissions.may`."""

    workspace: Workspace
    session: Session | None
    target: Target

    @property
    def running(self) -> Session | None:
        """Its session, if that is open."""
        return None if self.session is None or self.session.ended_at is not None else self.session


class Lives:
    """
    What is done to workspaces that are there.

    Args:
        store: Returns the open store.
        settings: Returns the newest settings.
        slug: Makes a user's name fit for a label.
    """

    def __init__(
        self,
        *,
        store: Callable[[], Awaitable[Store]],
        settings: Callable[[], Awaitable[Settings]],
        now: Callable[[], datetime],
        slug: Callable[[str], str],
    ) -> None:
        self._store = store
        self._settings = settings
        self._now = now
        self._slug = slug

    async def find(self, actor: Actor, owner: str, server: str) -> Found:
        """
        Return a workspace to whoever may view it.

        Raises:
            Barred: There is none, or who asks need not know of it.
            StoreError: The records cannot be read.
        """
        store, settings = await self._store(), await self._settings()
        workspace = await store.workspaces.get(owner, server)
        if workspace is not None:
            target = self.target_of(settings, workspace)
            if may(actor, Action.VIEW, target, settings.directory.people):
                session = None
                if workspace.session_id is not None:
                    session = await store.sessions.get(workspace.session_id)
                return Found(workspace=workspace, session=session, target=target)
        named = f"There is no workspace {server!r} of {owner}" if server else f"{owner} has none"
        raise Barred(Reason.WORKSPACE_UNKNOWN, f"{named}, or you may not see it.")

    async def find_for(self, actor: Actor, action: Action, owner: str, server: str) -> Found:
        """
        Return a workspace to whoever may do *action* to it.

        Raises:
            Barred: There is none, who asks need not know of it, or may not.
            StoreError: The records cannot be read.
        """
        found = await self.find(actor, owner, server)
        await self._require(actor, action, found.target, await self._settings())
        return found

    def target_of(self, settings: Settings, workspace: Workspace) -> Target:
        """Return what *workspace* is for `permissions.may`; one without a project is personal."""
        accounts = settings.directory.accounts_of(workspace.owner, self._slug(workspace.owner))
        project = accounts.find(workspace.project) or accounts.personal
        return Target(owner=accounts.person, project=project)

    async def create(
        self,
        actor: Actor,
        owner: str,
        server: str,
        *,
        name: str | None,
        project: str | None,
        options: Mapping[str, Any],
    ) -> Workspace:
        """
        Record a workspace that is not started (F12).

        Raises:
            Barred: Who asks may not, its name is taken or unfit, or there is one already.
        """
        store, settings = await self._store(), await self._settings()
        accounts = settings.directory.accounts_of(owner, self._slug(owner))
        found = accounts.find(project)
        if found is None:
            raise Barred(
                Reason.PROJECT_UNKNOWN, f"There is no project {project!r}, or {owner} is not in it."
            )
        target = Target(owner=accounts.person, project=found)
        await self._require(actor, Action.CREATE, target, settings)
        problem = names.problem_of(name) if name else None
        if problem is not None:
            raise Barred(Reason.WORKSPACE_NAME, f"The name {problem}.")
        made = await store.workspaces.create(
            NewWorkspace(
                owner=owner, server=server, project=found.key, name=name, options=options,
                actor=actor.name, at=self._now(),
            )
        )  # fmt: skip
        match made:
            case NameTaken(free=free):
                raise Barred(
                    Reason.NAME_TAKEN,
                    f"This name is already in use in {found.display_name}. {free} is still free.",
                )
            case InState():
                raise Barred(Reason.WRONG_STATE, f"{owner} has a workspace {server!r} already.")
            case Workspace():
                return made

    async def edit(
        self, actor: Actor, owner: str, server: str, options: Mapping[str, Any]
    ) -> Found:
        """Change what a workspace is started with; not while it runs (F12)."""
        found = await self.find(actor, owner, server)
        await self._require(actor, Action.DEPLOY, found.target, await self._settings())
        store = await self._store()
        kept = {name: value for name, value in options.items() if name != "name"}
        changed = await store.workspaces.edit(owner, server, kept, actor=actor.name, at=self._now())
        if isinstance(changed, InState):
            raise _wrong(found.workspace, "be changed before it has stopped")
        return await self.find(actor, owner, server)

    async def keep(self, actor: Actor, owner: str, server: str) -> Session:
        """Have a running workspace go on though it is idle: its idle time begins anew (F67)."""
        found = await self._running(actor, owner, server, "keep it running")
        store = await self._store()
        assert found.running is not None  # noqa: S101 - _running has seen to it
        if not await store.sessions.keep(found.running.id, actor=actor.name, at=self._now()):
            raise Barred(Reason.WRONG_STATE, "It is stopping already. Start it again.")
        return await self._again(found.running)

    async def extend(self, actor: Actor, owner: str, server: str) -> Session:
        """
        Give a running workspace more time, as far as profile, quota and window leave some (L7).

        Raises:
            Barred: There is none left, with what leaves none and what to do instead.
        """
        found = await self._running(actor, owner, server, "extend it")
        store, settings = await self._store(), await self._settings()
        session = found.running
        assert session is not None  # noqa: S101 - _running has seen to it
        extension = deadlines.next_extension(session, settings.catalog)
        if extension == session.extension:
            raise _no_more(session, settings)
        longer = replace(session, extended_ms=extension // MILLISECOND)
        demand = self._demand(longer, settings)
        if demand is None:
            raise Barred(
                Reason.NOT_EXTENDABLE,
                "Its project, queue or profile is no more. It ends as it was to.",
            )
        after = await store.sessions.extend(
            session.id, demand, extension=extension, actor=actor.name, at=self._now()
        )
        if after is None:
            raise Barred(Reason.WRONG_STATE, "It is stopping already. Start it again.")
        if after.ends_at == session.ends_at:
            by_window = demand.latest_end <= session.ends_at
            because = Ending.WINDOW if by_window else Ending.QUOTA
            raise _no_more(replace(session, ends_because=because), settings)
        return await self._again(session)

    async def switch_queue(
        self, actor: Actor, owner: str, server: str, queue: str = DEFAULT_QUEUE
    ) -> Found:
        """
        Move a workspace to *queue*: at once if it runs, from the next start on if it does not (F63).

        Raises:
            Barred: Who asks may not, there is no such queue for it, or no room in it.
        """
        found = await self.find(actor, owner, server)
        store, settings = await self._store(), await self._settings()
        await self._require(actor, Action.DEPLOY, found.target, settings)
        known = settings.catalog.queues.get(queue)
        if known is None or not found.target.project.plan.offers_queue(queue):
            raise Barred(
                Reason.QUEUE_UNKNOWN,
                f"The project has no queue {queue!r}. The default queue is always available.",
            )
        session, now = found.running, self._now()
        if session is not None and session.bound_at is not None:
            demand = self._demand(replace(session, queue=queue), settings)
            answer = None
            if demand is not None:
                answer = await store.sessions.switch_queue(
                    session.id, queue, demand, actor=actor.name, at=now
                )
            if isinstance(answer, Exceeds):
                first = answer.limits[0]
                raise Barred(
                    Reason.IN_USE,
                    f"There is no room in {known.display_name} now: the limit {first.limit.key} would "
                    "be passed. Files are kept; stop it and start it later.",
                )
            if answer is None:
                raise Barred(Reason.WRONG_STATE, "It is stopping already. Start it again.")
        elif session is not None:
            raise _wrong(found.workspace, "be moved to another queue")
        options = {**found.workspace.options, "queue": queue}
        await store.workspaces.edit(owner, server, options, actor=actor.name, at=now, anytime=True)
        return await self.find(actor, owner, server)

    async def suspend(self, actor: Actor, owner: str, server: str, *, why: str) -> Found:
        """Have a workspace end and not start again until it is resumed; data is kept (F20, F74)."""
        found = await self._allowed(actor, owner, server, Operation.SUSPEND)
        said = why.strip()
        if not 0 < len(said) <= _LONGEST_WHY or "\0" in said:
            raise Barred(
                Reason.MALFORMED,
                f"reason: say why, in up to {_LONGEST_WHY} characters; its owner reads it.",
            )
        await self._end(found, actor, Operation.SUSPEND, Ending.SUSPENSION, said)
        if found.running is None:
            # There is no Pod to wait for.
            await self._move(
                found, State.SUSPENDED, actor=actor.name, reason=Ending.SUSPENSION, said=said
            )
        return await self.find(actor, owner, server)

    async def resume(self, actor: Actor, owner: str, server: str) -> Found:
        """Lift a suspension: the workspace can be started again (F20)."""
        found = await self._allowed(actor, owner, server, Operation.RESUME)
        await self._move(found, State.STOPPED, actor=actor.name, operation=Operation.RESUME)
        return await self.find(actor, owner, server)

    async def reset(self, actor: Actor, owner: str, server: str) -> Found:
        """Have a workspace whose start failed be a stopped one (F17)."""
        found = await self._allowed(actor, owner, server, Operation.RESET)
        await self._move(found, State.STOPPED, actor=actor.name, operation=Operation.RESET)
        return await self.find(actor, owner, server)

    async def terminate(self, actor: Actor, owner: str, server: str, *, confirmation: str) -> Found:
        """
        Have a workspace be destroyed with everything that belongs to it alone (F28, D5).

        What is destroyed, step by step, is the workspaces service's to do; here it is put on record.
        """
        found = await self._allowed(actor, owner, server, Operation.TERMINATE)
        if confirmation != CONFIRMATION:
            raise Barred(
                Reason.MALFORMED,
                f"confirmation: type {CONFIRMATION} to destroy it with all its data.",
            )
        await self._end(found, actor, Operation.TERMINATE, Ending.TERMINATION, "")
        return await self.find(actor, owner, server)

    async def forget(self, actor: Actor, owner: str, server: str) -> None:
        """Take a workspace off the list that the hub has no server of; its data stays (F29)."""
        found = await self._allowed(actor, owner, server, Operation.DELETE)
        if found.running is not None:
            raise _wrong(found.workspace, "be deleted before it has stopped")
        store = await self._store()
        await store.workspaces.remove(owner, server, actor=actor.name, at=self._now())

    async def _allowed(self, actor: Actor, owner: str, server: str, operation: Operation) -> Found:
        found = await self.find(actor, owner, server)
        await self._require(actor, NEEDS[operation], found.target, await self._settings())
        if not may_ask(found.workspace.state, operation):
            raise _wrong(found.workspace, _VERBS[operation])
        return found

    async def _running(self, actor: Actor, owner: str, server: str, what: str) -> Found:
        found = await self.find(actor, owner, server)
        await self._require(actor, Action.DEPLOY, found.target, await self._settings())
        if found.workspace.state is not State.RUNNING or found.running is None:
            state = LOOKS[found.workspace.state].word
            raise Barred(Reason.WRONG_STATE, f"You can {what} only while it runs; it is {state}.")
        return found

    async def _require(
        self, actor: Actor, action: Action, target: Target, settings: Settings
    ) -> None:
        if may(actor, action, target, settings.directory.people):
            return
        raise Barred(
            Reason.NOT_PERMITTED,
            f"You lack the permission “{MEANINGS[action]}” here. Ask {who_may(action, target)}."
            if actor.name != target.owner.name
            else f"Your roles do not include the permission “{MEANINGS[action]}”. "
            f"Ask {who_may(Action.ASSIGN_ROLE, target)} for a role that does.",
        )

    async def _end(
        self, found: Found, actor: Actor, operation: Operation, ending: Ending, said: str
    ) -> None:
        """Write that it is to end, and where that leads."""
        to = leads_to(operation)
        assert to is not None  # noqa: S101 - both operations that end lead somewhere
        if found.running is None:
            await self._move(
                found, to, actor=actor.name, reason=ending, said=said, operation=operation
            )
            return
        store = await self._store()
        asked = await store.sessions.ask_to_stop(
            found.running.id, reason=ending, actor=actor.name, at=self._now(), to=to, said=said
        )
        if asked is not Asked.ASKED:
            raise _wrong(found.workspace, _VERBS[operation])

    async def _move(
        self,
        found: Found,
        to: State,
        *,
        actor: str,
        reason: str = "",
        said: str = "",
        operation: Operation | None = None,
    ) -> None:
        store = await self._store()
        workspace = found.workspace
        moved = await store.workspaces.move(
            workspace.owner, workspace.server, to, actor=actor, at=self._now(), reason=reason,
            said=said, operation=operation,
        )  # fmt: skip
        if isinstance(moved, InState):
            state = moved.state or workspace.state
            raise _wrong(replace(workspace, state=state), "be changed so")

    async def _again(self, session: Session) -> Session:
        store = await self._store()
        found = await store.sessions.get(session.id)
        return session if found is None else found

    def _demand(self, session: Session, settings: Settings) -> Demand | None:
        return records.demand_of(
            session,
            settings,
            self._slug,
            percent=session.granted_percent or 0,
            now=self._now(),
            began=session.bound_at,
        )


_VERBS: Final[Mapping[Operation, str]] = {
    Operation.START: "be started",
    Operation.STOP: "be stopped",
    Operation.RESET: "be reset",
    Operation.SUSPEND: "be suspended",
    Operation.RESUME: "be resumed",
    Operation.DELETE: "be deleted",
    Operation.TERMINATE: "be terminated",
}


def _wrong(workspace: Workspace, what: str) -> Barred:
    state = LOOKS[workspace.state].word
    return Barred(Reason.WRONG_STATE, f"It is {state} and cannot {what}.")


def _no_more(session: Session, settings: Settings) -> Barred:
    profile = settings.catalog.profiles.get(session.profile)
    ceiling: timedelta | None = None if profile is None else profile.extension
    match session.ends_because:
        case Ending.WINDOW:
            sentence = (
                "It ends because the window of its plan closes. Switch to the default queue, and it goes "
                "on with lower priority."
            )
        case Ending.QUOTA:
            sentence = "A quota has no more left. Ask an admin for an override."
        case _ if ceiling:
            sentence = (
                f"It has been extended by {deadlines.duration_words(ceiling)}, and its profile allows no "
                "more. Files are kept; start it again afterwards."
            )
        case _:
            sentence = (
                "Its profile allows no longer session. Files are kept; start it again afterwards, or "
                "choose another profile."
            )
    return Barred(Reason.NOT_EXTENDABLE, sentence)
