"""Log lines are numbered in steps that leave room for lines of containers between them: 32 bits are too few for that."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":  # SQLite's integers have up to 64 bits already
        op.alter_column("logs", "seq", type_=sa.BigInteger(), existing_type=sa.Integer(), existing_nullable=False)


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("logs", "seq", type_=sa.Integer(), existing_type=sa.BigInteger(), existing_nullable=False)
