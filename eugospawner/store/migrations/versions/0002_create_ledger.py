"""
Create ledger, usage, changes and audit, and tie sessions to them.

The entitlements: what sessions reserve and use, what admins change, and who did what. Sessions
that were begun before have no zone, so nothing is reserved or settled for them; the release before
writes none of the new columns, which may all be absent.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
APPEND_ONLY = ("ledger", "audit")


def upgrade() -> None:
    """Create them."""
    for name, kind, comment in (
        ("group_key", sa.Text(), "Group that owns the project."),
        ("organization", sa.Text(), "Organization that pays."),
        (
            "zone",
            sa.Text(),
            "IANA zone of its days and months. Absent: begun before there was a ledger.",
        ),
        (
            "reserved_from",
            TIME,
            "UTC; [this, ends_at) is reserved. Absent: nothing is, or not any more.",
        ),
    ):
        op.add_column("sessions", sa.Column(name, kind, nullable=True, comment=comment))
    _create_usage()
    _create_ledger()
    op.create_table(
        "changes",
        sa.Column("section", sa.Text(), nullable=False, comment="As in catalog.yaml."),
        sa.Column("key", sa.Text(), nullable=False, comment="The entry's key."),
        sa.Column(
            "document", sa.Text(), nullable=True, comment="JSON. Absent: the entry was removed."
        ),
        sa.Column(
            "revision",
            sa.BigInteger(),
            nullable=False,
            comment="Grows by one with each change of any entry.",
        ),
        sa.Column("changed_at", TIME, nullable=False, comment="UTC."),
        sa.Column("changed_by", sa.Text(), nullable=False, comment="Who did it."),
        sa.PrimaryKeyConstraint("section", "key", name="pk_changes"),
        comment="Entries of catalog.yaml that were changed since; they win over the file.",
    )
    op.create_index("uq_changes_revision", "changes", ["revision"], unique=True)
    op.create_table(
        "audit",
        sa.Column("id", ID, autoincrement=True, nullable=False, comment="In the order of writing."),
        sa.Column("at", TIME, nullable=False, comment="UTC."),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who did it."),
        sa.Column(
            "action", sa.Text(), nullable=False, comment="What: a verb and its kind of object."
        ),
        sa.Column("object", sa.Text(), nullable=False, comment="To what: kind and key."),
        sa.Column(
            "reason", sa.Text(), nullable=False, comment="Why, in the actor's words; may be empty."
        ),
        sa.Column(
            "detail",
            sa.Text(),
            nullable=False,
            comment="JSON: before and after, as far as they matter.",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        comment="Append-only: a trigger refuses changes.",
    )
    op.create_index("ix_audit_object_id", "audit", ["object", "id"])
    for table in APPEND_ONLY:
        _refuse_changes(table)


def _create_usage() -> None:
    op.create_table(
        "usage",
        sa.Column(
            "subject",
            sa.Text(),
            nullable=False,
            comment="Kind and key of whom it counts against: user:alice.",
        ),
        sa.Column(
            "span",
            sa.Text(),
            nullable=False,
            comment="at-once: rates of open sessions; else rate × milliseconds.",
        ),
        sa.Column(
            "start",
            sa.Text(),
            nullable=False,
            comment="ISO day or month of the accounting zone; empty: at once.",
        ),
        sa.Column("gpu_model", sa.Text(), nullable=False, comment="Model key; empty: no GPU."),
        *_amounts(
            "As settled; at once: GPU percent.",
            "As settled; at once: millicores.",
            "As settled; at once: MiB.",
        ),
        sa.PrimaryKeyConstraint("subject", "span", "start", "gpu_model", name="pk_usage"),
        sa.CheckConstraint("span IN ('at-once', 'day', 'month')", name=op.f("ck_usage_span")),
        *(
            sa.CheckConstraint(f"{each} >= 0", name=op.f(f"ck_usage_{each}"))
            for each in (
                "settled_gpu",
                "settled_cpu",
                "settled_memory",
                "reserved_gpu",
                "reserved_cpu",
                "reserved_memory",
            )
        ),
        comment="Sums of the ledger, kept in the transactions that write it.",
    )


def _create_ledger() -> None:
    op.create_table(
        "ledger",
        sa.Column("id", ID, autoincrement=True, nullable=False, comment="In the order of writing."),
        sa.Column(
            "session_id",
            sa.Text(),
            nullable=False,
            comment="The session on whose account it is.",
        ),
        sa.Column("kind", sa.Text(), nullable=False, comment="What happened."),
        sa.Column("day", sa.Text(), nullable=False, comment="ISO day of the session's zone."),
        *_amounts("As settled; negative where it is let go.", "As settled.", "As settled."),
        sa.Column("recorded_at", TIME, nullable=False, comment="UTC."),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.CheckConstraint(
            "kind IN ('reserve', 'bind', 'settle', 'release')", name=op.f("ck_ledger_kind")
        ),
        comment="Append-only: a trigger refuses changes. Amounts are differences.",
    )
    op.create_index("ix_ledger_session_id", "ledger", ["session_id"])


def _amounts(gpu: str, cpu: str, memory: str) -> list[sa.Column[int]]:
    return [
        sa.Column(name, sa.BigInteger(), nullable=False, comment=comment)
        for name, comment in (
            ("settled_gpu", "GPU-milliseconds·percent."),
            ("settled_cpu", "Millicore-milliseconds."),
            ("settled_memory", "MiB-milliseconds."),
            ("reserved_gpu", gpu),
            ("reserved_cpu", cpu),
            ("reserved_memory", memory),
        )
    ]


def _refuse_changes(table: str) -> None:
    """Have the database itself keep *table* append-only."""
    if op.get_bind().dialect.name == "sqlite":
        for action in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER tr_{table}_{action.lower()} BEFORE {action} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION refuse_changes_of_{table}() RETURNS trigger LANGUAGE plpgsql AS $$ "
        f"BEGIN RAISE EXCEPTION '{table} is append-only'; END $$"
    )
    op.execute(
        f"CREATE TRIGGER tr_{table}_changes BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
        f"FOR EACH STATEMENT EXECUTE FUNCTION refuse_changes_of_{table}()"
    )


def downgrade() -> None:
    """Drop them, with everything in them."""
    for table in ("audit", "changes", "ledger", "usage"):
        op.drop_table(table)
    if op.get_bind().dialect.name == "postgresql":
        for table in APPEND_ONLY:
            op.execute(f"DROP FUNCTION refuse_changes_of_{table}()")
    for name in ("reserved_from", "zone", "organization", "group_key"):
        op.drop_column("sessions", name)
