"""
Measure and resize volumes.

What a volume held when it was last looked at, so that people are warned before it is full; and which volumes are to have
another size, until Kubernetes has been told. The release before knows neither.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def _bytes(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, comment=comment)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "measures",
        _text("owner", "User name."),
        _text("volume", "Its key among the owner's; empty for the home."),
        sa.Column(
            "wanted_at",
            TIME,
            nullable=True,
            comment="UTC; since when it is to be measured. Absent: it is not.",
        ),
        sa.Column("looked_at", TIME, nullable=True, comment="UTC; the last try. Absent: none yet."),
        sa.Column(
            "measured_at", TIME, nullable=True, comment="UTC; of the amounts. Absent: never."
        ),
        _bytes("capacity_bytes", "Size that Kubernetes gave it, as of then."),
        _bytes("used_bytes", "What it held."),
        _bytes("free_bytes", "What its disk had free, which it may share with others."),
        sa.Column("files", sa.BigInteger(), nullable=False, comment="Number of files."),
        _text("summary", "JSON: the largest folders, and those that could go."),
        _text("problem", "Why the last try failed; or empty."),
        sa.CheckConstraint(
            "capacity_bytes >= 0 AND used_bytes >= 0 AND free_bytes >= 0 AND files >= 0",
            name="amounts",
        ),
        sa.PrimaryKeyConstraint("owner", "volume", name="pk_measures"),
        comment="What volumes held when they were last looked at, homes among them.",
    )
    op.create_index("ix_measures_wanted_at", "measures", ["wanted_at"])
    op.create_table(
        "resizes",
        _text("owner", "User name."),
        _text("volume", "Its key among the owner's; empty for the home."),
        _bytes("size_bytes", "Size that it is to have."),
        _bytes("former_bytes", "Size that it had."),
        _text("actor", "User name: who wants it."),
        sa.Column("at", TIME, nullable=False, comment="UTC."),
        sa.CheckConstraint("size_bytes > former_bytes", name="size_bytes"),
        sa.PrimaryKeyConstraint("owner", "volume", name="pk_resizes"),
        comment="Volumes that are to be larger, until Kubernetes has been told.",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("resizes")
    op.drop_table("measures")
