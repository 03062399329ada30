"""
Create consumption, marks and refusals, and keep the words of each session.

Consumption is the ledger by session and day, so that a page need not read millions of entries; a
mark says how far the ledger is in it. Refused requests, and the words of admitted ones, are what a
changed plan is tried on before it holds (L11). The release before writes none of it; the roll-up
catches up by itself.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)
ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
AMOUNTS = {
    "settled_gpu": "GPU-milliseconds·percent.",
    "settled_cpu": "Millicore-milliseconds.",
    "settled_memory": "MiB-milliseconds.",
    "reserved_gpu": "As settled.",
    "reserved_cpu": "As settled.",
    "reserved_memory": "As settled.",
}
PAYERS = ("owner", "project", "group_key", "organization")


def upgrade() -> None:
    """Create them."""
    op.add_column(
        "sessions",
        sa.Column(
            "options",
            sa.Text(),
            nullable=True,
            comment="JSON: the words of the request, without the name. Absent: begun before.",
        ),
    )
    op.create_table(
        "consumption",
        sa.Column("session_id", sa.Text(), nullable=False, comment="The session."),
        sa.Column("day", sa.Text(), nullable=False, comment="ISO day of the session's zone."),
        sa.Column("owner", sa.Text(), nullable=False, comment="User whose workspace it is."),
        sa.Column("workspace", sa.Text(), nullable=False, comment="Server name."),
        sa.Column("project", sa.Text(), nullable=False, comment="Project key."),
        sa.Column("group_key", sa.Text(), comment="Group that owns the project."),
        sa.Column("organization", sa.Text(), comment="Organization that pays."),
        sa.Column("gpu_model", sa.Text(), nullable=False, comment="Model key; empty: no GPU."),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False, comment=comment)
            for name, comment in AMOUNTS.items()
        ),
        sa.PrimaryKeyConstraint("session_id", "day", name="pk_consumption"),
        comment="The ledger by session and day, up to the entry that the mark names.",
    )
    for name in PAYERS:
        op.create_index(f"ix_consumption_{name}_day", "consumption", [name, "day"])
    op.create_table(
        "marks",
        sa.Column("name", sa.Text(), nullable=False, comment="What is marked."),
        sa.Column("value", sa.BigInteger(), nullable=False, comment="How far it is."),
        sa.PrimaryKeyConstraint("name", name="pk_marks"),
        comment="How far something that goes on is.",
    )
    op.create_table(
        "refusals",
        sa.Column("id", ID, autoincrement=True, nullable=False, comment="In the order of writing."),
        sa.Column("at", TIME, nullable=False, comment="UTC."),
        sa.Column("owner", sa.Text(), nullable=False, comment="Whose workspace was to start."),
        sa.Column("workspace", sa.Text(), nullable=False, comment="Server name."),
        sa.Column("actor", sa.Text(), nullable=False, comment="Who asked."),
        sa.Column("reason", sa.Text(), nullable=False, comment="Machine reason of the answer."),
        sa.Column(
            "options",
            sa.Text(),
            nullable=True,
            comment="JSON: the words of the request. Absent: too many to keep.",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_refusals"),
        comment="Requests that were refused; the oldest are forgotten.",
    )
    op.create_index("ix_refusals_at", "refusals", ["at"])
    op.create_index("ix_sessions_admitted_at", "sessions", ["admitted_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("ix_sessions_admitted_at", table_name="sessions")
    op.drop_table("refusals")
    op.drop_table("marks")
    op.drop_table("consumption")
    op.drop_column("sessions", "options")
