"""
Sessions: one run of a workspace each, from admission to its end.

A session is *open* until it has ended, and *bound* once its Pod was ready and the allocation read.
Four things hold whoever writes: a session is opened only if all of it can be reserved (`book`), a
workspace has at most one open session (opening the next ends the one before, as "superseded"),
the first end wins, and a session never ends before it began, nor before the moment until which it
was settled (a clock that went back is corrected to it). All writes are idempotent, so a caller that got no answer asks again.

Usage is charged from binding to the end, at the latest to the deadline: a workspace that is still
there a moment later was stopped late, which is our fault and not its owner's. Source: design §§4,
5 and 7, promises 2, 3, 5 and 6.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from enum import StrEnum
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import Connection, and_, bindparam, case, or_, select, update

from eugospawner.policy.errors import StoreError
from eugospawner.policy.lifecycle import Ending, State, after_end, may_become
from eugospawner.policy.quota import EXHAUSTED, Exceeds, Fits, Span, cover, fit, whole_millisecond
from eugospawner.store import audit
from eugospawner.store.book import BIND, Account, Book, account_of
from eugospawner.store.changes import last_revision
from eugospawner.store.statements import InsertMany, Prepared, Put, one_of, pairs
from eugospawner.store.tables import DeploymentLogRow, SessionRow, table_of
from eugospawner.store.types import UtcTime, storable
from eugospawner.store.workspaces import InState, NameTaken, Register, Step, follow, object_of
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import ColumnElement, RowMapping

    from eugospawner.policy.catalog import Kind
    from eugospawner.policy.quota import Demand
    from eugospawner.store.database import Database
    from eugospawner.store.workspaces import Wish
    from eugospawner.store.writer import Writer

#: Why a session ended whose workspace was started anew while nobody had seen its end.
SUPERSEDED: Final = Ending.SUPERSEDED.value
#: Who the audit says did what nobody asked for: the hub saw it.
HUB: Final = "hub"
#: More than this of a program's last words helps nobody.
_LONGEST_PROBLEM: Final = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession:
    """
    A session as it is admitted.

    Attributes:
        id: Made by the caller; opening the same one twice is opening it once.
        owner: User whose workspace it is.
        workspace: Server name; empty for the default server.
        actor: Who asked: the owner, or an admin for them.
        project: Project key; so are *profile*, *flavor* and *queue* keys.
        image: Exact reference.
        gpu_model: Model key; `None` with a *gpu_count* of 0.
        sm_percent: Share of each device, 1 to 100; 0 or 100 without a GPU.
        requested_percent: GPU percent to charge until the allocation is known.
        admitted_at: Aware; comes back in UTC, as all times do.
        group_key: Group that owns the project, if one does.
        organization: Organization that pays, if one does.
        options: JSON text of the request's words, without the name (`refusals.text_of`).
        plan: Key of the plan by which it was admitted; `None`: none is bound.
    """

    id: str
    owner: str
    workspace: str
    actor: str
    project: str
    profile: str
    flavor: str
    kind: Kind
    queue: str
    image: str
    gpu_model: str | None
    gpu_count: int
    sm_percent: int
    requested_percent: int
    cpu_millicores: int
    memory_bytes: int
    pod_name: str
    admitted_at: datetime
    group_key: str | None = None
    organization: str | None = None
    options: str | None = None
    plan: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Session(NewSession):
    """
    A session as it is known.

    Attributes:
        ends_at: Deadline; `None`: it began before there were any.
        ends_because: What the deadline comes from; `None` with no deadline.
        zone: IANA zone of its days and months; `None`: nothing is reserved or settled for it.
        reserved_from: What is reserved begins here and ends at *ends_at*; `None`: nothing is.
        bound_at: When the Pod was ready and the allocation read; `None`: not yet, or never.
        granted_percent: GPU percent that the allocation really consumes; `None` until bound.
        ended_at: `None`: it is open.
        end_reason: Machine reason of the end; `None` while it is open.
        active_at: Last sign of work in it; `None`: none was seen.
        kept_at: When somebody asked to keep it running; `None`: nobody did.
        extended_ms: Milliseconds by which it may be longer than its profile says.
        stop_at: When it was asked to stop, *stop_by* whom and why; `None`: it was not.
        problem: What was said of a start that failed.
    """

    ends_at: datetime | None
    ends_because: str | None
    zone: str | None
    reserved_from: datetime | None
    bound_at: datetime | None
    granted_percent: int | None
    ended_at: datetime | None
    end_reason: str | None
    active_at: datetime | None = None
    kept_at: datetime | None = None
    extended_ms: int = 0
    stop_at: datetime | None = None
    stop_reason: str | None = None
    stop_by: str | None = None
    problem: str | None = None

    @property
    def idle_since(self) -> datetime:
        """Since when nothing was seen to happen in it; its beginning counts as something."""
        seen = (self.bound_at or self.admitted_at, self.active_at, self.kept_at)
        return max(each for each in seen if each is not None)

    @property
    def extension(self) -> timedelta:
        """By how much it may be longer than its profile says."""
        return timedelta(milliseconds=self.extended_ms)


class Asked(StrEnum):
    """What came of asking a session to stop."""

    ASKED = "asked"
    ALREADY = "already"
    SPARED = "spared"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Outdated:
    """The settings were changed after it was decided; nothing was reserved, decide again."""


#: What comes of opening a session.
Opened: TypeAlias = Fits | Exceeds | Outdated | NameTaken | InState


class Sessions:
    """The sessions in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def open(
        self,
        session: NewSession,
        demand: Demand,
        *,
        revision: int | None = None,
        wish: Wish | None = None,
    ) -> Opened:
        """
        Reserve *demand* and record that *session* was admitted; again with the same id: nothing.

        A session of the same workspace that is still open ends in the same transaction, as
        `SUPERSEDED`: there is one Pod of a workspace at most, so its end was merely not seen.

        Args:
            revision: Of the settings by which it was decided: only if they were not changed since,
                as seen by the transaction that reserves. `None`: whatever they are.
            wish: What to record of its workspace; `None`: nothing.

        Returns:
            The deadline that was reserved. Or the limits that leave too little, that the settings
            are others by now, that the workspace's name is taken or that it is in a state in which
            it cannot be started; then no session was opened.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({name: getattr(session, name) for name in _NEW if name != "options"})
        row["options"] = session.options
        storable({"start": demand.start, "latest_end": demand.latest_end})
        if wish is not None and wish.name is not None:
            storable({"name": wish.name})
        opening = _Opening(row=row, demand=demand, revision=revision, wish=wish)
        return await self._writer.write(_OPEN, opening)

    async def bind(
        self, session_id: str, *, granted_percent: int, at: datetime, demand: Demand | None = None
    ) -> Fits | None:
        """
        Record what the allocation of a session consumes, once; a session that ended stays as it is.

        The reservation begins anew at *at*: waiting is not charged, and what was granted counts.

        Args:
            granted_percent: GPU percent, 0 without a GPU.
            demand: What it would take from *at* on; `None`: as it was admitted. It gets as much of
                it as its limits leave, if that is less than what it had.

        Returns:
            The deadline; `None` if the session has ended, or began before there were any.

        Raises:
            StoreError: It was not recorded, or there is no such session.
        """
        storable({"id": session_id, "percent": granted_percent, "at": at})
        binding = _Binding(id=session_id, percent=granted_percent, at=at, demand=demand)
        return await self._writer.write(_BIND, binding)

    async def settle(self, session_id: str, *, until: datetime) -> bool:
        """
        Settle what a bound session has used until *until*, at most to its deadline.

        Returns:
            Whether anything was left to settle.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": session_id, "at": until})
        return await self._writer.write(_SETTLE, row)

    async def renew(self, demands: Mapping[str, Demand], *, at: datetime) -> dict[str, Fits]:
        """
        Give running sessions the deadlines that the rules of today give them.

        One transaction judges them together, the oldest first: what they had reserved for the time
        after *at* is shared out among them anew. A session that is not bound, has ended or whose
        deadline has passed stays as it is.

        Args:
            demands: By session id: what each would take from *at* on.

        Returns:
            The deadlines that are others now.

        Raises:
            StoreError: It was not recorded.
        """
        if not demands:
            return {}
        for session in demands:
            storable({"id": session, "at": at})
        return await self._writer.write(_RENEW, _Renewing(demands=demands, at=at))

    async def end(
        self, session_id: str, *, reason: str, at: datetime, problem: str | None = None
    ) -> bool:
        """
        Record the end of a session; the first reason stays, and one asked for comes before all.

        Args:
            problem: What to say of a start that failed; `None`: nothing.

        Returns:
            Whether this call ended it: `False` if it had ended before or is unknown.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": session_id, "reason": reason, "at": at})
        said = None if problem is None else problem.replace("\0", "")[:_LONGEST_PROBLEM]
        return await self._writer.write(_END, {**row, "problem": said})

    async def ask_to_stop(
        self,
        session_id: str,
        *,
        reason: str,
        actor: str,
        at: datetime,
        to: State = State.STOPPING,
        said: str = "",
        idle_before: datetime | None = None,
        overdue_at: datetime | None = None,
        queue: str | None = None,
    ) -> Asked:
        """
        Record that an open session is to stop, and why, before anybody acts; once (design §7).

        The conditions are looked at in the transaction that writes it, so whoever kept it running or
        moved it a moment before has won. An owner who has asked already is not overruled.

        Args:
            to: What its workspace does meanwhile: stopping, suspending or terminating.
            said: What is said of it beside the reason.
            idle_before: Only if nothing was seen to happen in it from then on.
            overdue_at: Only if its deadline is not after this.
            queue: Only if it is in this queue.

        Raises:
            StoreError: It was not recorded.
        """
        storable({"id": session_id, "reason": reason, "actor": actor, "at": at, "said": said})
        stopping = _Stopping(
            id=session_id, reason=reason, actor=actor, at=at, to=to, said=said,
            idle_before=idle_before, overdue_at=overdue_at, queue=queue,
        )  # fmt: skip
        return await self._writer.write(_STOP, stopping)

    async def note_activity(self, session_id: str, at: datetime) -> None:
        """
        Record that work was seen in an open session at *at*; an earlier moment changes nothing.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": session_id, "at": at})
        await self._writer.write(_ACTIVE, row)

    async def keep(self, session_id: str, *, actor: str, at: datetime) -> bool:
        """
        Record, with its audit, that somebody wants an open session to go on though it is idle.

        Returns:
            Whether it goes on: `False` if it has ended or was asked to stop.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": session_id, "actor": actor, "at": at})
        return await self._writer.write(_KEEP, row)

    async def extend(
        self, session_id: str, demand: Demand, *, extension: timedelta, actor: str, at: datetime
    ) -> Fits | None:
        """
        Give a running session as much more time as *demand* asks for and its limits leave.

        Args:
            demand: What it would take from *at* on, to the end that is wanted.
            extension: By how much it is then longer than its profile says, in all.

        Returns:
            Its deadline; `None` if it has ended, was asked to stop, or its deadline has passed.

        Raises:
            StoreError: It was not recorded.
        """
        storable({"id": session_id, "actor": actor, "at": at})
        extending = _Extending(
            id=session_id, demand=demand, extension=extension, actor=actor, at=at
        )
        return await self._writer.write(_EXTEND, extending)

    async def switch_queue(
        self, session_id: str, queue: str, demand: Demand, *, actor: str, at: datetime
    ) -> Fits | Exceeds | None:
        """
        Move a running session to another queue: settled under the one, reserved anew under the other.

        Args:
            demand: What it would take from *at* on in *queue*.

        Returns:
            Its deadline; or the limits that leave too little, and it stays where it is; `None` if it
            has ended, was asked to stop, or was never bound.

        Raises:
            StoreError: It was not recorded.
        """
        storable({"id": session_id, "queue": queue, "actor": actor, "at": at})
        switching = _Switching(id=session_id, queue=queue, demand=demand, actor=actor, at=at)
        return await self._writer.write(_SWITCH, switching)

    async def note_deployment(self, session_id: str, lines: Sequence[tuple[str, str]]) -> None:
        """
        Keep what was seen of a start: ISO times and sentences, in order; a later call replaces it.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"session_id": session_id})
        text = json.dumps(list(lines), ensure_ascii=False).replace("\\u0000", "")
        await self._writer.write(_NOTE, {**row, "lines": text})

    async def deployment(self, session_id: str) -> tuple[tuple[str, str], ...]:
        """Return what was seen of a start, as `note_deployment` was told; empty: nothing was."""
        values = storable({"id": session_id})
        rows = await self._database.read("read the log of a start", _LOG, values)
        return tuple((at, line) for at, line in json.loads(rows[0]["lines"])) if rows else ()

    async def stopping(self) -> tuple[Session, ...]:
        """Return the open sessions that were asked to stop, oldest first."""
        rows = await self._database.read("read what is to stop", _STOPPING)
        return tuple(_session(row) for row in rows)

    async def due(self, *, at: datetime, idle_before: datetime) -> tuple[Session, ...]:
        """
        Return the running sessions that may have to end, oldest first.

        Args:
            at: Those whose deadline is not after this.
            idle_before: And those in which nothing was seen to happen from then on.
        """
        values = storable({"at": at, "idle_before": idle_before})
        rows = await self._database.read("read what may have to end", _DUE, values)
        return tuple(_session(row) for row in rows)

    async def get(self, session_id: str) -> Session | None:
        """Return a session, open or ended; `None` if there is none."""
        values = storable({"id": session_id})
        rows = await self._database.read("read a session", _BY_ID, values)
        return _session(rows[0]) if rows else None

    async def of(self, ids: Sequence[str]) -> tuple[Session, ...]:
        """Return the sessions with these *ids*, as far as there are such, in no order."""
        if not ids:
            return ()
        rows = await self._database.read("read some sessions", _BY_IDS, {"ids": list(ids)})
        return tuple(_session(row) for row in rows)

    async def open_sessions(self) -> tuple[Session, ...]:
        """Return all sessions that have not ended, oldest first."""
        rows = await self._database.read("read the open sessions", _OPEN_ONES)
        return tuple(_session(row) for row in rows)

    async def admitted(self, since: datetime, *, limit: int) -> tuple[Session, ...]:
        """Return what was admitted from *since* on, oldest first; of more than *limit* the newest."""
        values = storable({"since": since, "limit": limit})
        rows = await self._database.read("read what was admitted", _ADMITTED, values)
        return tuple(_session(row) for row in reversed(rows))

    async def history(
        self, owner: str, workspace: str | None = None, *, limit: int = 50
    ) -> tuple[Session, ...]:
        """
        Return the sessions of *owner*, open ones included, newest first.

        Args:
            workspace: Of this one only; `None`: of all.
            limit: At most so many; positive.
        """
        if limit < 1:
            message = f"limit is {limit}: ask for at least one session"
            raise StoreError(message)
        values = storable({"owner": owner, "limit": limit})
        statement = _OF_OWNER
        if workspace is not None:
            values |= storable({"workspace": workspace})
            statement = _OF_WORKSPACE
        rows = await self._database.read("read the history of a workspace", statement, values)
        return tuple(_session(row) for row in rows)


@dataclass(frozen=True, slots=True)
class _Opening:
    row: dict[str, object]
    demand: Demand
    revision: int | None
    wish: Wish | None

    @property
    def id(self) -> str:
        return str(self.row["id"])

    @property
    def place(self) -> tuple[str, str, str]:
        """Owner, server and project of the workspace."""
        return str(self.row["owner"]), str(self.row["workspace"]), str(self.row["project"])


@dataclass(frozen=True, slots=True)
class _Binding:
    id: str
    percent: int
    at: datetime
    demand: Demand | None


@dataclass(frozen=True, slots=True)
class _Renewing:
    demands: Mapping[str, Demand]
    at: datetime
    #: Whether a deadline that would not be later stays as it is, its reason included.
    only_longer: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stopping:
    id: str
    reason: str
    actor: str
    at: datetime
    to: State
    said: str
    idle_before: datetime | None
    overdue_at: datetime | None
    queue: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Extending:
    id: str
    demand: Demand
    extension: timedelta
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class _Switching:
    id: str
    queue: str
    demand: Demand
    actor: str
    at: datetime


def _open(connection: Connection, openings: Sequence[_Opening]) -> Sequence[Opened | StoreError]:
    ids = [each.id for each in openings]
    places = {(each.row["owner"], each.row["workspace"]): each.row for each in openings}
    found = connection.execute(_IN_THE_WAY, {"ids": ids} | pairs("workspaces", places)).mappings()
    there = {row["id"]: row for row in found}
    known = {session: there[session] for session in ids if session in there}
    revision = last_revision(connection)
    outcomes: dict[str, Opened | StoreError] = {
        each.id: Outdated()
        for each in openings
        if each.id not in known and each.revision not in {None, revision}
    }
    new = [each for each in openings if each.id not in known and each.id not in outcomes]
    # A repeated opening of an ended session must not end its successor.
    starting = {(each.row["owner"], each.row["workspace"]) for each in new}
    ending = [
        {"b_id": row["id"], "reason": SUPERSEDED, "at": places[place]["admitted_at"]}
        for row in there.values()
        for place in [(row["owner"], row["workspace"])]
        if place in starting and row["ended_at"] is None and row["id"] not in known
    ]
    if ending:
        _end(connection, ending)
    if new:
        outcomes |= _reserve(connection, new)
    return [
        outcomes[session] if session in outcomes else _deadline(known[session]) for session in ids
    ]


def _reserve(
    connection: Connection, openings: Sequence[_Opening]
) -> dict[str, Opened | StoreError]:
    """Reserve one after the other in one book; what does not fit leaves no trace."""
    demands = [each.demand for each in openings]
    since = min(demand.start for demand in demands)
    subjects = [subject for demand in demands for subject in demand.subjects]
    book = Book(connection, subjects, since=since, at=max(demand.start for demand in demands))
    register = Register(
        connection, [(*each.place, each.wish) for each in openings if each.wish is not None]
    )
    outcomes: dict[str, Opened | StoreError] = {}
    rows: list[dict[str, object]] = []
    lines: list[dict[str, Any]] = []
    for opening in openings:
        demand, session = opening.demand, opening.id
        account = account_of({**opening.row, "granted_percent": None, "zone": demand.zone})
        if not _agree(account, demand):
            outcomes[session] = StoreError(
                f"The session {session} does not take what its demand says: open it as admitted"
            )
            continue
        name = None if opening.wish is None else register.name(*opening.place, opening.wish)
        if isinstance(name, NameTaken):
            outcomes[session] = name
            continue
        obstacle = register.obstacle(*opening.place[:2])
        if obstacle is not None:
            outcomes[session] = InState(obstacle)
            continue
        outcome = outcomes[session] = fit(demand, book.usage)
        if isinstance(outcome, Fits):
            if name is not None and opening.wish is not None:
                register.take(
                    *opening.place, name, opening.wish.options, demand.start,
                    actor=str(opening.row["actor"]), session_id=session,
                )  # fmt: skip
            actor = str(opening.row["actor"])
            lines.append(
                _line("start", opening.row, actor=actor, at=demand.start, state=State.STARTING)
            )
            start = whole_millisecond(demand.start)
            book.take(account)
            book.reserve(account, start, outcome.ends_at)
            rows.append(
                {
                    **opening.row,
                    "ends_at": outcome.ends_at,
                    "ends_because": outcome.because,
                    "zone": demand.zone,
                    "reserved_from": start,
                }
            )
    if rows:
        _INSERT.execute(connection, rows)
        book.write()
        register.write()
        audit.append(connection, lines)
    return outcomes


def _line(
    action: str,
    row: Mapping[str, Any] | RowMapping,
    *,
    actor: str,
    at: datetime,
    reason: str = "",
    state: State | None = None,
    **more: object,
) -> dict[str, Any]:
    """Return a line of the audit about a session, with what F116 wants to know of each."""
    told = {name: row[name] for name in ("profile", "project", "queue", "plan")}
    return audit.line_of(
        action,
        object_of(row["owner"], row["workspace"]),
        actor=actor,
        at=at,
        reason=reason,
        detail={"session": row["id"], **told, "state": state, **more},
    )


def _agree(account: Account, demand: Demand) -> bool:
    """Whether what would be reserved is what would be released one day."""
    return (
        set(account.subjects) == set(demand.subjects)
        and account.gpu_model == demand.gpu_model
        and account.rates == demand.rates
    )


def _deadline(row: RowMapping) -> Fits:
    return Fits(ends_at=row["ends_at"], because=row["ends_because"])


def _bind(
    connection: Connection, bindings: Sequence[_Binding]
) -> Sequence[Fits | StoreError | None]:
    rows = {row["id"]: row for row in _sessions(connection, [each.id for each in bindings])}
    due = [
        (rows[each.id], each)
        for each in bindings
        if each.id in rows
        and rows[each.id]["ended_at"] is None
        and rows[each.id]["bound_at"] is None
    ]
    bound = _bind_all(connection, due) if due else {}
    return [
        bound[each.id] if each.id in bound else _known(each.id, rows.get(each.id))
        for each in bindings
    ]


def _known(session_id: str, row: RowMapping | None) -> Fits | StoreError | None:
    """Return what is said of a session that is bound already, has ended, or never was."""
    if row is None:
        return StoreError(f"There is no session {session_id!r} to bind: open it first")
    return _deadline(row) if row["ended_at"] is None and row["ends_at"] is not None else None


def _bind_all(
    connection: Connection, due: Sequence[tuple[RowMapping, _Binding]]
) -> dict[str, Fits | None]:
    accounted = [row for row, _ in due if row["reserved_from"] is not None]
    book = None
    if accounted:
        book = _book(connection, accounted, at=max(each.at for _, each in due))
    outcomes: dict[str, Fits | None] = {}
    values = []
    for row, binding in due:
        at = max(binding.at, row["admitted_at"])
        value = {"b_id": binding.id, "at": at, "percent": binding.percent}
        if book is None or row["reserved_from"] is None:
            outcomes[binding.id] = None
            value |= {
                "b_ends_at": row["ends_at"],
                "because": row["ends_because"],
                "b_reserved_from": None,
            }
        else:
            start = whole_millisecond(at)
            outcome = outcomes[binding.id] = _rebase(book, row, binding, start)
            value |= {
                "b_ends_at": outcome.ends_at,
                "because": outcome.because,
                "b_reserved_from": start,
            }
        values.append(value)
    if book is not None:
        book.write()
    _SET_BOUND.execute_many(connection, values)
    _say_that_they_run(connection, [(row, max(each.at, row["admitted_at"])) for row, each in due])
    return outcomes


def _say_that_they_run(
    connection: Connection, bound: Sequence[tuple[RowMapping, datetime]]
) -> None:
    states = follow(
        connection,
        [
            Step(
                owner=row["owner"], server=row["workspace"], session_id=row["id"], to=partial(_if_allowed, after=State.RUNNING),
                reason="", said="", actor=HUB, at=at, fails=False,
            )
            for row, at in bound
        ],
    )  # fmt: skip
    audit.append(
        connection,
        [
            _line("run", row, actor=HUB, at=at, state=states.get(row["id"], State.RUNNING))
            for row, at in bound
        ],
    )


def _if_allowed(state: State, after: State) -> State:
    """Return *after*, unless it must not follow: a start that is being cancelled stays so."""
    return after if may_become(state, after) else state


def _rebase(book: Book, row: RowMapping, binding: _Binding, start: datetime) -> Fits:
    """Reserve anew from *start* on, with what was granted."""
    before = account_of(row)
    after = replace(before, rates=before.rates._replace(gpu=binding.percent))
    book.let_go(before)
    book.release(before, row["reserved_from"], row["ends_at"], kind=BIND)
    outcome = _rebased(row, after, binding.demand, book, start)
    book.take(after)
    book.reserve(after, start, outcome.ends_at, kind=BIND)
    return outcome


def _rebased(
    row: RowMapping, account: Account, demand: Demand | None, book: Book, start: datetime
) -> Fits:
    """Return the deadline of a session that begins at *start*; it is there, so it is not refused."""
    if demand is None:
        return Fits(ends_at=max(row["ends_at"], start), because=row["ends_because"])
    # What it holds at once is a fact; only the time that is left can be made shorter.
    limits = tuple(limit for limit in demand.limits if limit.span is not Span.AT_ONCE)
    asked = replace(
        demand, start=start, rates=account.rates, limits=limits, subjects=account.subjects
    )
    outcome = fit(asked, book.usage)
    return outcome if isinstance(outcome, Fits) else Fits(ends_at=start, because=EXHAUSTED)


def _settle(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    until = {row["b_id"]: whole_millisecond(row["at"]) for row in rows}
    found = _sessions(connection, until)
    due = {
        row["id"]: (row, min(until[row["id"]], row["ends_at"]))
        for row in found
        if row["ended_at"] is None
        and row["bound_at"] is not None
        and row["reserved_from"] is not None
    }
    due = {session: (row, end) for session, (row, end) in due.items() if end > row["reserved_from"]}
    if due:
        book = _book(connection, [row for row, _ in due.values()], at=max(until.values()))
        for row, end in due.values():
            book.settle(account_of(row), row["reserved_from"], end)
        book.write()
        _SET_RESERVED.execute_many(
            connection,
            [{"b_id": session, "b_reserved_from": end} for session, (_, end) in due.items()],
        )
    return [row["b_id"] in due for row in rows]


def _renew(connection: Connection, renewals: Sequence[_Renewing]) -> Sequence[dict[str, Fits]]:
    return [_renew_together(connection, each) for each in renewals]


def _renew_together(connection: Connection, renewing: _Renewing) -> dict[str, Fits]:
    at = whole_millisecond(renewing.at)
    rows = [
        row
        for row in _sessions(connection, renewing.demands)
        if row["ended_at"] is None
        and row["bound_at"] is not None
        and row["reserved_from"] is not None
        and row["ends_at"] > at
    ]
    if not rows:
        return {}
    book, found = _book(connection, rows, at=at), dict[str, Fits]()
    accounts = {row["id"]: account_of(row) for row in rows}
    starts = {row["id"]: max(row["reserved_from"], at) for row in rows}
    for row in rows:
        book.leave_out(accounts[row["id"]], starts[row["id"]], row["ends_at"])
    for row in sorted(rows, key=lambda row: (row["admitted_at"], row["id"])):
        session, account, start = row["id"], accounts[row["id"]], starts[row["id"]]
        asked = replace(
            renewing.demands[session],
            start=start,
            latest_end=max(renewing.demands[session].latest_end, start),
            rates=account.rates,
            subjects=account.subjects,
        )
        outcome = cover(asked, book.usage)
        book.count(account, start, row["ends_at"])
        if renewing.only_longer and outcome.ends_at <= row["ends_at"]:
            continue
        if outcome.ends_at > row["ends_at"]:
            book.reserve(account, row["ends_at"], outcome.ends_at)
        else:
            book.release(account, outcome.ends_at, row["ends_at"])
        if (outcome.ends_at, outcome.because) != (row["ends_at"], row["ends_because"]):
            found[session] = outcome
    if found:
        book.write()
        _SET_DEADLINE.execute_many(
            connection,
            [
                {"b_id": session, "b_ends_at": each.ends_at, "because": each.because}
                for session, each in found.items()
            ],
        )
    return found


def _end(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    asked = {row["b_id"]: row for row in rows}
    found = [row for row in _sessions(connection, asked) if row["ended_at"] is None]
    accounted = [row for row in found if row["reserved_from"] is not None]
    if accounted:
        book = _book(connection, accounted, at=max(row["at"] for row in rows))
        for row in accounted:
            _close(book, row, whole_millisecond(asked[row["id"]]["at"]))
        book.write()
    if found:
        ends = [_end_of(asked[row["id"]], row) for row in found]
        _SET_ENDED.execute_many(connection, ends)
        _say_that_they_ended(connection, list(zip(found, ends, strict=True)))
    ended = {row["id"] for row in found}
    return [row["b_id"] in ended for row in rows]


def _end_of(asked: Mapping[str, Any], row: RowMapping) -> dict[str, Any]:
    """Return what was *asked*, no earlier than the moment until which it was seen to run."""
    at = max(asked["at"], row["admitted_at"])
    if row["bound_at"] is not None:
        at = max(at, row["bound_at"], row["reserved_from"] or row["bound_at"])
    reason = row["stop_reason"] or asked["reason"]
    return {"b_id": row["id"], "at": at, "reason": reason, "problem": asked.get("problem")}


def _say_that_they_ended(
    connection: Connection, ended: Sequence[tuple[RowMapping, Mapping[str, Any]]]
) -> None:
    steps = []
    for row, end in ended:
        was_running, reason = row["bound_at"] is not None, str(end["reason"])
        failed = after_end(State.STARTING, reason, was_running=was_running) is State.START_FAILED
        steps.append(
            Step(
                owner=row["owner"],
                server=row["workspace"],
                session_id=row["id"],
                to=partial(after_end, reason=reason, was_running=was_running),
                reason=reason,
                said=end["problem"] or "",
                actor=row["stop_by"] or HUB,
                at=end["at"],
                fails=True if failed else None,
            )
        )
    states = follow(connection, steps)
    audit.append(
        connection,
        [
            _line(
                "stop", row, actor=row["stop_by"] or HUB, at=end["at"], reason=end["reason"],
                state=states.get(row["id"]), said=end["problem"] or "",
            )
            for row, end in ended
        ],
    )  # fmt: skip


def _stop(connection: Connection, stops: Sequence[_Stopping]) -> Sequence[Asked]:
    rows = {row["id"]: row for row in _sessions(connection, [each.id for each in stops])}
    outcomes = [_judge_stop(rows.get(each.id), each) for each in stops]
    due = [
        (rows[each.id], each)
        for each, outcome in zip(stops, outcomes, strict=True)
        if outcome is Asked.ASKED
    ]
    if not due:
        return outcomes
    _SET_STOP.execute_many(
        connection,
        [
            {"b_id": each.id, "b_at": each.at, "b_reason": each.reason, "b_by": each.actor}
            for _, each in due
        ],
    )
    states = follow(
        connection,
        [
            Step(
                owner=row["owner"], server=row["workspace"], session_id=row["id"],
                to=partial(_if_allowed, after=each.to),
                reason=each.reason, said=each.said, actor=each.actor, at=each.at,
            )
            for row, each in due
        ],
    )  # fmt: skip
    audit.append(
        connection,
        [
            _line(
                "ask-to-stop", row, actor=each.actor, at=each.at, reason=each.reason,
                state=states.get(each.id), said=each.said,
            )
            for row, each in due
        ],
    )  # fmt: skip
    return outcomes


def _judge_stop(row: RowMapping | None, stop: _Stopping) -> Asked:
    if row is None or row["ended_at"] is not None:
        return Asked.ENDED
    if row["stop_at"] is not None:
        return Asked.ALREADY
    seen = (row["bound_at"] or row["admitted_at"], row["active_at"], row["kept_at"])
    idle_since = max(each for each in seen if each is not None)
    spared = (
        (stop.idle_before is not None and idle_since > stop.idle_before)
        or (
            stop.overdue_at is not None
            and (row["ends_at"] is None or row["ends_at"] > stop.overdue_at)
        )
        or (stop.queue is not None and row["queue"] != stop.queue)
    )
    return Asked.SPARED if spared else Asked.ASKED


def _note_active(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    _SET_ACTIVE.execute_many(connection, rows)
    return [None] * len(rows)


def _keep(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    found = {row["id"]: row for row in _sessions(connection, [each["b_id"] for each in rows])}
    due = [
        (found[each["b_id"]], each)
        for each in rows
        if each["b_id"] in found and _goes_on(found[each["b_id"]])
    ]
    if due:
        _SET_KEPT.execute_many(
            connection, [{"b_id": each["b_id"], "b_at": each["at"]} for _, each in due]
        )
        audit.append(
            connection,
            [_line("keep", row, actor=each["actor"], at=each["at"]) for row, each in due],
        )
    kept = {row["id"] for row, _ in due}
    return [each["b_id"] in kept for each in rows]


def _goes_on(row: RowMapping) -> bool:
    return row["ended_at"] is None and row["stop_at"] is None


def _extend(connection: Connection, extensions: Sequence[_Extending]) -> Sequence[Fits | None]:
    return [_extend_one(connection, each) for each in extensions]


def _extend_one(connection: Connection, extending: _Extending) -> Fits | None:
    row = next(iter(_sessions(connection, [extending.id])), None)
    if row is None or not _goes_on(row) or row["ends_at"] is None or row["ends_at"] <= extending.at:
        return None
    demands = {extending.id: extending.demand}
    renewing = _Renewing(demands=demands, at=extending.at, only_longer=True)
    after = _renew_together(connection, renewing).get(extending.id)
    if after is None:
        return _deadline(row)  # nothing was left to give
    milliseconds = max(extending.extension // timedelta(milliseconds=1), row["extended_ms"])
    connection.execute(_SET_EXTENDED, {"b_id": extending.id, "extended_ms": milliseconds})
    line = _line(
        "extend", row, actor=extending.actor, at=extending.at,
        ends_before=row["ends_at"].isoformat(), ends_after=after.ends_at.isoformat(),
        because=after.because,
    )  # fmt: skip
    audit.append(connection, [line])
    return after


def _switch(
    connection: Connection, switches: Sequence[_Switching]
) -> Sequence[Fits | Exceeds | None]:
    return [_switch_one(connection, each) for each in switches]


def _switch_one(connection: Connection, switching: _Switching) -> Fits | Exceeds | None:
    row = next(iter(_sessions(connection, [switching.id])), None)
    if row is None or not _goes_on(row) or row["bound_at"] is None or row["reserved_from"] is None:
        return None
    if row["queue"] == switching.queue:
        return _deadline(row)
    # Time that has passed is settled under the queue it was in, however late anybody looked.
    at = min(max(whole_millisecond(switching.at), row["reserved_from"]), row["ends_at"])
    moved = {**row, "queue": switching.queue}
    before, after = account_of(row), account_of(moved)
    book = _book(connection, [row, moved], at=switching.at)
    book.let_go(before)
    book.leave_out(before, row["reserved_from"], row["ends_at"])
    asked = replace(
        switching.demand,
        start=at,
        latest_end=max(switching.demand.latest_end, at),
        rates=after.rates,
        subjects=after.subjects,
    )
    outcome = fit(asked, book.usage)
    if isinstance(outcome, Exceeds):
        return outcome  # and the book is not written
    book.count(before, row["reserved_from"], row["ends_at"])
    book.settle(before, row["reserved_from"], at)
    book.release(before, at, row["ends_at"])
    book.take(after)
    book.reserve(after, at, outcome.ends_at)
    book.write()
    connection.execute(
        _SET_QUEUE,
        {
            "b_id": switching.id,
            "b_queue": switching.queue,
            "b_ends_at": outcome.ends_at,
            "because": outcome.because,
            "b_reserved_from": at,
        },
    )
    line = _line(
        "switch-queue", row, actor=switching.actor, at=switching.at,
        queue_before=row["queue"], queue_after=switching.queue,
        ends_after=outcome.ends_at.isoformat(), because=outcome.because,
    )  # fmt: skip
    audit.append(connection, [line])
    return outcome


def _note(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    _PUT_LOG.execute(connection, rows)
    return [None] * len(rows)


def _close(book: Book, row: RowMapping, at: datetime) -> None:
    """Settle what was used until *at*, and release the rest."""
    account, used_until = account_of(row), row["reserved_from"]
    if row["bound_at"] is not None:
        used_until = min(max(at, used_until), row["ends_at"])
        book.settle(account, row["reserved_from"], used_until)
    book.release(account, used_until, row["ends_at"])
    book.let_go(account)


def _book(
    connection: Connection, rows: Sequence[RowMapping | Mapping[str, Any]], *, at: datetime
) -> Book:
    subjects = [subject for row in rows for subject in account_of(row).subjects]
    return Book(connection, subjects, since=min(row["reserved_from"] for row in rows), at=at)


def _sessions(connection: Connection, ids: Iterable[str]) -> Sequence[RowMapping]:
    return connection.execute(_BY_IDS, {"ids": list(ids)}).mappings().all()


def _session(row: RowMapping) -> Session:
    return Session(**row)


_NEW: Final = tuple(field.name for field in fields(NewSession))
_TABLE: Final = table_of(SessionRow)
_COLUMN: Final = _TABLE.c


def _not_before_admission() -> ColumnElement[datetime]:
    at = bindparam("at", type_=UtcTime())
    return case((_COLUMN.admitted_at > at, _COLUMN.admitted_at), else_=at)


# Built once: the compiled form of a statement is looked up by the statement.
_IN_THE_WAY: Final = select(
    _COLUMN.id,
    _COLUMN.owner,
    _COLUMN.workspace,
    _COLUMN.ended_at,
    _COLUMN.ends_at,
    _COLUMN.ends_because,
).where(
    or_(
        _COLUMN.id.in_(bindparam("ids", expanding=True)),
        and_(
            one_of("workspaces", _COLUMN.owner, _COLUMN.workspace),
            _COLUMN.ended_at.is_(None),
        ),
    )
)
_INSERT: Final = InsertMany(_TABLE, [*_NEW, "ends_at", "ends_because", "zone", "reserved_from"])
_BY_IDS: Final = select(_TABLE).where(_COLUMN.id.in_(bindparam("ids", expanding=True)))
_SET_BOUND: Final = Prepared(
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(
        bound_at=_not_before_admission(),
        granted_percent=bindparam("percent"),
        ends_at=bindparam("b_ends_at", type_=UtcTime()),
        ends_because=bindparam("because"),
        reserved_from=bindparam("b_reserved_from", type_=UtcTime()),
    )
)
_SET_RESERVED: Final = Prepared(
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(reserved_from=bindparam("b_reserved_from", type_=UtcTime()))
)
_SET_DEADLINE: Final = Prepared(
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(ends_at=bindparam("b_ends_at", type_=UtcTime()), ends_because=bindparam("because"))
)
_SET_ENDED: Final = Prepared(
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(
        ended_at=bindparam("at", type_=UtcTime()),
        end_reason=bindparam("reason"),
        problem=bindparam("problem"),
        reserved_from=None,
    )
)
_SET_STOP: Final = Prepared(
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(
        stop_at=bindparam("b_at", type_=UtcTime()),
        stop_reason=bindparam("b_reason"),
        stop_by=bindparam("b_by"),
    )
)
_SET_ACTIVE: Final = Prepared(
    update(_TABLE)
    .where(
        _COLUMN.id == bindparam("b_id"),
        _COLUMN.ended_at.is_(None),
        or_(
            _COLUMN.active_at.is_(None),
            _COLUMN.active_at < bindparam("at", type_=UtcTime()),
        ),
    )
    .values(active_at=bindparam("at", type_=UtcTime()))
)
_SET_KEPT: Final = Prepared(
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(kept_at=bindparam("b_at", type_=UtcTime()))
)
_SET_EXTENDED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(extended_ms=bindparam("extended_ms"))
)
_SET_QUEUE: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(
        queue=bindparam("b_queue"),
        ends_at=bindparam("b_ends_at", type_=UtcTime()),
        ends_because=bindparam("because"),
        reserved_from=bindparam("b_reserved_from", type_=UtcTime()),
    )
)
_BY_ID: Final = select(_TABLE).where(_COLUMN.id == bindparam("id"))
_LOGS: Final = table_of(DeploymentLogRow)
_PUT_LOG: Final = Put(_LOGS)
_LOG: Final = select(_LOGS.c.lines).where(_LOGS.c.session_id == bindparam("id"))
_OPEN_ONES: Final = (
    select(_TABLE).where(_COLUMN.ended_at.is_(None)).order_by(_COLUMN.admitted_at, _COLUMN.id)
)
_STOPPING: Final = _OPEN_ONES.where(_COLUMN.stop_at.is_not(None))
_DUE: Final = _OPEN_ONES.where(
    _COLUMN.bound_at.is_not(None),
    _COLUMN.stop_at.is_(None),
    or_(
        _COLUMN.ends_at <= bindparam("at", type_=UtcTime()),
        and_(
            _COLUMN.bound_at <= bindparam("idle_before", type_=UtcTime()),
            *(
                or_(column.is_(None), column <= bindparam("idle_before", type_=UtcTime()))
                for column in (_COLUMN.active_at, _COLUMN.kept_at)
            ),
        ),
    ),
)
_ADMITTED: Final = (
    select(_TABLE)
    .where(_COLUMN.admitted_at >= bindparam("since"))
    .order_by(_COLUMN.admitted_at.desc(), _COLUMN.id.desc())
    .limit(bindparam("limit"))
)
_OF_OWNER: Final = (
    select(_TABLE)
    .where(_COLUMN.owner == bindparam("owner"))
    .order_by(_COLUMN.admitted_at.desc(), _COLUMN.id.desc())
    .limit(bindparam("limit"))
)
_OF_WORKSPACE: Final = _OF_OWNER.where(_COLUMN.workspace == bindparam("workspace"))

_OPEN: Final[Write[_Opening, Opened]] = Write(
    apply=_open,
    key=lambda each: (each.row["owner"], each.row["workspace"]),
    what="open a session",
)
_BIND: Final[Write[_Binding, Fits | None]] = Write(
    apply=_bind, key=lambda each: each.id, what="bind a session"
)
_SETTLE: Final = Write(apply=_settle, key=lambda row: row["b_id"], what="settle a session")
_RENEW: Final[Write[_Renewing, dict[str, Fits]]] = Write(
    apply=_renew, key=lambda _: "renew", what="renew the deadlines of sessions"
)
_END: Final = Write(apply=_end, key=lambda row: row["b_id"], what="end a session")
_STOP: Final[Write[_Stopping, Asked]] = Write(
    apply=_stop, key=lambda each: each.id, what="ask a session to stop"
)
_ACTIVE: Final = Write(
    apply=_note_active, key=lambda row: row["b_id"], what="note that a session is active"
)
_KEEP: Final[Write[dict[str, Any], bool]] = Write(
    apply=_keep, key=lambda row: row["b_id"], what="keep a session running"
)
_EXTEND: Final[Write[_Extending, Fits | None]] = Write(
    apply=_extend, key=lambda each: each.id, what="extend a session"
)
_SWITCH: Final[Write[_Switching, Fits | Exceeds | None]] = Write(
    apply=_switch, key=lambda each: each.id, what="move a session to another queue"
)
_NOTE: Final[Write[dict[str, Any], None]] = Write(
    apply=_note, key=lambda row: row["session_id"], what="keep the log of a start"
)
