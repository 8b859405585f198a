"""Pauses that other processes than the run's own can end."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "pauses",
        sa.Column("flow_run", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created", _BIG, nullable=False),
        sa.Column("deadline", _BIG, nullable=True),
        sa.Column("answered", _BIG, nullable=True),
        sa.Column("ended", _BIG, nullable=True),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("key", _NAME, nullable=False),
        sa.Column("schema", sa.Text(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("refusal", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("flow_run", "key", name=op.f("pk_pauses")),
    )


def downgrade() -> None:
    op.drop_table("pauses")
