"""The baseline: nothing was released before it."""

from alembic import op

from mintaka_history.migrating import create

revision = "0010"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    create(op.get_bind())


def downgrade() -> None:
    message = "there is nothing before the baseline"
    raise NotImplementedError(message)
