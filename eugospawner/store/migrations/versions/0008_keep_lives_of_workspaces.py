"""
Keep the lives of workspaces: their states, what ended and what failed, and a seal on the audit.

Until now the state of a workspace was whatever the hub had in memory. A workspace that exists gets the state
that its last session says; the release before knows no states and may write on meanwhile, so whatever it does
not write has a default. Lines of the audit that have no seal are sealed by the next that has one.
"""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
STATES = (
    "created", "starting", "running", "stopping", "stopped", "suspending", "suspended",
    "terminating", "terminated", "start-failed", "suspend-failed", "terminate-failed",
)  # fmt: skip
STOP = "(stop_at IS NULL) = (stop_reason IS NULL) AND (stop_at IS NULL) = (stop_by IS NULL)"
SEAL = (
    "SHA-256 of the seal before and of all lines since, this one included. Absent: the next "
    "line with a seal seals it."
)
WORKSPACES = (
    ("id", "TEXT", "Random, for good. Absent: last written by a release that knew none."),
    (
        "state",
        "VARCHAR(32) DEFAULT 'stopped' NOT NULL CONSTRAINT ck_workspaces_state CHECK (state IN ("
        + ", ".join(f"'{each}'" for each in STATES)
        + "))",
        "Where it is in its life.",
    ),
    ("since", "TIME", "UTC; when it came into the state. Absent: before states were kept."),
    ("because", "TEXT DEFAULT '' NOT NULL", "Machine reason of the state; may be empty."),
    ("said", "TEXT DEFAULT '' NOT NULL", "What is said of it beside the reason; may be empty."),
    ("actor", "TEXT DEFAULT '' NOT NULL", "Who brought it there; empty: nobody knows."),
    ("session_id", "TEXT", "Its last session. Absent: none yet."),
    (
        "failures",
        "BIGINT DEFAULT '0' NOT NULL CONSTRAINT ck_workspaces_failures CHECK (failures >= 0)",
        "Starts in a row that have failed.",
    ),
    (
        "remaining",
        "TEXT DEFAULT '' NOT NULL",
        "JSON: what a termination has not destroyed yet; empty: none is at work.",
    ),
)
SESSIONS = (
    ("plan", "TEXT", "Plan key. Absent: none, or begun before."),
    ("active_at", "TIME", "UTC; last sign of work in it. Absent: none was seen."),
    ("kept_at", "TIME", "UTC; somebody asked to keep it running. Absent: nobody did."),
    (
        "extended_ms",
        "BIGINT DEFAULT '0' NOT NULL CONSTRAINT ck_sessions_extended_ms CHECK (extended_ms >= 0)",
        "Milliseconds by which it may be longer than its profile says.",
    ),
    ("stop_at", "TIME", "UTC; it was asked to stop. Absent: it was not."),
    ("stop_reason", "TEXT", "Machine reason of that."),
    (
        "stop_by",
        f"TEXT CONSTRAINT ck_sessions_stop CHECK ({STOP})",
        "Who asked: a person or a service.",
    ),
    (
        "problem",
        "TEXT",
        "What was said of a start that failed. Absent: it did not, or nothing was.",
    ),
)
LEDGER = (("queue", "TEXT", "Queue on whose account it is. Absent: the session's."),)
AUDIT = (
    (
        "seal",
        "TEXT",
        SEAL,
    ),
)
#: Before and after.
COMMENTS = {
    "COLUMN workspaces.created_at": ("UTC; of the first start.", "UTC."),
    "COLUMN workspaces.changed_at": ("UTC; of the last start.", "UTC; of the last start or edit."),
    "TABLE workspaces": (
        "Servers of owners that were admitted and not removed since.",
        "Workspaces that were created or admitted and not removed since.",
    ),
}
COLUMNS = {"workspaces": WORKSPACES, "sessions": SESSIONS, "ledger": LEDGER, "audit": AUDIT}


def upgrade() -> None:
    """Add them, and work out the states of what exists."""
    for table, columns in COLUMNS.items():
        for column in columns:
            _add(table, *column)
    op.create_table(
        "former_workspaces",
        sa.Column("id", sa.Text(), nullable=False, comment="As it had while it existed."),
        sa.Column("owner", sa.Text(), nullable=False, comment="User name."),
        sa.Column(
            "server",
            sa.Text(),
            nullable=False,
            comment="Server name; empty for the default server.",
        ),
        sa.Column("project", sa.Text(), nullable=False, comment="Project key."),
        sa.Column("name", sa.Text(), nullable=False, comment="As people read it."),
        sa.Column(
            "options", sa.Text(), nullable=False, comment="JSON: what it was last started with."
        ),
        sa.Column("created_at", TIME, nullable=False, comment="UTC."),
        sa.Column("gone_at", TIME, nullable=False, comment="UTC."),
        sa.Column(
            "is_terminated",
            sa.Boolean(),
            nullable=False,
            comment="Whether its data was destroyed, too; else it was deleted and data is kept.",
        ),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who wanted it so."),
        sa.PrimaryKeyConstraint("id", name="pk_former_workspaces"),
        comment="Workspaces that are no more.",
    )
    op.create_index("ix_former_workspaces_owner_gone_at", "former_workspaces", ["owner", "gone_at"])
    op.create_table(
        "deployment_logs",
        sa.Column("session_id", sa.Text(), nullable=False, comment="The session it began."),
        sa.Column(
            "lines", sa.Text(), nullable=False, comment="JSON: times and sentences, in order."
        ),
        sa.PrimaryKeyConstraint("session_id", name="pk_deployment_logs"),
        comment="What was seen of starts; kept after their Pods are gone.",
    )
    op.create_index("uq_workspaces_id", "workspaces", ["id"], unique=True)
    op.create_index("ix_workspaces_state", "workspaces", ["state"])
    for what, (_, after) in COMMENTS.items():
        _comment(what, after)
    _work_out_states()


def _add(table: str, name: str, kind: str, comment: str) -> None:
    """Add a column with its CHECK in one statement, which SQLite takes, too."""
    is_sqlite = op.get_bind().dialect.name == "sqlite"
    if kind == "TIME":
        kind = "DATETIME" if is_sqlite else "TIMESTAMP WITH TIME ZONE"
    op.execute(f"ALTER TABLE {table} ADD COLUMN {name} {kind}")
    _comment(f"COLUMN {table}.{name}", comment)


def _comment(what: str, comment: str) -> None:
    if op.get_bind().dialect.name == "postgresql":
        quoted = comment.replace("'", "''")
        op.execute(f"COMMENT ON {what} IS '{quoted}'")


def _work_out_states() -> None:
    op.execute(
        "UPDATE workspaces SET session_id = (SELECT id FROM sessions WHERE "
        "sessions.owner = workspaces.owner AND sessions.workspace = workspaces.server "
        "ORDER BY admitted_at DESC, id DESC LIMIT 1)"
    )
    op.execute(
        "UPDATE workspaces SET state = (SELECT CASE "
        "WHEN ended_at IS NULL AND bound_at IS NULL THEN 'starting' "
        "WHEN ended_at IS NULL THEN 'running' ELSE 'stopped' END "
        "FROM sessions WHERE id = session_id) WHERE session_id IS NOT NULL"
    )
    op.execute(
        "UPDATE workspaces SET because = coalesce("
        "(SELECT end_reason FROM sessions WHERE id = session_id), ''), since = "
        "(SELECT coalesce(ended_at, bound_at, admitted_at) FROM sessions WHERE id = session_id)"
    )
    connection = op.get_bind()
    table = sa.table("workspaces", *(sa.column(name) for name in ("owner", "server", "id")))
    for row in connection.execute(sa.select(table.c.owner, table.c.server)).all():
        connection.execute(
            sa.update(table)
            .where(table.c.owner == row.owner, table.c.server == row.server)
            .values(id=uuid.uuid4().hex)
        )


def downgrade() -> None:
    """Drop them; what was destroyed stays so."""
    op.drop_table("deployment_logs")
    op.drop_table("former_workspaces")
    op.drop_index("ix_workspaces_state", table_name="workspaces")
    op.drop_index("uq_workspaces_id", table_name="workspaces")
    for what, (before, _) in COMMENTS.items():
        _comment(what, before)
    for table, columns in reversed(COLUMNS.items()):
        for name, _, _ in reversed(columns):
            op.drop_column(table, name)
