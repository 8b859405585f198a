"""The baseline: nothing was released before it. Its statements are frozen as text (`mintaka_history.baseline`)."""

from alembic import op

from mintaka_history import baseline

revision = "0010"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    connection = op.get_bind()
    for statement in baseline.statements(connection.dialect.name):
        connection.exec_driver_sql(statement, execution_options={"no_parameters": True})
