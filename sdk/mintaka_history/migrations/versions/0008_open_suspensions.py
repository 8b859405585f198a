"""An index of unanswered suspensions by deadline: overdue ones are queried every few seconds."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_OPEN = sa.text("suspended = true AND answered IS NULL AND ended IS NULL")


def upgrade() -> None:
    op.create_index("ix_pauses_open_suspensions", "pauses", ["deadline"], sqlite_where=_OPEN, postgresql_where=_OPEN)


def downgrade() -> None:
    op.drop_index("ix_pauses_open_suspensions", "pauses")
