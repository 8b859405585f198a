"""Runs outside of clusters, artifacts."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("flow_runs", sa.Column("flow", sa.Integer(), nullable=True))
    op.add_column("flow_runs", sa.Column("holder", _BIG, nullable=True))
    op.create_table(
        "artifacts",
        sa.Column("id", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("flow_run", _BIG, nullable=False),
        sa.Column("created", _BIG, nullable=False),
        sa.Column("updated", _BIG, nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", _NAME, nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("data", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_artifacts")),
    )
    op.create_index(op.f("ix_artifacts_created_id"), "artifacts", ["created", "id"], unique=False)
    op.create_index(op.f("ix_artifacts_flow_run_created_id"), "artifacts", ["flow_run", "created", "id"], unique=False)
    op.create_index("ix_artifacts_key", "artifacts", ["key", "created", "id"], unique=False)


def downgrade() -> None:
    op.drop_table("artifacts")
    op.drop_column("flow_runs", "holder")
    op.drop_column("flow_runs", "flow")
