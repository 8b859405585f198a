"""The verdicts of all rules on a transition."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("flow_run_transitions", sa.Column("trail", sa.Text(), nullable=True))


def downgrade() -> None:
    op.drop_column("flow_run_transitions", "trail")
