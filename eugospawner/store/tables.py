"""
The tables, as the newest migration leaves them.

Column comments name the unit and say what absence means; they are what a person sees who opens
the database. The CHECKs repeat what the domain modules promise, so that no other writer, and no
hand at a prompt, can break it. Rows never leave this package: the domain modules hand out values.
A change here needs a migration, and a test compares the two. Source: style §3.8.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, ClassVar, Final, cast

from sqlalchemy import BigInteger, CheckConstraint, Enum, Index, MetaData, Table, Text
from sqlalchemy import text as sql
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from eugospawner.policy.catalog import Kind
from eugospawner.store.types import UtcTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

#: Alembic and error messages need names that do not depend on the database.
NAMES: Final = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Base(DeclarativeBase):
    """What all tables share: names of constraints, and the SQL types of Python's."""

    metadata = MetaData(naming_convention=NAMES)
    type_annotation_map: ClassVar = {
        str: Text(),
        int: BigInteger(),
        datetime: UtcTime(),
        Kind: Enum(
            Kind,
            name="kind",
            native_enum=False,
            create_constraint=True,
            length=32,
            values_callable=lambda kinds: [kind.value for kind in kinds],
        ),
    }


class VolumeRow(Base):
    """An extra volume of an owner."""

    __tablename__ = "volumes"
    __table_args__ = (
        CheckConstraint("size_bytes > 0", name="size_bytes"),
        {"comment": "Extra volumes of owners, beside the home that every owner has."},
    )

    owner: Mapped[str] = mapped_column(primary_key=True, comment="User name.")
    key: Mapped[str] = mapped_column(
        primary_key=True, comment="The owner's name for it; requests name it so."
    )
    claim_name: Mapped[str] = mapped_column(
        unique=True, comment="Name of its PersistentVolumeClaim."
    )
    size_bytes: Mapped[int] = mapped_column(comment="Size asked for, in bytes.")
    created_at: Mapped[datetime] = mapped_column(comment="UTC.")


class SessionRow(Base):
    """One run of a workspace, from admission to its end."""

    __tablename__ = "sessions"
    __table_args__ = (
        CheckConstraint("gpu_count >= 0", name="gpu_count"),
        CheckConstraint("gpu_count = 0 OR gpu_model IS NOT NULL", name="gpu_model"),
        CheckConstraint(
            "sm_percent <= 100 AND sm_percent >= CASE WHEN gpu_count = 0 THEN 0 ELSE 1 END",
            name="sm_percent",
        ),
        CheckConstraint("requested_percent >= 0", name="requested_percent"),
        CheckConstraint("granted_percent >= 0", name="granted_percent"),
        CheckConstraint("cpu_millicores >= 0", name="cpu_millicores"),
        CheckConstraint("memory_bytes >= 0", name="memory_bytes"),
        CheckConstraint("(ends_at IS NULL) = (ends_because IS NULL)", name="deadline"),
        CheckConstraint("(bound_at IS NULL) = (granted_percent IS NULL)", name="bound"),
        CheckConstraint("(ended_at IS NULL) = (end_reason IS NULL)", name="ended"),
        CheckConstraint("bound_at >= admitted_at", name="bound_after_admitted"),
        CheckConstraint("ended_at >= admitted_at", name="ended_after_admitted"),
        Index(
            "uq_sessions_open",
            "owner",
            "workspace",
            unique=True,
            sqlite_where=sql("ended_at IS NULL"),
            postgresql_where=sql("ended_at IS NULL"),
        ),
        Index("ix_sessions_owner_admitted_at", "owner", "admitted_at"),
        {"comment": "Runs of workspaces; one that has not ended is open."},
    )

    id: Mapped[str] = mapped_column(
        primary_key=True, comment="Made by the spawner for each start; also a label of the Pod."
    )
    owner: Mapped[str] = mapped_column(comment="User whose workspace it is.")
    workspace: Mapped[str] = mapped_column(comment="Server name; empty for the default server.")
    actor: Mapped[str] = mapped_column(comment="Who asked: the owner, or an admin for them.")
    project: Mapped[str] = mapped_column(comment="Project key.")
    profile: Mapped[str] = mapped_column(comment="Profile key of the catalog.")
    flavor: Mapped[str] = mapped_column(comment="Flavor key of the catalog.")
    kind: Mapped[Kind] = mapped_column(comment="What runs in the workspace.")
    queue: Mapped[str] = mapped_column(comment="Queue key.")
    image: Mapped[str] = mapped_column(comment="Exact reference.")
    gpu_model: Mapped[str | None] = mapped_column(comment="Model key; absent: no GPU.")
    gpu_count: Mapped[int] = mapped_column(comment="Devices asked for.")
    sm_percent: Mapped[int] = mapped_column(
        comment="Share of each device, 1 to 100; 0 or 100 without one."
    )
    requested_percent: Mapped[int] = mapped_column(
        comment="GPU percent charged until the allocation is known."
    )
    cpu_millicores: Mapped[int] = mapped_column(comment="Limit, in millicores.")
    memory_bytes: Mapped[int] = mapped_column(comment="Limit, in bytes.")
    pod_name: Mapped[str] = mapped_column(comment="Name of the session's Pod.")
    admitted_at: Mapped[datetime] = mapped_column(comment="UTC; the start was admitted.")
    ends_at: Mapped[datetime | None] = mapped_column(comment="UTC deadline; absent: none.")
    ends_because: Mapped[str | None] = mapped_column(comment="What the deadline comes from.")
    bound_at: Mapped[datetime | None] = mapped_column(
        comment="UTC; the Pod was ready and its allocation read. Absent: not yet, or never."
    )
    granted_percent: Mapped[int | None] = mapped_column(
        comment="GPU percent that the allocation really consumes."
    )
    ended_at: Mapped[datetime | None] = mapped_column(comment="UTC. Absent: the session is open.")
    end_reason: Mapped[str | None] = mapped_column(comment="Machine reason of the end.")


def table_of(row: type[Base]) -> Table:
    """Return the table behind *row*, for statements that skip the ORM's bookkeeping."""
    return cast("Table", row.__table__)


class InsertNew:
    """
    An INSERT that passes over rows which break a unique constraint.

    Both databases say ``ON CONFLICT DO NOTHING``, but SQLAlchemy has a construct for each; they
    are built once, so that their compiled form is found again.
    """

    def __init__(self, table: Table, *, conflict: Sequence[str] | None = None) -> None:
        self._statements = {
            "sqlite": sqlite.insert(table).on_conflict_do_nothing(conflict),
            "postgresql": postgresql.insert(table).on_conflict_do_nothing(index_elements=conflict),
        }

    def execute(self, connection: Connection, rows: Sequence[dict[str, object]]) -> None:
        """Insert *rows* in one call of the driver."""
        connection.execute(self._statements[connection.dialect.name], rows)
