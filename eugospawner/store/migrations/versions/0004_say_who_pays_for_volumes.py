"""
Say who pays for volumes.

Quotas of storage count volumes for a project, its group and its organization beside the owner.
Volumes that were made before count for their owner alone; the release before ignores the columns.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

COLUMNS = {
    "project": "Project it was made in. Absent: made before quotas of storage; its owner's alone.",
    "group_key": "Group that owned the project.",
    "organization": "Organization that paid.",
}


def upgrade() -> None:
    """Add them."""
    for name, comment in COLUMNS.items():
        op.add_column("volumes", sa.Column(name, sa.Text(), nullable=True, comment=comment))
        op.create_index(f"ix_volumes_{name}", "volumes", [name])


def downgrade() -> None:
    """Drop them."""
    for name in COLUMNS:
        op.drop_index(f"ix_volumes_{name}", table_name="volumes")
        op.drop_column("volumes", name)
