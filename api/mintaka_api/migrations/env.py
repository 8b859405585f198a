"""What alembic runs; the connection comes from `mintaka_api.migrating`, or from the tests."""

from alembic import context

from mintaka_api.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, transactional_ddl=False)
context.run_migrations()
