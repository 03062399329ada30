"""Alembic's migrations: one line of history in `versions`, driven by `eugospawner.store.schema`."""
