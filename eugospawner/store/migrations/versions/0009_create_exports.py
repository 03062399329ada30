"""
Create exports.

What somebody takes away of a workspace is on record from the wish to the last download, so that whoever
prepares it can go on after a crash, and a link can be taken back. The release before knows none of it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def _text(name: str, comment: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, comment=comment)


def _number(name: str, comment: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False, comment=comment)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "exports",
        _text("id", "Random."),
        _text("owner", "User name: whose workspace."),
        _text("server", "Server name; empty for the default server."),
        _text("creator", "User name: who takes it, and nobody else."),
        _text("choice", "JSON: by volume, folder and whether notebooks alone."),
        _text("name", "Name of the file that is downloaded."),
        _text("secret", "Key of the link's signature, hexadecimal."),
        _text("state", "preparing, ready or failed."),
        sa.Column("created_at", TIME, nullable=False, comment="UTC."),
        sa.Column(
            "expires_at", TIME, nullable=True, comment="UTC; the link's end. Absent: no link."
        ),
        sa.Column("revoked_at", TIME, nullable=True, comment="UTC. Absent: it was not."),
        _text("revoked_by", "User name; empty: nobody."),
        _number("files", "Number of files."),
        _number("size_bytes", "Bytes before packing."),
        _text("summary", "JSON: what was left out, and the first files."),
        _text("problem", "Why it failed; or empty."),
        _number("downloads", "How often it was fetched to its end."),
        sa.Column("downloaded_at", TIME, nullable=True, comment="UTC; the last time."),
        sa.CheckConstraint("state IN ('preparing', 'ready', 'failed')", name="state"),
        sa.CheckConstraint("files >= 0 AND size_bytes >= 0 AND downloads >= 0", name="amounts"),
        sa.CheckConstraint("(state = 'ready') = (expires_at IS NOT NULL)", name="expires_at"),
        sa.PrimaryKeyConstraint("id", name="pk_exports"),
        comment="Exports of workspaces: what was chosen, and until when it can be fetched.",
    )
    op.create_index("ix_exports_creator", "exports", ["creator", "created_at"])
    op.create_index("ix_exports_owner", "exports", ["owner", "created_at"])
    op.create_index("ix_exports_state", "exports", ["state", "expires_at"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("exports")
