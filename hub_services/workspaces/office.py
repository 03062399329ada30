"""
Office: the desk behind the API: which workspaces there are, how they stand, and what is done to them.

Every answer is made by the functions that the hub's own pages use, so they say the same. What is the hub's to do
(start, stop, remove) is asked of the hub with the caller's own token; all else is done here, by `Lives`.
Source: F3, F12, F15 to F17, F29, F33, F47, F91, F107, F115, F130.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, Literal

from eugospawner import options as words
from eugospawner import showing
from eugospawner.lives import Lives
from eugospawner.policy import deadlines
from eugospawner.policy.errors import Barred
from eugospawner.policy.lifecycle import (
    LOOKS,
    Operation,
    State,
    find_state,
    may_ask,
    words_of,
)
from eugospawner.policy.permissions import may
from eugospawner.policy.reasons import Reason
from eugospawner.policy.roles import Action
from hub_services.common.auditing import AuditLines, line_of
from hub_services.common.problems import DoorReason, Fault, FieldProblem, existing, permit
from hub_services.workspaces import models
from hub_services.workspaces.planning import plan_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eugospawner.settings import Settings
    from eugospawner.showing import Shown
    from eugospawner.store import Session, Store, Workspace
    from eugospawner.store.measures import Measure
    from hub_services.common.clock import Clock
    from hub_services.common.newest import Newest
    from hub_services.common.web import Caller
    from hub_services.workspaces.relay import Relay

#: The default server in addresses; names of servers begin with a letter.
DEFAULT: Final = "_"
_EVERYBODY: Final = "*"
_LONGEST_SERVER: Final = 30
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")


class Office:
    """
    The desk behind the API.

    Args:
        newest: The settings.
        open_store: Returns the open store.
        slug: Makes a user's name fit for a label.
        wake: Has whatever was put on record be done now.
    """

    def __init__(
        self,
        *,
        newest: Newest,
        open_store: Callable[[], Awaitable[Store]],
        clock: Clock,
        slug: Callable[[str], str],
        relay: Relay,
        wake: Callable[[], None],
    ) -> None:
        self._newest = newest
        self._open_store = open_store
        self._clock = clock
        self._relay = relay
        self._wake = wake
        self._lives = Lives(store=open_store, settings=newest.settings, now=clock.now, slug=slug)

    # Looking

    async def listed(self, actor: Caller, query: models.ListQuery) -> models.Workspaces:
        """
        Return workspaces that *actor* may see; a look at others' is put on record (F107).

        Raises:
            Fault: The state is none.
        """
        store, settings = await self._open_store(), await self._newest.settings()
        owner = query.owner or actor.name
        state = None if query.state is None else _state(query.state)
        if state is State.TERMINATED:
            return self._answer(settings, [])
        found = await store.workspaces.every(None if owner == _EVERYBODY else owner)
        people = settings.directory.people
        seen = [
            each
            for each in found
            if (state is None or each.state is state)
            and (query.project is None or each.project == query.project)
            and (query.text is None or _contains(each, query.text))
            and may(actor, Action.VIEW, self._lives.target_of(settings, each), people)
        ]
        ids = [each.session_id for each in seen if each.session_id is not None]
        sessions = {each.id: each for each in await store.sessions.of(ids)}
        measures = await self._measures(store, {each.owner for each in seen})
        shown = [
            self._show(
                each,
                sessions.get(each.session_id or ""),
                actor,
                settings,
                measures.get(each.owner, {}),
            )
            for each in seen
        ]
        if query.profile is not None:
            shown = [each for each in shown if _profile_key(each) == query.profile]
        await self._record_look(store, actor, owner, shown)
        return self._answer(settings, shown)

    async def former(self, actor: Caller, query: models.FormerQuery) -> models.Formers:
        """Return the workspaces of somebody that are no more."""
        store, settings = await self._open_store(), await self._newest.settings()
        owner = query.owner or actor.name
        person = settings.directory.accounts_of(owner, owner).person
        permit(
            f"see the workspaces of {owner}",
            allowed=may(actor, Action.VIEW, person, settings.directory.people),
        )
        return models.Formers(
            workspaces=[
                models.Former(
                    id=each.id, owner=each.owner, server=each.server or DEFAULT, name=each.name,
                    project=each.project, created_at=each.created_at, gone_at=each.gone_at,
                    state="terminated" if each.is_terminated else "deleted", actor=each.actor,
                )
                for each in await store.workspaces.former(owner)
            ]
        )  # fmt: skip

    async def one(self, actor: Caller, path: models.WorkspacePath) -> models.Workspace:
        """Return one workspace."""
        owner, server = _place(path)
        found = await self._lives.find(actor, owner, server)
        settings = await self._newest.settings()
        measures = await (await self._open_store()).measures.of_owner(owner)
        return _described(self._show(found.workspace, found.session, actor, settings, measures))

    async def deployments(self, actor: Caller, query: models.DeploymentQuery) -> models.Deployments:
        """Return the starts of a workspace, the last first (F91)."""
        owner, server = _place(query)
        await self._lives.find(actor, owner, server)
        store = await self._open_store()
        history = await store.sessions.history(owner, server, limit=query.limit + 1)
        return models.Deployments(
            deployments=[
                _deployment(each, history[number + 1] if number + 1 < len(history) else None)
                for number, each in enumerate(history[: query.limit])
            ]
        )

    async def deployment(self, actor: Caller, path: models.DeploymentPath) -> models.DeploymentLog:
        """Return what was seen of one start; it is kept when its Pod is gone."""
        owner, server = _place(path)
        await self._lives.find(actor, owner, server)
        store = await self._open_store()
        session = await store.sessions.get(path.session)
        is_its = session is not None and (session.owner, session.workspace) == (owner, server)
        found = existing(session if is_its else None, "deployment", path.session)
        earlier = [
            each
            for each in await store.sessions.history(owner, server, limit=500)
            if each.admitted_at < found.admitted_at
        ]
        return models.DeploymentLog(
            deployment=_deployment(found, earlier[0] if earlier else None),
            lines=[
                models.LogLine(at=at, sentence=sentence)
                for at, sentence in await store.sessions.deployment(found.id)
            ],
        )

    async def activity(self, actor: Caller, query: models.ActivityQuery) -> AuditLines:
        """Return who did what to a workspace, looks into it included; its owner may know (L12)."""
        owner, server = _place(query)
        found = await self._lives.find(actor, owner, server)
        store = await self._open_store()
        lines = await store.audit.lines(
            about=found.workspace.object, limit=query.limit, before=query.before
        )
        return AuditLines(lines=[line_of(each) for each in lines])

    async def plan(self, actor: Caller, path: models.WorkspacePath) -> models.Plan:
        """Return what a termination would destroy, and what it keeps (D5)."""
        owner, server = _place(path)
        found = await self._lives.find(actor, owner, server)
        store = await self._open_store()
        plan = plan_of(found.workspace, await store.workspaces.of_owner(owner))
        return models.Plan(destroyed=list(plan.destroyed), kept=list(plan.kept))

    # Doing

    async def create(self, actor: Caller, new: models.NewWorkspace) -> models.Workspace:
        """Record a workspace that is not started (F12)."""
        owner = new.owner or actor.name
        asked = _words(new.options)
        name = asked.pop("name", None)
        server = await self._free_server(owner, new.server, name)
        await self._lives.create(
            actor, owner, server, name=name, project=asked.get("project"), options=asked
        )
        return await self.one(actor, models.WorkspacePath(owner=owner, server=server))

    async def create_ide(self, actor: Caller, new: models.NewIde) -> models.Started:
        """Create a workspace and start it, in the words of the launch form (F130)."""
        owner = new.owner or actor.name
        asked = _words(new.options)
        server = await self._free_server(owner, new.server, asked.get("name"))
        await self._relay.start(actor.token, owner, server, asked)
        return await self._started(actor, owner, server)

    async def edit(
        self, actor: Caller, path: models.WorkspacePath, new: models.Options
    ) -> models.Workspace:
        """Change what a workspace is started with; not while it runs."""
        owner, server = _place(path)
        asked = _words(new.options)
        await self._lives.edit(actor, owner, server, asked)
        return await self.one(actor, path)

    async def start(
        self, actor: Caller, path: models.WorkspacePath, _: models.Nothing
    ) -> models.Started:
        """Start a workspace with what it was last started with."""
        owner, server = _place(path)
        found = await self._lives.find(actor, owner, server)
        if not may_ask(found.workspace.state, Operation.START):
            word = LOOKS[found.workspace.state].word
            raise Barred(Reason.WRONG_STATE, f"It is {word} and cannot be started.")
        asked = {**found.workspace.options, "name": found.workspace.name}
        await self._relay.start(actor.token, owner, server, asked)
        return await self._started(actor, owner, server)

    async def stop(
        self, actor: Caller, path: models.WorkspacePath, _: models.Nothing
    ) -> models.Workspace:
        """Stop a workspace, or give a start up; files are kept."""
        owner, server = _place(path)
        found = await self._lives.find(actor, owner, server)
        if not may_ask(found.workspace.state, Operation.STOP):
            word = LOOKS[found.workspace.state].word
            raise Barred(Reason.WRONG_STATE, f"It is {word} and cannot be stopped.")
        session = found.running
        await self._relay.stop(actor.token, owner, server, session.id if session else "")
        return await self.one(actor, path)

    async def delete(self, actor: Caller, path: models.WorkspacePath) -> models.Nothing:
        """Take a workspace off the list; what runs is stopped first, and its data stays (F29)."""
        owner, server = _place(path)
        found = await self._lives.find(actor, owner, server)
        if not may_ask(found.workspace.state, Operation.DELETE):
            word = LOOKS[found.workspace.state].word
            raise Barred(Reason.WRONG_STATE, f"It is {word} and cannot be deleted.")
        if not await self._relay.remove(actor.token, owner, server):
            # The hub has no server of it, or it is the default one, which the hub always has.
            await self._lives.forget(actor, owner, server)
        return models.Nothing()

    async def bulk_delete(self, actor: Caller, which: models.BulkDelete) -> models.BulkOutcomes:
        """
        Delete several workspaces, and say of each what came of it (F47).

        Raises:
            Fault: Who asks may not delete several at once.
        """
        settings = await self._newest.settings()
        person = settings.directory.accounts_of(actor.name, actor.name).person
        permit(
            "delete several workspaces at once",
            allowed=may(actor, Action.BULK_DELETE, person, settings.directory.people),
            ask="an owner or admin of your organization for the role IDE_MANAGE",
        )
        outcomes = []
        for each in which.workspaces:
            reason = sentence = ""
            try:
                await self.delete(actor, each)
            except Fault as fault:
                problem = fault.to_problem()
                reason, sentence = problem.reason, problem.detail
            except Barred as barred:
                reason, sentence = barred.reason, barred.sentence
            outcomes.append(
                models.BulkOutcome(
                    owner=each.owner, server=each.server, done=not reason, reason=reason,
                    sentence=sentence,
                )
            )  # fmt: skip
        return models.BulkOutcomes(outcomes=outcomes)

    async def keep(
        self, actor: Caller, path: models.WorkspacePath, _: models.Nothing
    ) -> models.Workspace:
        """Have a running workspace go on though it is idle."""
        await self._lives.keep(actor, *_place(path))
        return await self.one(actor, path)

    async def extend(
        self, actor: Caller, path: models.WorkspacePath, _: models.Nothing
    ) -> models.Workspace:
        """Give a running workspace more time, as far as profile, quota and window leave some."""
        await self._lives.extend(actor, *_place(path))
        return await self.one(actor, path)

    async def switch_queue(
        self, actor: Caller, path: models.WorkspacePath, choice: models.QueueChoice
    ) -> models.Workspace:
        """Move a workspace to another queue: at once if it runs, else from the next start on."""
        await self._lives.switch_queue(actor, *_place(path), choice.queue)
        return await self.one(actor, path)

    async def reset(
        self, actor: Caller, path: models.WorkspacePath, _: models.Nothing
    ) -> models.Workspace:
        """Have a workspace whose start failed be a stopped one."""
        await self._lives.reset(actor, *_place(path))
        return await self.one(actor, path)

    async def suspend(
        self, actor: Caller, path: models.WorkspacePath, why: models.Suspension
    ) -> models.Workspace:
        """Have a workspace end and not start again until it is resumed; data is kept."""
        await self._lives.suspend(actor, *_place(path), why=why.reason)
        self._wake()
        return await self.one(actor, path)

    async def resume(
        self, actor: Caller, path: models.WorkspacePath, _: models.Nothing
    ) -> models.Workspace:
        """Lift a suspension."""
        await self._lives.resume(actor, *_place(path))
        return await self.one(actor, path)

    async def terminate(
        self, actor: Caller, path: models.WorkspacePath, sure: models.Termination
    ) -> models.Workspace:
        """Destroy a workspace with everything that belongs to it alone."""
        await self._lives.terminate(actor, *_place(path), confirmation=sure.confirmation)
        self._wake()
        return await self.one(actor, path)

    # What these are made of

    async def _started(self, actor: Caller, owner: str, server: str) -> models.Started:
        found = await self.one(actor, models.WorkspacePath(owner=owner, server=server or DEFAULT))
        return models.Started(workspace=found, url=found.url)

    async def _free_server(self, owner: str, wanted: str | None, name: object) -> str:
        """Return the server that a new workspace gets: as asked for, or one made of its name."""
        if wanted is not None:
            return "" if wanted == DEFAULT else wanted
        store = await self._open_store()
        taken = {each.server for each in await store.workspaces.of_owner(owner)}
        plain = _NOT_IN_A_NAME.sub("-", str(name or "workspace").lower()).strip("-")
        if not plain[:1].isalpha():
            plain = f"w-{plain}".strip("-")
        plain = plain[:_LONGEST_SERVER].rstrip("-")
        candidates = (plain, *(f"{plain[: _LONGEST_SERVER - 4]}-{each}" for each in range(2, 999)))
        return next(each for each in candidates if each not in taken)

    async def _measures(
        self, store: Store, owners: set[str]
    ) -> Mapping[str, Mapping[str, Measure]]:
        """Return what is known of the volumes of *owners*, by owner and key."""
        if len(owners) > 1:
            return await store.measures.every()
        return {owner: await store.measures.of_owner(owner) for owner in owners}

    def _show(
        self,
        workspace: Workspace,
        session: Session | None,
        actor: Caller,
        settings: Settings,
        measures: Mapping[str, Measure],
    ) -> Shown:
        return showing.show(
            workspace,
            session,
            self._lives.target_of(settings, workspace),
            actor=actor,
            people=settings.directory.people,
            catalog=settings.catalog,
            now=self._clock.now(),
            measures=measures,
        )

    def _answer(self, settings: Settings, shown: list[Shown]) -> models.Workspaces:
        return models.Workspaces(
            at=self._clock.now(),
            zone=settings.catalog.zone,
            workspaces=[_described(each) for each in shown],
        )

    async def _record_look(
        self, store: Store, actor: Caller, owner: str, shown: list[Shown]
    ) -> None:
        """Put on record that somebody looked at others' workspaces (F107)."""
        others = sorted({each.workspace.owner for each in shown} - {actor.name})
        if others:
            await store.audit.record(
                "list", "workspaces", actor=actor.name, at=self._clock.now(),
                detail={"of": owner, "owners": others[:100]},
            )  # fmt: skip


def _place(path: models.WorkspacePath) -> tuple[str, str]:
    return path.owner, "" if path.server == DEFAULT else path.server


def _state(word: str) -> State:
    found = find_state(word)
    if found is None:
        known = ", ".join(look.word for look in LOOKS.values())
        problem = FieldProblem(field="query.state", detail=f"is no state; write one of: {known}")
        raise Fault(DoorReason.MALFORMED, f"query.state: {problem.detail}", (problem,))
    return found


def _words(given: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return *given* words of a request, as they were given.

    Raises:
        Fault: They are none.
    """
    parsed = words.parse(given, owner="", workspace="")
    if isinstance(parsed, tuple):
        problems = tuple(
            FieldProblem(field=f"body.options.{each.word}", detail=each.sentence) for each in parsed
        )
        detail = "; ".join(f"{each.field}: {each.detail}" for each in problems)
        raise Fault(DoorReason.MALFORMED, detail, problems)
    return {name: value for name, value in given.items() if value is not None}


def _contains(workspace: Workspace, text: str) -> bool:
    wanted = text.casefold()
    return any(
        wanted in each.casefold() for each in (workspace.name, workspace.owner, workspace.server)
    )


def _profile_key(shown: Shown) -> str:
    if shown.session is not None:
        return shown.session.profile
    return str(shown.workspace.options.get("profile") or "")


def _described(shown: Shown) -> models.Workspace:
    workspace, session, prospect = shown.workspace, shown.session, shown.prospect
    extension = None if prospect is None else prospect.can_extend_by
    return models.Workspace(
        id=workspace.id,
        owner=workspace.owner,
        server=workspace.server or DEFAULT,
        name=workspace.name,
        state=workspace.state,
        word=shown.look.word,
        tone=shown.look.tone,
        icon=shown.look.icon,
        since=workspace.since,
        because=workspace.because,
        why="" if shown.why is None else f"{shown.why.title}. {shown.why.sentence}",
        said=shown.said,
        note=shown.note,
        actor=workspace.actor,
        charges=shown.look.charges,
        project=workspace.project,
        project_name=shown.project,
        queue=shown.queue,
        kind=shown.kind,
        profile=shown.profile,
        gpus=_gpus(session),
        session=workspace.session_id,
        url=f"/user/{workspace.owner}/{workspace.server}".rstrip("/") + "/",
        deadline=_end(None if prospect is None else prospect.deadline),
        idle=_end(None if prospect is None else prospect.idle),
        idle_since=None if prospect is None or session is None else session.idle_since,
        idle_is_only_listed=prospect is not None and prospect.is_shadowed,
        can_extend_by=deadlines.duration_words(extension) if extension else "",
        notices=[
            models.Notice(
                reason=each.reason, title=each.title, sentence=each.sentence, at=each.at,
                acts=[_act(act) for act in each.acts],
            )
            for each in shown.warnings
        ],
        storage=[
            models.Stored(
                volume=each.name, title=each.title, used_bytes=each.used_bytes,
                used=each.fill.used, word=each.fill.word, tone=each.fill.tone,
            )
            for each in shown.storage
        ],
        acts=[_act(each) for each in shown.acts],
        options=dict(workspace.options),
        created_at=workspace.created_at,
        changed_at=workspace.changed_at,
    )  # fmt: skip


def _act(act: showing.Act) -> models.Act:
    return models.Act(key=act.key, label=act.label, denied=act.denied)


def _end(end: deadlines.End | None) -> models.End | None:
    if end is None:
        return None
    return models.End(at=end.at, reason=end.reason, warned_from=end.warned_from)


def _gpus(session: Session | None) -> models.Gpus | None:
    found = None if session is None else showing.gpus_of(session)
    if found is None:
        return None
    return models.Gpus(model=found.model, requested=found.requested, granted=found.granted)


def _deployment(session: Session, before: Session | None) -> models.Deployment:
    cancelled = session.bound_at is None and session.stop_at is not None
    status: Literal["under way", "succeeded", "failed", "cancelled"]
    if session.bound_at is not None:
        status = "succeeded"
    elif session.ended_at is None:
        status = "under way"
    else:
        status = "cancelled" if cancelled else "failed"
    took = None
    if session.bound_at is not None:
        took = (session.bound_at - session.admitted_at).total_seconds()
    return models.Deployment(
        session=session.id,
        kind=_kind(session, before),
        at=session.admitted_at,
        status=status,
        problem=session.problem or "",
        version=session.image,
        plan=session.plan or "",
        profile=session.profile,
        flavor=session.flavor,
        queue=session.queue,
        gpus=_gpus(session),
        actor=session.actor,
        seconds=took,
        ended_at=session.ended_at,
        end_reason=session.end_reason or "",
        end_words=words_of(session.end_reason).title if session.end_reason else "",
        stopped_by=session.stop_by or "",
    )


def _kind(
    session: Session, before: Session | None
) -> Literal["deploy", "start", "retry", "update", "flavor change"]:
    """Return what a start was, compared with the one *before* it (F91)."""
    if before is None:
        return "deploy"
    if before.image != session.image:
        return "update"
    if before.flavor != session.flavor:
        return "flavor change"
    if before.bound_at is None and before.stop_at is None:
        return "retry"
    return "start"
