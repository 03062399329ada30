"""
Create shares.

A document that was made of a notebook is kept here for as long as others may read it: so readers never touch a
volume, and what they saw does not change under them. The release before knows none of it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "shares",
        _text("id", "Random."),
        _text("owner", "User name: whose workspace the notebook is in."),
        _text("server", "Server name; empty for the default server."),
        _text("creator", "User name: who shares it."),
        _text("notebook", "Where the notebook is, as people read it."),
        _text("form", "html or pdf."),
        _text("name", "Name of the file."),
        _text("people", "JSON: user names that may read it."),
        _text("groups", "JSON: keys of groups whose members may."),
        _text("organization", "Key of the organization whose members may; empty: none."),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False, comment="Of the document."),
        sa.Column(
            "document",
            sa.LargeBinary(),
            nullable=True,
            comment="As it was shared. Absent: it has ended.",
        ),
        sa.Column("created_at", TIME, nullable=False, comment="UTC."),
        sa.Column("expires_at", TIME, nullable=False, comment="UTC; cannot be read from then on."),
        sa.Column("revoked_at", TIME, nullable=True, comment="UTC. Absent: it was not."),
        _text("revoked_by", "User name; empty: nobody."),
        sa.CheckConstraint("form IN ('html', 'pdf')", name="form"),
        sa.CheckConstraint("size_bytes >= 0", name="size_bytes"),
        sa.PrimaryKeyConstraint("id", name="pk_shares"),
        comment="Documents made of notebooks that others may read.",
    )
    op.create_index("ix_shares_creator", "shares", ["creator", "created_at"])
    op.create_index("ix_shares_expires_at", "shares", ["expires_at"])


def downgrade() -> None:
    """Drop them, and what they hold."""
    op.drop_table("shares")
