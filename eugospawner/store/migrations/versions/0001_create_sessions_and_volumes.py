"""
Create the tables of sessions and volumes.

The first migration: what the first workspace needs. Times are text on SQLite, `timestamptz` on
PostgreSQL; nothing here may import the models, which go on changing while this must not.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create both."""
    op.create_table(
        "volumes",
        sa.Column("owner", sa.Text(), nullable=False, comment="User name."),
        sa.Column(
            "key",
            sa.Text(),
            nullable=False,
            comment="The owner's name for it; requests name it so.",
        ),
        sa.Column(
            "claim_name", sa.Text(), nullable=False, comment="Name of its PersistentVolumeClaim."
        ),
        sa.Column(
            "size_bytes", sa.BigInteger(), nullable=False, comment="Size asked for, in bytes."
        ),
        sa.Column("created_at", TIME, nullable=False, comment="UTC."),
        sa.PrimaryKeyConstraint("owner", "key", name="pk_volumes"),
        sa.UniqueConstraint("claim_name", name="uq_volumes_claim_name"),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_volumes_size_bytes")),
        comment="Extra volumes of owners, beside the home that every owner has.",
    )
    op.create_table(
        "sessions",
        sa.Column(
            "id",
            sa.Text(),
            nullable=False,
            comment="Made by the spawner for each start; also a label of the Pod.",
        ),
        sa.Column("owner", sa.Text(), nullable=False, comment="User whose workspace it is."),
        sa.Column(
            "workspace",
            sa.Text(),
            nullable=False,
            comment="Server name; empty for the default server.",
        ),
        sa.Column(
            "actor",
            sa.Text(),
            nullable=False,
            comment="Who asked: the owner, or an admin for them.",
        ),
        sa.Column("project", sa.Text(), nullable=False, comment="Project key."),
        sa.Column("profile", sa.Text(), nullable=False, comment="Profile key of the catalog."),
        sa.Column("flavor", sa.Text(), nullable=False, comment="Flavor key of the catalog."),
        sa.Column("kind", sa.String(32), nullable=False, comment="What runs in the workspace."),
        sa.Column("queue", sa.Text(), nullable=False, comment="Queue key."),
        sa.Column("image", sa.Text(), nullable=False, comment="Exact reference."),
        sa.Column("gpu_model", sa.Text(), nullable=True, comment="Model key; absent: no GPU."),
        sa.Column("gpu_count", sa.BigInteger(), nullable=False, comment="Devices asked for."),
        sa.Column(
            "sm_percent",
            sa.BigInteger(),
            nullable=False,
            comment="Share of each device, 1 to 100; 0 or 100 without one.",
        ),
        sa.Column(
            "requested_percent",
            sa.BigInteger(),
            nullable=False,
            comment="GPU percent charged until the allocation is known.",
        ),
        sa.Column(
            "cpu_millicores", sa.BigInteger(), nullable=False, comment="Limit, in millicores."
        ),
        sa.Column("memory_bytes", sa.BigInteger(), nullable=False, comment="Limit, in bytes."),
        sa.Column("pod_name", sa.Text(), nullable=False, comment="Name of the session's Pod."),
        sa.Column("admitted_at", TIME, nullable=False, comment="UTC; the start was admitted."),
        sa.Column("ends_at", TIME, nullable=True, comment="UTC deadline; absent: none."),
        sa.Column(
            "ends_because", sa.Text(), nullable=True, comment="What the deadline comes from."
        ),
        sa.Column(
            "bound_at",
            TIME,
            nullable=True,
            comment="UTC; the Pod was ready and its allocation read. Absent: not yet, or never.",
        ),
        sa.Column(
            "granted_percent",
            sa.BigInteger(),
            nullable=True,
            comment="GPU percent that the allocation really consumes.",
        ),
        sa.Column("ended_at", TIME, nullable=True, comment="UTC. Absent: the session is open."),
        sa.Column("end_reason", sa.Text(), nullable=True, comment="Machine reason of the end."),
        sa.PrimaryKeyConstraint("id", name="pk_sessions"),
        *(
            sa.CheckConstraint(rule, name=op.f(f"ck_sessions_{name}"))
            for name, rule in {
                "kind": "kind IN ('jupyterlab', 'vscode', 'custom')",
                "gpu_count": "gpu_count >= 0",
                "gpu_model": "gpu_count = 0 OR gpu_model IS NOT NULL",
                "sm_percent": (
                    "sm_percent <= 100 AND sm_percent >= CASE WHEN gpu_count = 0 THEN 0 ELSE 1 END"
                ),
                "requested_percent": "requested_percent >= 0",
                "granted_percent": "granted_percent >= 0",
                "cpu_millicores": "cpu_millicores >= 0",
                "memory_bytes": "memory_bytes >= 0",
                "deadline": "(ends_at IS NULL) = (ends_because IS NULL)",
                "bound": "(bound_at IS NULL) = (granted_percent IS NULL)",
                "ended": "(ended_at IS NULL) = (end_reason IS NULL)",
                "bound_after_admitted": "bound_at >= admitted_at",
                "ended_after_admitted": "ended_at >= admitted_at",
            }.items()
        ),
        comment="Runs of workspaces; one that has not ended is open.",
    )
    op.create_index(
        "uq_sessions_open",
        "sessions",
        ["owner", "workspace"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_index("ix_sessions_owner_admitted_at", "sessions", ["owner", "admitted_at"])


def downgrade() -> None:
    """Drop both."""
    op.drop_table("sessions")
    op.drop_table("volumes")
