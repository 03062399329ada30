"""
Create invitations.

Somebody is invited by address before they have an account here; the link that is sent holds a token of which
only the hash is kept. The release before knows none of it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "invitations",
        sa.Column("id", sa.Text(), nullable=False, comment="Random."),
        sa.Column("email", sa.Text(), nullable=False, comment="In small letters."),
        sa.Column("organization", sa.Text(), nullable=False, comment="Its key."),
        sa.Column("roles", sa.Text(), nullable=False, comment="JSON: keys of roles."),
        sa.Column("quotas", sa.Text(), nullable=False, comment="JSON: quotas without whose."),
        sa.Column("token_hash", sa.Text(), nullable=False, comment="SHA-256 of the link's token."),
        sa.Column("created_by", sa.Text(), nullable=False, comment="Who invites."),
        sa.Column("created_at", TIME, nullable=False, comment="UTC."),
        sa.Column("expires_at", TIME, nullable=False, comment="UTC; of no use from then on."),
        sa.Column("sent_at", TIME, nullable=True, comment="UTC; when the link was last sent."),
        sa.Column("problem", sa.Text(), nullable=False, comment="Why it was not sent; or empty."),
        sa.Column("revoked_at", TIME, nullable=True, comment="UTC."),
        sa.Column("redeemed_at", TIME, nullable=True, comment="UTC."),
        sa.Column("redeemed_by", sa.Text(), nullable=False, comment="User name; empty: nobody."),
        sa.PrimaryKeyConstraint("id", name="pk_invitations"),
        sa.UniqueConstraint("token_hash", name="uq_invitations_token_hash"),
        comment="Invitations to organizations; each is redeemed once.",
    )
    op.create_index("ix_invitations_email", "invitations", ["email"])
    op.create_index("ix_invitations_organization", "invitations", ["organization", "created_at"])
    op.create_index("ix_invitations_redeemed_by", "invitations", ["redeemed_by"])


def downgrade() -> None:
    """Drop them."""
    op.drop_table("invitations")
