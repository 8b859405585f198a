"""Alembic's environment; the connection comes from `mintaka_history.migrating`, or from the tests.

A connection without a transaction gets one for each migration, which a migration may interrupt (`schema_changes.create_index`).
"""

from alembic import context

from mintaka_history.tables import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    transaction_per_migration=True,
    transactional_ddl=connection.dialect.name == "postgresql",
)
with context.begin_transaction():
    context.run_migrations()
