"""Concurrency limits, and the leases of their slots."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "concurrency_limits",
        sa.Column("name", _NAME, nullable=False),
        sa.Column("created", _BIG, nullable=False),
        sa.Column("updated", _BIG, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("decay_per_second", sa.Double(), nullable=False),
        sa.Column("taken", sa.Double(), nullable=False),
        sa.Column("taken_time", _BIG, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_concurrency_limits")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "concurrency_leases",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("asked", _BIG, nullable=False),
        sa.Column("granted", _BIG, nullable=True),
        sa.Column("expires", _BIG, nullable=False),
        sa.Column("slots", sa.Integer(), nullable=False),
        sa.Column("holder", _BIG, nullable=True),
        sa.Column("flow_run", sa.Uuid(as_uuid=False), nullable=True),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("who", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", "name", name=op.f("pk_concurrency_leases")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_concurrency_leases_name_asked"), "concurrency_leases", ["name", "asked"], unique=False)


def downgrade() -> None:
    op.drop_table("concurrency_leases")
    op.drop_table("concurrency_limits")
