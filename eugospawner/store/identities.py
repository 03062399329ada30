"""
Identities: whose account is whose, and which of the provider's sessions and words were seen.

An account belongs to issuer and subject, the provider's unchanging name for somebody; the user name
is what they are called here, from their first sign-in for good. A name that the provider gives to
somebody else one day brings them nothing: it stays the account of the first. Source: OpenID Connect
Core 1.0 §5.7; Back-Channel Logout 1.0 §2.6 (replays).
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, bindparam, delete, select

from eugospawner.store.statements import InsertNew, Put
from eugospawner.store.tables import IdentityRow, LogoutTokenRow, ProviderSessionRow, table_of
from eugospawner.store.types import storable
from eugospawner.store.writer import Write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from eugospawner.store.database import Database
    from eugospawner.store.writer import Writer

#: A session at a provider that was not used for so long cannot be ended by it any more.
REMEMBERED: Final = timedelta(days=90)


class Identities:
    """The identities in the store."""

    def __init__(self, database: Database, writer: Writer) -> None:
        self._database = database
        self._writer = writer

    async def claim(self, issuer: str, subject: str, *, username: str, at: datetime) -> str | None:
        """
        Return the user name of whom *issuer* calls *subject*, recorded at the first time.

        Args:
            username: What they would be called here if this is the first time.

        Returns:
            Their name; `None`: it is the first time, and the name is somebody else's.

        Raises:
            StoreError: It could not be read or recorded.
        """
        row = storable(
            {"issuer": issuer, "subject": subject, "username": username, "first_seen_at": at}
        )
        return await self._writer.write(_CLAIM, row)

    async def username_of(self, issuer: str, subject: str) -> str | None:
        """Return what somebody is called here; `None`: they were never here."""
        values = storable({"issuer": issuer, "subject": subject})
        rows = await self._database.read("read an identity", _USERNAME, values)
        return rows[0]["username"] if rows else None

    async def signed_in(self, issuer: str, session: str, *, username: str, at: datetime) -> None:
        """
        Record that *username* signed in by the provider's *session*; old ones are forgotten.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable(
            {"issuer": issuer, "session": session, "username": username, "signed_in_at": at}
        )
        await self._writer.write(_SIGNED_IN, row)

    async def username_by(self, issuer: str, session: str) -> str | None:
        """Return who signed in by the provider's *session*; `None`: nobody that is remembered."""
        values = storable({"issuer": issuer, "session": session})
        rows = await self._database.read("read a session of a provider", _BY_SESSION, values)
        return rows[0]["username"] if rows else None

    async def spend(
        self, issuer: str, identifier: str, *, expires_at: datetime, now: datetime
    ) -> bool:
        """
        Return whether a logout token is seen for the first time; it never is again.

        Args:
            expires_at: Afterwards nobody would believe it anyway, and it is forgotten.

        Raises:
            StoreError: It was not recorded.
        """
        row = storable({"issuer": issuer, "identifier": identifier, "expires_at": expires_at})
        return await self._writer.write(_SPEND, row | storable({"now": now}))


def _claim(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[str | None]:
    return [_claim_one(connection, row) for row in rows]


def _claim_one(connection: Connection, row: dict[str, Any]) -> str | None:
    # Whoever else writes at the same moment is passed over, by the identity or by the name.
    _INSERT_IDENTITY.execute(connection, [row])
    values = {"issuer": row["issuer"], "subject": row["subject"]}
    found: str | None = connection.execute(_USERNAME, values).scalar()
    return found


def _signed_in(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[None]:
    _PUT_SESSION.execute(connection, rows)
    oldest = min(row["signed_in_at"] for row in rows) - REMEMBERED
    connection.execute(_FORGET_SESSIONS, {"before": oldest})
    return [None] * len(rows)


def _spend(connection: Connection, rows: Sequence[dict[str, Any]]) -> Sequence[bool]:
    return [_spend_one(connection, row) for row in rows]


def _spend_one(connection: Connection, row: dict[str, Any]) -> bool:
    row = dict(row)
    connection.execute(_FORGET_TOKENS, {"now": row.pop("now")})
    keys = {"issuer": row["issuer"], "identifier": row["identifier"]}
    if connection.execute(_SPENT, keys).first() is not None:
        return False
    _INSERT_TOKEN.execute(connection, [row])
    return True


_IDENTITIES: Final = table_of(IdentityRow)
_SESSIONS: Final = table_of(ProviderSessionRow)
_TOKENS: Final = table_of(LogoutTokenRow)
_INSERT_IDENTITY: Final = InsertNew(_IDENTITIES)
_INSERT_TOKEN: Final = InsertNew(_TOKENS)
_PUT_SESSION: Final = Put(_SESSIONS)
_USERNAME: Final = select(_IDENTITIES.c.username).where(
    _IDENTITIES.c.issuer == bindparam("issuer"), _IDENTITIES.c.subject == bindparam("subject")
)
_BY_SESSION: Final = select(_SESSIONS.c.username).where(
    _SESSIONS.c.issuer == bindparam("issuer"), _SESSIONS.c.session == bindparam("session")
)
_FORGET_SESSIONS: Final = delete(_SESSIONS).where(_SESSIONS.c.signed_in_at < bindparam("before"))
_FORGET_TOKENS: Final = delete(_TOKENS).where(_TOKENS.c.expires_at < bindparam("now"))
_SPENT: Final = select(_TOKENS.c.issuer).where(
    _TOKENS.c.issuer == bindparam("issuer"), _TOKENS.c.identifier == bindparam("identifier")
)
_CLAIM: Final[Write[dict[str, Any], str | None]] = Write(
    apply=_claim, key=lambda row: row["username"], what="record an identity"
)
_SIGNED_IN: Final[Write[dict[str, Any], None]] = Write(
    apply=_signed_in,
    key=lambda row: (row["issuer"], row["session"]),
    what="record a session of a provider",
)
_SPEND: Final[Write[dict[str, Any], bool]] = Write(
    apply=_spend,
    key=lambda row: (row["issuer"], row["identifier"]),
    what="record a logout token",
)
