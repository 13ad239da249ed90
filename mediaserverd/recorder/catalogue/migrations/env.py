"""Run by Alembic: applies the steps in ``versions`` on the connection that ``database`` gives."""

from __future__ import annotations

from alembic import context

from mediaserverd.recorder.catalogue.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite cannot alter most of a table in place
    transaction_per_migration=False,
)
with context.begin_transaction():
    context.run_migrations()
