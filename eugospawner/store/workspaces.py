"""
Workspaces: what each server of an owner is called, what it is started with, and where it is in its life.

A record is written when a workspace is created, or by the transaction that admits its first start, so that a
name is taken by whoever was admitted first (F36); when it is removed, it goes to the former ones, and its
sessions stay. Names that nobody asked for make way: a workspace without one gets the next that is free.

Its state follows its sessions, in the transactions that open, bind and end them (`follow`); all else moves it
by `Workspaces.move`, which allows what `policy.lifecycle` allows and nothing else. Either writes the audit.
Source: design §§4 and 7; F3, F12, F15 to F17, F27, F36.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from eugospawner.policy import names
from eugospawner.policy.lifecycle import DELETABLE, Operation, State, may_ask, may_become
from eugospawner.store import audit
from eugospawner.store.statements import Prepared, Put, one_of, pairs
from eugospawner.store.tables import FormerWorkspaceRow, WorkspaceRow, table_of
from eugospawner.store.types import UtcTime, storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from datetime import datetime

    from sqlalchemy import RowMapping

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer


@dataclass(frozen=True, slots=True, kw_only=True)
class Workspace:
    """
    A workspace as it is.

    Attributes:
        id: Random, for good; empty: not given yet, which the next start does.
        server: Server name; empty for the default server.
        name: As people read it; unique in the project.
        options: Words of the request, without the name.
        changed_at: When it was last started or edited.
        since: When it came into its state.
        because: Machine reason of the state; may be empty.
        said: What is said of it beside the reason; may be empty.
        actor: Who brought it there: a person or a service.
        session_id: Its last session; `None`: it was never started.
        failures: Starts in a row that have failed.
        remaining: What a termination has not destroyed yet, as whoever destroys noted it.
    """

    owner: str
    server: str
    project: str
    name: str
    options: Mapping[str, Any]
    created_at: datetime
    changed_at: datetime
    id: str = ""
    state: State = State.STOPPED
    since: datetime | None = None
    because: str = ""
    said: str = ""
    actor: str = ""
    session_id: str | None = None
    failures: int = 0
    remaining: tuple[str, ...] = ()

    @property
    def object(self) -> str:
        """What the audit calls it."""
        return object_of(self.owner, self.server)


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerWorkspace:
    """A workspace that is no more; *is_terminated*: neither is its data."""

    id: str
    owner: str
    server: str
    project: str
    name: str
    options: Mapping[str, Any]
    created_at: datetime
    gone_at: datetime
    is_terminated: bool
    actor: str


def object_of(owner: str, server: str) -> str:
    """Return what the audit calls the workspace."""
    return f"workspace.{owner}/{server}"


@dataclass(frozen=True, slots=True)
class InState:
    """It is in a state from which that is not possible; `None`: there is no such workspace."""

    state: State | None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewWorkspace:
    """A workspace that is created and not started (F12)."""

    owner: str
    server: str
    project: str
    name: str | None
    options: Mapping[str, Any]
    actor: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What a start would have recorded of its workspace; *name* `None`: any that is free."""

    name: str | None
    options: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class NameTaken:
    """Another workspace of the project has the name; *free* is one that nobody has."""

    free: str


class Workspaces:
    """The workspaces in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def of_owner(self, owner: str) -> tuple[Workspace, ...]:
        """Return the workspaces of *owner*, in the order of their names."""
        return await self._database.look(
            "read the workspaces of an owner", lambda connection: read_workspaces(connection, owner)
        )

    async def owner_in(self, project: str) -> str | None:
        """Return the owner of some workspace in *project*; `None`: there is none."""
        values = storable({"project": project})
        rows = await self._database.read("read who is in a project", _SOMEBODY, values)
        return str(rows[0]["owner"]) if rows else None

    async def get(self, owner: str, server: str) -> Workspace | None:
        """Return a workspace; `None`: there is none."""
        values = storable({"b_owner": owner, "b_server": server})
        rows = await self._database.read("read a workspace", _ONE, values)
        return _workspace(rows[0]) if rows else None

    async def every(self, owner: str | None = None) -> tuple[Workspace, ...]:
        """Return all workspaces, by owner and name; *owner*: those of one alone."""
        if owner is not None:
            return await self.of_owner(owner)
        rows = await self._database.read("read the workspaces", _EVERY)
        return tuple(_workspace(row) for row in rows)

    async def in_state(self, *states: State) -> tuple[Workspace, ...]:
        """Return the workspaces that are in one of *states*, whoever's they are."""
        values = {"states": list(states)}
        rows = await self._database.read("read the workspaces in a state", _IN_STATE, values)
        return tuple(_workspace(row) for row in rows)

    async def former(
        self, owner: str | None = None, *, limit: int = 100
    ) -> tuple[FormerWorkspace, ...]:
        """Return workspaces that are no more, the last that went first."""
        values = storable({"owner": owner}) | {"limit": limit}
        statement = _FORMER if owner is None else _FORMER_OF
        rows = await self._database.read("read the former workspaces", statement, values)
        return tuple(
            FormerWorkspace(**{**row, "options": json.loads(row["options"])}) for row in rows
        )

    async def create(self, new: NewWorkspace) -> Workspace | NameTaken | InState:
        """
        Record a workspace that is not started, with its audit.

        Returns:
            It; or that its name is taken; or the state of the one that is there already.

        Raises:
            StoreError: It was not recorded.
        """
        storable(
            {
                name: getattr(new, name)
                for name in ("owner", "server", "project", "name", "actor", "at")
            }
        )
        return await self._writer.write(_CREATE, new)

    async def move(
        self,
        owner: str,
        server: str,
        to: State,
        *,
        actor: str,
        at: datetime,
        operation: Operation | None = None,
        reason: str = "",
        said: str = "",
    ) -> Workspace | InState:
        """
        Bring a workspace into the state *to*, with its audit.

        Args:
            operation: What was asked for, which may be stricter than the table of states.
            reason: Machine reason; *said*: what is said of it beside.

        Returns:
            It, as it is then; or the state that does not allow it, and nothing was changed.

        Raises:
            StoreError: It was not recorded.
        """
        moving = _Move(
            owner=owner, server=server, to=to, actor=actor, at=at, operation=operation,
            reason=reason, said=said,
        )  # fmt: skip
        storable(
            {name: getattr(moving, name) for name in ("owner", "server", "actor", "at", "reason")}
        )
        return await self._writer.write(_MOVE, moving)

    async def note_remaining(self, owner: str, server: str, remaining: Sequence[str]) -> None:
        """Record what a termination has not destroyed yet."""
        row = storable({"b_owner": owner, "b_server": server})
        await self._writer.write(_NOTE, {**row, "remaining": _text_of(remaining)})

    async def edit(
        self,
        owner: str,
        server: str,
        options: Mapping[str, Any],
        *,
        actor: str,
        at: datetime,
        anytime: bool = False,
    ) -> Workspace | InState:
        """
        Change what a workspace will be started with, with the audit; not while it runs.

        Args:
            anytime: While it runs, too.

        Raises:
            StoreError: It was not recorded.
        """
        storable({"owner": owner, "server": server, "actor": actor, "at": at})
        editing = _Edit(
            owner=owner, server=server, options=options, actor=actor, at=at, anytime=anytime
        )
        return await self._writer.write(_EDIT, editing)

    async def remove(
        self,
        owner: str,
        server: str,
        *,
        actor: str = "hub",
        at: datetime | None = None,
        terminated: bool = False,
    ) -> bool:
        """
        Take a workspace from the living to the former ones, with its audit; its sessions stay.

        Args:
            at: `None`: nobody knows; then it only goes.
            terminated: Whether its data is gone, too.

        Returns:
            Whether there was one.

        Raises:
            StoreError: It was not recorded.
        """
        storable({"owner": owner, "server": server, "actor": actor})
        removing = _Removal(owner=owner, server=server, actor=actor, at=at, terminated=terminated)
        return await self._writer.write(_REMOVE, removing)


def read_workspaces(connection: Connection, owner: str) -> tuple[Workspace, ...]:
    """Return the workspaces of *owner*, in the order of their names."""
    rows = connection.execute(_OF_OWNER, storable({"owner": owner})).mappings()
    return tuple(_workspace(row) for row in rows)


def _workspace(row: Mapping[str, Any] | RowMapping) -> Workspace:
    return Workspace(
        **{name: row[name] for name in _SHOWN},
        id=row["id"] or "",
        state=State(row["state"]),
        options=json.loads(row["options"]),
        remaining=tuple(json.loads(row["remaining"])) if row["remaining"] else (),
    )


def _text_of(remaining: Sequence[str]) -> str:
    return json.dumps(list(remaining), ensure_ascii=False) if remaining else ""


def read_holders(
    connection: Connection, projects: Iterable[str], name: str
) -> Mapping[tuple[str, str], tuple[str, str]]:
    """
    Return who has *name*, or it with an ending, in *projects*.

    Returns:
        Owner and server by project and key of the name.
    """
    start = names.key_of(name)[:_PREFIX]
    for special in "\\%_":
        start = start.replace(special, f"\\{special}")
    values = {"projects": list(projects), "pattern": f"{start}%"}
    return {
        (row.project, row.name_key): (row.owner, row.server)
        for row in connection.execute(_LIKE, values)
    }


class Register:
    """
    The names of one transaction: who has which, and who takes which.

    Args:
        asked: Owner, server, project and wish of each start of the transaction.
    """

    def __init__(self, connection: Connection, asked: Sequence[tuple[str, str, str, Wish]]) -> None:
        self._connection = connection
        self._own: dict[tuple[str, str], dict[str, Any]] = {}
        self._holders: dict[tuple[str, str], tuple[str, str]] = {}
        self._changed: dict[tuple[str, str], dict[str, Any]] = {}
        if not asked:
            return
        wanted = [
            (project, names.key_of(wish.name or names.default_of(owner, server)))
            for owner, server, project, wish in asked
        ]
        values = pairs("places", (each[:2] for each in asked)) | pairs("wanted", wanted)
        for row in connection.execute(_AT_STAKE, values).mappings():
            place = (row["owner"], row["server"])
            self._holders[row["project"], row["name_key"]] = place
            self._own[place] = dict(row)

    def name(self, owner: str, server: str, project: str, wish: Wish) -> str | NameTaken:
        """Return the name that the workspace gets."""
        place, own = (owner, server), self._own.get((owner, server))
        moves = own is not None and own["project"] != project
        if wish.name is None and own is not None and not moves:
            return str(own["name"])
        wanted = wish.name or (own["name"] if own else names.default_of(owner, server))
        key = (project, names.key_of(wanted))
        # A name that is taken along was not asked for, so it was not looked for either.
        known = self._like(project, wanted) if moves and wish.name is None else self._holders
        if known.get(key, place) == place:
            return str(wanted)
        taken = {held for of, held in self._like(project, wanted) if of == project}
        free = names.free(wanted, taken)
        return free if wish.name is None else NameTaken(free=free)

    def _like(self, project: str, name: str) -> dict[tuple[str, str], tuple[str, str]]:
        return {**read_holders(self._connection, [project], name), **self._holders}

    def obstacle(self, owner: str, server: str) -> State | None:
        """Return the state in which the workspace cannot be started; `None`: it can."""
        own = self._own.get((owner, server))
        state = None if own is None else State(own["state"])
        return state if state in _BARRED else None

    def take(
        self,
        owner: str,
        server: str,
        project: str,
        name: str,
        options: Mapping[str, Any],
        at: datetime,
        *,
        actor: str,
        session_id: str | None = None,
        state: State = State.STARTING,
    ) -> Workspace:
        """Give the workspace its name, let its former one go, and have it in *state*."""
        place = (owner, server)
        own = self._own.get(place)
        if own is not None:
            self._holders.pop((own["project"], own["name_key"]), None)
        key = names.key_of(name)
        row = {
            "owner": owner,
            "server": server,
            "project": project,
            "name": name,
            "name_key": key,
            "options": json.dumps(options, sort_keys=True),
            "created_at": at if own is None else own["created_at"],
            "changed_at": at,
            "id": (own and own["id"]) or uuid.uuid4().hex,
            "state": state,
            "since": at,
            "because": "",
            "said": "",
            "actor": actor,
            "session_id": session_id,
            "failures": 0 if own is None else own["failures"],
            "remaining": "",
        }
        self._holders[project, key] = place
        self._own[place] = self._changed[place] = row
        return _workspace(row)

    def write(self) -> None:
        """Write what was taken."""
        if self._changed:
            _PUT.execute(self._connection, list(self._changed.values()))


@dataclass(frozen=True, slots=True)
class Step:
    """
    What becomes of a workspace when something becomes of its session.

    Attributes:
        to: Given the state in which it is, the one that follows; the same: nothing does.
        fails: Whether a start has failed; `False`: one has succeeded; `None`: neither.
    """

    owner: str
    server: str
    session_id: str
    to: Callable[[State], State]
    reason: str
    said: str
    actor: str
    at: datetime
    fails: bool | None = None


def follow(connection: Connection, steps: Sequence[Step]) -> Mapping[str, State]:
    """
    Have workspaces follow their sessions, in the transaction of those.

    A workspace whose last session is another one by now stays as it is, and so does one that has
    no record. The audit is the caller's.

    Returns:
        The states that the workspaces have now, by session.
    """
    if not steps:
        return {}
    places = [(step.owner, step.server) for step in steps]
    rows = {
        (row["owner"], row["server"]): row
        for row in connection.execute(_AT, pairs("places", places)).mappings()
    }
    found: dict[str, State] = {}
    changed = []
    for step in steps:
        row = rows.get((step.owner, step.server))
        if row is None or row["session_id"] != step.session_id:
            continue
        state = State(row["state"])
        after = found[step.session_id] = step.to(state)
        if after is state:
            continue
        failures = row["failures"] if step.fails is None else (row["failures"] + 1) * step.fails
        changed.append(
            {
                "b_owner": step.owner,
                "b_server": step.server,
                "b_state": after,
                "b_since": step.at,
                "b_because": step.reason,
                # What was said when it was asked to stop holds when it has.
                "b_said": step.said or (row["said"] if row["because"] == step.reason else ""),
                "b_actor": step.actor,
                "b_failures": failures,
            }
        )
    if changed:
        _SET_STATE.execute_many(connection, changed)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    owner: str
    server: str
    to: State
    actor: str
    at: datetime
    operation: Operation | None
    reason: str
    said: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Edit:
    owner: str
    server: str
    options: Mapping[str, Any]
    actor: str
    at: datetime
    anytime: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Removal:
    owner: str
    server: str
    actor: str
    at: datetime | None
    terminated: bool


def _create(
    connection: Connection, all_new: Sequence[NewWorkspace]
) -> Sequence[Workspace | NameTaken | InState]:
    wishes = [Wish(name=new.name, options=new.options) for new in all_new]
    asked = [
        (new.owner, new.server, new.project, wish)
        for new, wish in zip(all_new, wishes, strict=True)
    ]
    register = Register(connection, asked)
    outcomes: list[Workspace | NameTaken | InState] = []
    for new, wish in zip(all_new, wishes, strict=True):
        there = _read_one(connection, new.owner, new.server)
        if there is not None:
            outcomes.append(InState(there.state))
            continue
        name = register.name(new.owner, new.server, new.project, wish)
        if isinstance(name, NameTaken):
            outcomes.append(name)
            continue
        outcomes.append(
            register.take(
                new.owner, new.server, new.project, name, new.options, new.at,
                actor=new.actor, state=State.CREATED,
            )
        )  # fmt: skip
    register.write()
    audit.append(
        connection,
        [
            audit.line_of(
                "create",
                made.object,
                actor=made.actor,
                at=made.created_at,
                detail={
                    "name": made.name,
                    "project": made.project,
                    "options": made.options,
                    "state": made.state,
                },
            )
            for made in outcomes
            if isinstance(made, Workspace)
        ],
    )
    return outcomes


def _move(connection: Connection, moves: Sequence[_Move]) -> Sequence[Workspace | InState]:
    return [_move_one(connection, move) for move in moves]


def _move_one(connection: Connection, move: _Move) -> Workspace | InState:
    found = _read_one(connection, move.owner, move.server)
    if found is None:
        return InState(None)
    allowed = may_become(found.state, move.to)
    if move.operation is not None:
        allowed = allowed and may_ask(found.state, move.operation)
    if not allowed:
        return InState(found.state)
    values = {
        "b_owner": move.owner, "b_server": move.server, "b_state": move.to, "b_since": move.at,
        "b_because": move.reason, "b_said": move.said, "b_actor": move.actor,
        "b_failures": 0 if move.operation is Operation.RESET else found.failures,
    }  # fmt: skip
    _SET_STATE.execute_many(connection, [values])
    audit.append(
        connection,
        [
            audit.line_of(
                str(move.operation or move.to),
                found.object,
                actor=move.actor,
                at=move.at,
                reason=move.reason,
                detail={"before": found.state, "state": move.to, "said": move.said},
            )
        ],
    )
    moved = _read_one(connection, move.owner, move.server)
    return InState(None) if moved is None else moved


def _edit(connection: Connection, edits: Sequence[_Edit]) -> Sequence[Workspace | InState]:
    return [_edit_one(connection, each) for each in edits]


def _edit_one(connection: Connection, edit: _Edit) -> Workspace | InState:
    found = _read_one(connection, edit.owner, edit.server)
    if found is None or not (edit.anytime or found.state in _EDITABLE):
        return InState(None if found is None else found.state)
    connection.execute(
        _SET_OPTIONS,
        {
            "b_owner": edit.owner,
            "b_server": edit.server,
            "options": json.dumps(edit.options, sort_keys=True),
            "changed_at": edit.at,
        },
    )
    audit.append(
        connection,
        [
            audit.line_of(
                "edit",
                found.object,
                actor=edit.actor,
                at=edit.at,
                detail={"before": found.options, "after": edit.options},
            )
        ],
    )
    changed = _read_one(connection, edit.owner, edit.server)
    return InState(None) if changed is None else changed


def _remove(connection: Connection, removals: Sequence[_Removal]) -> Sequence[bool]:
    return [_remove_one(connection, each) for each in removals]


def _remove_one(connection: Connection, removal: _Removal) -> bool:
    found = _read_one(connection, removal.owner, removal.server)
    if found is None:
        return False
    if not removal.terminated and found.state in {State.TERMINATING, State.TERMINATE_FAILED}:
        return False  # its entry goes last, by whoever destroys it
    connection.execute(_DELETE, {"b_owner": removal.owner, "b_server": removal.server})
    if removal.at is None:
        return True
    connection.execute(
        _INSERT_FORMER,
        {
            "id": found.id or uuid.uuid4().hex,
            "owner": found.owner,
            "server": found.server,
            "project": found.project,
            "name": found.name,
            "options": json.dumps(found.options, sort_keys=True),
            "created_at": found.created_at,
            "gone_at": removal.at,
            "is_terminated": removal.terminated,
            "actor": removal.actor,
        },
    )
    audit.append(
        connection,
        [
            audit.line_of(
                str(State.TERMINATED) if removal.terminated else str(Operation.DELETE),
                found.object,
                actor=removal.actor,
                at=removal.at,
                detail={"name": found.name, "project": found.project, "before": found.state},
            )
        ],
    )
    return True


def _note(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_SET_REMAINING, row)
    return [None] * len(rows)


def _read_one(connection: Connection, owner: str, server: str) -> Workspace | None:
    values = {"b_owner": owner, "b_server": server}
    row = connection.execute(_ONE, values).mappings().one_or_none()
    return None if row is None else _workspace(row)


#: States in which nothing is started, whoever asks.
_BARRED: Final = frozenset(
    {
        State.SUSPENDING,
        State.SUSPENDED,
        State.SUSPEND_FAILED,
        State.TERMINATING,
        State.TERMINATE_FAILED,
    }
)
#: States in which what it is started with may be changed.
_EDITABLE: Final = DELETABLE - {State.RUNNING}
_TABLE: Final = table_of(WorkspaceRow)
_COLUMN: Final = _TABLE.c
#: A name that has no room for an ending loses its last characters to it.
_PREFIX: Final = names.LONGEST - 16
_SHOWN: Final = (
    "owner", "server", "project", "name", "created_at", "changed_at", "since", "because", "said",
    "actor", "session_id", "failures",
)  # fmt: skip
_PUT: Final = Put(_TABLE)
_OF_OWNER: Final = (
    select(_TABLE).where(_COLUMN.owner == bindparam("owner")).order_by(_COLUMN.name, _COLUMN.server)
)
_SOMEBODY: Final = select(_COLUMN.owner).where(_COLUMN.project == bindparam("project")).limit(1)
_AT_STAKE: Final = select(_TABLE).where(
    or_(
        one_of("places", _COLUMN.owner, _COLUMN.server),
        one_of("wanted", _COLUMN.project, _COLUMN.name_key),
    )
)
_LIKE: Final = select(_COLUMN.project, _COLUMN.name_key, _COLUMN.owner, _COLUMN.server).where(
    _COLUMN.project.in_(bindparam("projects", expanding=True)),
    _COLUMN.name_key.like(bindparam("pattern"), escape="\\"),
)
_HERE: Final = (
    _COLUMN.owner == bindparam("b_owner"),
    _COLUMN.server == bindparam("b_server"),
)
_DELETE: Final = delete(_TABLE).where(*_HERE)
_ONE: Final = select(_TABLE).where(*_HERE)
_AT: Final = select(
    *(
        _COLUMN[name]
        for name in ("owner", "server", "state", "session_id", "failures", "because", "said")
    )
).where(one_of("places", _COLUMN.owner, _COLUMN.server))
_EVERY: Final = select(_TABLE).order_by(_COLUMN.owner, _COLUMN.name, _COLUMN.server)
_IN_STATE: Final = _EVERY.where(_COLUMN.state.in_(bindparam("states", expanding=True)))
_SET_STATE: Final = Prepared(
    update(_TABLE)
    .where(*_HERE)
    .values(
        state=bindparam("b_state"),
        since=bindparam("b_since", type_=UtcTime()),
        because=bindparam("b_because"),
        said=bindparam("b_said"),
        actor=bindparam("b_actor"),
        failures=bindparam("b_failures"),
    )
)
_SET_REMAINING: Final = update(_TABLE).where(*_HERE).values(remaining=bindparam("remaining"))
_SET_OPTIONS: Final = (
    update(_TABLE)
    .where(*_HERE)
    .values(options=bindparam("options"), changed_at=bindparam("changed_at", type_=UtcTime()))
)
_FORMERS: Final = table_of(FormerWorkspaceRow)
_INSERT_FORMER: Final = insert(_FORMERS)
_FORMER: Final = (
    select(_FORMERS).order_by(_FORMERS.c.gone_at.desc(), _FORMERS.c.id).limit(bindparam("limit"))
)
_FORMER_OF: Final = _FORMER.where(_FORMERS.c.owner == bindparam("owner"))
_CREATE: Final[Write[NewWorkspace, Workspace | NameTaken | InState]] = Write(
    apply=_create, key=lambda new: (new.owner, new.server), what="create a workspace"
)
_MOVE: Final[Write[_Move, Workspace | InState]] = Write(
    apply=_move, key=lambda move: (move.owner, move.server), what="change a workspace's state"
)
_EDIT: Final[Write[_Edit, Workspace | InState]] = Write(
    apply=_edit, key=lambda edit: (edit.owner, edit.server), what="change a workspace"
)
_NOTE: Final[Write[dict[str, Any], None]] = Write(
    apply=_note, key=lambda row: (row["b_owner"], row["b_server"]), what="note what is left"
)
_REMOVE: Final[Write[_Removal, bool]] = Write(
    apply=_remove, key=lambda each: (each.owner, each.server), what="forget a workspace"
)
