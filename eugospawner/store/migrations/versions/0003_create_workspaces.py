"""
Create workspaces.

Servers of owners have a name for people, unique in the project, and what they were last started
with (F3, F36). Servers that were started before have no record until they are started again, which
takes nothing from them; the release before knows no names and writes none.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "workspaces",
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
            "name_key",
            sa.Text(),
            nullable=False,
            comment="The name without case; unique in the project.",
        ),
        sa.Column(
            "options",
            sa.Text(),
            nullable=False,
            comment="JSON: the words of the last admitted start, without the name.",
        ),
        sa.Column("created_at", TIME, nullable=False, comment="UTC; of the first start."),
        sa.Column("changed_at", TIME, nullable=False, comment="UTC; of the last start."),
        sa.PrimaryKeyConstraint("owner", "server", name="pk_workspaces"),
        comment="Servers of owners that were admitted and not removed since.",
    )
    op.create_index(
        "uq_workspaces_project_name_key", "workspaces", ["project", "name_key"], unique=True
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("workspaces")
