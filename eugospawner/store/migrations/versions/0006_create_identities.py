"""
Create identities, provider sessions and spent logout tokens.

An account belongs to whom the provider calls by a name that never changes, so that a user name which
is given to somebody else one day brings them nothing of the account before. Sessions at the provider are
kept so that it can end them here, and logout tokens so that each does so once. The release before knows
none of it.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Create them."""
    op.create_table(
        "identities",
        sa.Column("issuer", sa.Text(), nullable=False, comment="Who vouches for them."),
        sa.Column("subject", sa.Text(), nullable=False, comment="The issuer's unchanging name."),
        sa.Column("username", sa.Text(), nullable=False, comment="Their name here, for good."),
        sa.Column("first_seen_at", TIME, nullable=False, comment="UTC."),
        sa.PrimaryKeyConstraint("issuer", "subject", name="pk_identities"),
        sa.UniqueConstraint("username", name="uq_identities_username"),
        comment="Whose account is whose.",
    )
    op.create_table(
        "provider_sessions",
        sa.Column("issuer", sa.Text(), nullable=False, comment="Who vouches for them."),
        sa.Column("session", sa.Text(), nullable=False, comment="The issuer's name of it."),
        sa.Column("username", sa.Text(), nullable=False, comment="Who signed in by it."),
        sa.Column("signed_in_at", TIME, nullable=False, comment="UTC; the last time."),
        sa.PrimaryKeyConstraint("issuer", "session", name="pk_provider_sessions"),
        comment="Sessions at providers by which somebody signed in; the oldest are forgotten.",
    )
    op.create_index("ix_provider_sessions_signed_in_at", "provider_sessions", ["signed_in_at"])
    op.create_table(
        "logout_tokens",
        sa.Column("issuer", sa.Text(), nullable=False, comment="Who sent it."),
        sa.Column("identifier", sa.Text(), nullable=False, comment="Its own name."),
        sa.Column("expires_at", TIME, nullable=False, comment="UTC; forgotten afterwards."),
        sa.PrimaryKeyConstraint("issuer", "identifier", name="pk_logout_tokens"),
        comment="Logout tokens that were obeyed, against replays.",
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("logout_tokens")
    op.drop_table("provider_sessions")
    op.drop_table("identities")
