"""Alembic's environment; the connection comes from `mintaka_history.migrating`, or from the tests."""

from alembic import context

from mintaka_history.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
