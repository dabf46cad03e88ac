"""Run by alembic: the connection comes from ``gridcwl.service.db_opening``."""

from alembic import context

from gridcwl.service.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
