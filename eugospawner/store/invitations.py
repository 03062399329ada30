"""
Invitations: who was asked into an organization, and who came.

An invitation is for whoever shows its token, which only the link has, or signs in by its address, which
their provider has verified; the first of them redeems it, nobody after. What it gives is written in the same
transaction. It ends by itself, by being revoked, or by being redeemed; revoked afterwards, it counts no more.
Each step is written with its audit line. Source: F111; facts on security (links are kept as hashes).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, insert, select, update

from eugospawner.store import audit
from eugospawner.store.changes import last_revision, put_change
from eugospawner.store.tables import InvitationRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: More than any list shows.
MOST: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """
    An invitation as it stands.

    Attributes:
        id: Random.
        email: In small letters.
        organization: Its key.
        roles: Keys of roles.
        quotas: Entries of ``quotas`` without whose.
        sent_at: `None`: the link was never sent.
        problem: Why it was not sent; empty: it was, or nobody tried.
        redeemed_by: User name; empty: nobody.
    """

    id: str
    email: str
    organization: str
    roles: tuple[str, ...]
    quotas: tuple[Mapping[str, Any], ...]
    created_by: str
    created_at: datetime
    expires_at: datetime
    sent_at: datetime | None = None
    problem: str = ""
    revoked_at: datetime | None = None
    redeemed_at: datetime | None = None
    redeemed_by: str = ""

    def status(self, now: datetime) -> str:
        """Return how it stands: open, redeemed, revoked or expired."""
        if self.revoked_at is not None:
            return "revoked"
        if self.redeemed_at is not None:
            return "redeemed"
        return "open" if now < self.expires_at else "expired"


class Invitations:
    """The invitations in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def add(self, invitation: Invitation, *, token_hash: str) -> None:
        """
        Record a new invitation.

        Raises:
            StoreError: It was not recorded.
        """
        row = {name: getattr(invitation, name) for name in _COLUMNS}
        row |= {
            "roles": json.dumps(list(invitation.roles)),
            "quotas": json.dumps([dict(each) for each in invitation.quotas]),
            "token_hash": token_hash,
        }
        await self._writer.write(_ADD, storable(row))

    async def find(self, identifier: str) -> Invitation | None:
        """Return the invitation *identifier*; `None`: there is none."""
        rows = await self._database.read("read an invitation", _BY_ID, storable({"id": identifier}))
        return _invitation(rows[0]) if rows else None

    async def find_open(self, token_hash: str, now: datetime) -> Invitation | None:
        """Return the invitation whose link has the token of this hash, if it can be redeemed."""
        values = storable({"token_hash": token_hash})
        rows = await self._database.read("read an invitation", _BY_TOKEN, values)
        found = _invitation(rows[0]) if rows else None
        return found if found is not None and found.status(now) == "open" else None

    async def of_organization(self, organization: str | None) -> tuple[Invitation, ...]:
        """Return those to *organization*, newest first, at most `MOST`; `None`: to all."""
        statement = _ALL if organization is None else _OF_ORGANIZATION
        values = {} if organization is None else storable({"organization": organization})
        rows = await self._database.read("read invitations", statement, values)
        return tuple(_invitation(row) for row in rows)

    async def of_person(self, username: str) -> tuple[Invitation, ...]:
        """Return those that *username* redeemed and that count, oldest first."""
        rows = await self._database.read(
            "read invitations", _OF_PERSON, storable({"username": username})
        )
        return tuple(_invitation(row) for row in rows)

    async def renew(
        self, identifier: str, *, token_hash: str, expires_at: datetime, actor: str, at: datetime
    ) -> bool:
        """
        Give an invitation another link, and let it last until *expires_at*; return whether it is open.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable(
            {
                "b_id": identifier, "token_hash": token_hash, "expires_at": expires_at,
                "actor": actor, "at": at,
            }
        )  # fmt: skip
        return await self._writer.write(_RENEW, row)

    async def sent(self, identifier: str, *, at: datetime, problem: str) -> None:
        """
        Record that the link was sent, or with a *problem* that it was not.

        Raises:
            StoreError: It was not recorded.
        """
        row = {"b_id": identifier, "sent_at": None if problem else at, "problem": problem}
        await self._writer.write(_SENT, storable(row))

    async def revoke(self, identifier: str, *, actor: str, at: datetime) -> Invitation | None:
        """
        Revoke an invitation, redeemed or not; `None`: there is none, or it was revoked before.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": identifier, "actor": actor, "at": at})
        return await self._writer.write(_REVOKE, row)

    async def open_for(
        self, *, organization: str, email: str, token_hash: str, at: datetime
    ) -> tuple[Invitation, ...]:
        """
        Return what somebody could redeem: by the link before by the address, then the oldest first.

        Args:
            organization: Which they are in already; empty: in none. Nobody is in two.
            email: Their address in small letters, verified; empty: they have none.
            token_hash: Of the link that they came by; empty: by none.
        """
        values = storable({"email": email, "token_hash": token_hash, "at": at})
        rows = await self._database.read("read invitations", _OPEN_FOR, values)
        return tuple(
            _invitation(row)
            for row in sorted(rows, key=lambda row: row["token_hash"] != token_hash)
            if organization in {"", row["organization"]}
        )

    async def redeem(
        self,
        identifier: str,
        username: str,
        *,
        at: datetime,
        changes: Mapping[tuple[str, str], Any],
        expected: int,
        reason: str,
    ) -> bool:
        """
        Redeem an invitation and make *changes* of the settings in one transaction, or neither.

        Args:
            changes: What it gives: new entries by section and key.
            expected: The revision by which they were judged.

        Returns:
            Whether it was done; else somebody redeemed or revoked it, or the settings are newer.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"b_id": identifier, "username": username, "at": at, "reason": reason})
        return await self._writer.write(_REDEEM, row | {"changes": changes, "expected": expected})


def _invitation(row: Any) -> Invitation:
    values = {name: row[name] for name in _COLUMNS}
    values |= {
        "roles": tuple(json.loads(row["roles"])),
        "quotas": tuple(json.loads(row["quotas"])),
    }
    return Invitation(**values)


def _add(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    for row in rows:
        connection.execute(_INSERT, row)
        line = audit.line_of(
            "invite",
            _object(row),
            actor=row["created_by"],
            at=row["created_at"],
            detail={name: row[name] for name in ("email", "organization", "roles", "quotas")},
        )
        audit.append(connection, [line])
    return [None] * len(rows)


def _renew(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [_renew_one(connection, row) for row in rows]


def _renew_one(connection: Connection, row: dict[str, Any]) -> bool:
    values = {name: row[name] for name in ("b_id", "token_hash", "expires_at")}
    if not connection.execute(_SET_TOKEN, values).rowcount:
        return False
    what = f"invitations.{row['b_id']}"
    audit.append(
        connection, [audit.line_of("invite-again", what, actor=row["actor"], at=row["at"])]
    )
    return True


def _sent(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    connection.execute(_SET_SENT, list(rows))
    return [None] * len(rows)


def _revoke(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[Invitation | None]:
    return [_revoke_one(connection, row) for row in rows]


def _revoke_one(connection: Connection, row: dict[str, Any]) -> Invitation | None:
    if not connection.execute(_SET_REVOKED, {"b_id": row["b_id"], "at": row["at"]}).rowcount:
        return None
    found = connection.execute(_BY_ID, {"id": row["b_id"]}).mappings().one()
    audit.append(
        connection, [audit.line_of("revoke", _object(found), actor=row["actor"], at=row["at"])]
    )
    return _invitation(found)


def _redeem(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [_redeem_one(connection, row) for row in rows]


def _redeem_one(connection: Connection, row: dict[str, Any]) -> bool:
    if last_revision(connection) != row["expected"]:
        return False
    values = {name: row[name] for name in ("b_id", "at", "username")}
    # Whoever else redeems it at the same moment on another server of the database was first.
    if not connection.execute(_SET_REDEEMED, values).rowcount:
        return False
    for (section, key), document in row["changes"].items():
        put_change(
            connection, section, key, document, actor=row["username"], reason=row["reason"],
            at=row["at"],
        )  # fmt: skip
    what = f"invitations.{row['b_id']}"
    audit.append(connection, [audit.line_of("redeem", what, actor=row["username"], at=row["at"])])
    return True


def _object(row: Any) -> str:
    return f"invitations.{row['id']}"


_TABLE: Final = table_of(InvitationRow)
_COLUMN: Final = _TABLE.c
_COLUMNS: Final = tuple(column.name for column in _TABLE.columns if column.name != "token_hash")
_IS_OPEN: Final = _COLUMN.revoked_at.is_(None) & _COLUMN.redeemed_at.is_(None)
_INSERT: Final = insert(_TABLE)
_BY_ID: Final = select(_TABLE).where(_COLUMN.id == bindparam("id"))
_BY_TOKEN: Final = select(_TABLE).where(_COLUMN.token_hash == bindparam("token_hash"))
_ALL: Final = select(_TABLE).order_by(_COLUMN.created_at.desc(), _COLUMN.id).limit(MOST)
_OF_ORGANIZATION: Final = _ALL.where(_COLUMN.organization == bindparam("organization"))
_OF_PERSON: Final = (
    select(_TABLE)
    .where(_COLUMN.redeemed_by == bindparam("username"), _COLUMN.revoked_at.is_(None))
    .order_by(_COLUMN.redeemed_at, _COLUMN.id)
)
_OPEN_FOR: Final = (
    select(_TABLE)
    .where(
        _IS_OPEN,
        _COLUMN.expires_at > bindparam("at"),
        ((_COLUMN.email == bindparam("email")) & (_COLUMN.email != ""))
        | (_COLUMN.token_hash == bindparam("token_hash")),
    )
    .order_by(_COLUMN.created_at, _COLUMN.id)
)
_SET_TOKEN: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _IS_OPEN)
    .values(token_hash=bindparam("token_hash"), expires_at=bindparam("expires_at"))
)
_SET_SENT: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"))
    .values(sent_at=bindparam("sent_at"), problem=bindparam("problem"))
)
_SET_REVOKED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _COLUMN.revoked_at.is_(None))
    .values(revoked_at=bindparam("at"))
)
_SET_REDEEMED: Final = (
    update(_TABLE)
    .where(_COLUMN.id == bindparam("b_id"), _IS_OPEN, _COLUMN.expires_at > bindparam("at"))
    .values(redeemed_at=bindparam("at"), redeemed_by=bindparam("username"))
)
_ADD: Final[Write[dict[str, Any], None]] = Write(
    apply=_add, key=lambda row: row["id"], what="record an invitation"
)
_RENEW: Final[Write[dict[str, Any], bool]] = Write(
    apply=_renew, key=lambda row: row["b_id"], what="renew an invitation"
)
_SENT: Final[Write[dict[str, Any], None]] = Write(
    apply=_sent, key=lambda row: row["b_id"], what="record that a link was sent"
)
_REVOKE: Final[Write[dict[str, Any], Invitation | None]] = Write(
    apply=_revoke, key=lambda row: row["b_id"], what="revoke an invitation"
)
_REDEEM: Final[Write[dict[str, Any], bool]] = Write(
    apply=_redeem, key=lambda row: row["b_id"], what="redeem an invitation"
)
