"""
What Alembic runs for every command: migrations on the connection that `schema` hands over.

The connection is in a transaction already, as its only writer, and `schema` commits it.
"""

from __future__ import annotations

from alembic import context

from eugospawner.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite cannot alter a column: Alembic then makes the table anew.
    render_as_batch=True,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
