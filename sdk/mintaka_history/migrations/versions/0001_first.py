"""The first schema."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_NAME = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "flow_deployments",
        sa.Column("uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("ns", sa.Integer(), nullable=False),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("resource_version", _BIG, nullable=False),
        sa.Column("created", _BIG, nullable=False),
        sa.Column("deleted", _BIG, nullable=True),
        sa.Column("generation", _BIG, nullable=False),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("spec", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("uid", name=op.f("pk_flow_deployments")),
    )
    op.create_index(op.f("ix_flow_deployments_created_uid"), "flow_deployments", ["created", "uid"], unique=False)
    op.create_index(op.f("ix_flow_deployments_name_uid"), "flow_deployments", ["name", "uid"], unique=False)
    op.create_table(
        "flow_run_tags",
        sa.Column("created", _BIG, nullable=False),
        sa.Column("flow_run", _BIG, nullable=False),
        sa.Column("tag", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("tag", "created", "flow_run", name=op.f("pk_flow_run_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flow_run_transitions",
        sa.Column("flow_run", _BIG, nullable=False),
        sa.Column("at", _BIG, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("from_state", sa.SmallInteger(), nullable=True),
        sa.Column("to_state", sa.SmallInteger(), nullable=False),
        sa.Column("proposed", sa.SmallInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("rule", sa.Text(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("flow_run", "seq", name=op.f("pk_flow_run_transitions")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "flow_runs",
        sa.Column("no", _BIG, autoincrement=False, nullable=False),
        sa.Column("uid", sa.Uuid(as_uuid=False), nullable=False),
        sa.Column("created", _BIG, nullable=False),
        sa.Column("scheduled", _BIG, nullable=True),
        sa.Column("started", _BIG, nullable=True),
        sa.Column("ended", _BIG, nullable=True),
        sa.Column("deleted", _BIG, nullable=True),
        sa.Column("state_time", _BIG, nullable=True),
        sa.Column("resource_version", _BIG, server_default="0", nullable=False),
        sa.Column("ns", sa.Integer(), nullable=False),
        sa.Column("deployment", sa.Integer(), nullable=True),
        sa.Column("sequence", sa.Integer(), server_default="0", nullable=False),
        sa.Column("attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("failures", sa.Integer(), server_default="0", nullable=False),
        sa.Column("crashes", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reported_attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("reported", sa.Integer(), server_default="0", nullable=False),
        sa.Column("final_attempt", sa.Integer(), server_default="0", nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("gap", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("history_condition", sa.Boolean(), nullable=True),
        sa.Column("name", _NAME, nullable=False),
        sa.Column("state_name", sa.Text(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("pod", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("counts", sa.Text(), nullable=True),
        sa.Column("parameters", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("no", name=op.f("pk_flow_runs")),
        sa.UniqueConstraint("uid", name=op.f("uq_flow_runs_uid")),
    )
    op.create_index(op.f("ix_flow_runs_created_no"), "flow_runs", ["created", "no"], unique=False)
    op.create_index(op.f("ix_flow_runs_deployment_created"), "flow_runs", ["deployment", "created"], unique=False)
    op.create_index(
        "ix_flow_runs_live",
        "flow_runs",
        ["ns"],
        unique=False,
        sqlite_where=sa.text("deleted IS NULL"),
        postgresql_where=sa.text("deleted IS NULL"),
    )
    op.create_index(op.f("ix_flow_runs_name_ns"), "flow_runs", ["name", "ns"], unique=False)
    op.create_index(op.f("ix_flow_runs_ns_created"), "flow_runs", ["ns", "created"], unique=False)
    op.create_index(
        "ix_flow_runs_unfinished",
        "flow_runs",
        ["state", "created"],
        unique=False,
        sqlite_where=sa.text("state <> 4"),
        postgresql_where=sa.text("state <> 4"),
    )
    op.create_table(
        "logs",
        sa.Column("flow_run", _BIG, nullable=False),
        sa.Column("at", _BIG, nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=True),
        sa.Column("logger", sa.Integer(), nullable=True),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("level", sa.SmallInteger(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("flow_run", "attempt", "seq", name=op.f("pk_logs")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "names",
        sa.Column("id", sa.Integer(), sa.Identity(always=False), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("value", _NAME, nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_names")),
        sa.UniqueConstraint("kind", "value", name=op.f("uq_names_kind_value")),
    )
    op.create_table(
        "task_run_tags",
        sa.Column("created", _BIG, nullable=False),
        sa.Column("flow_run", _BIG, nullable=False),
        sa.Column("tag", sa.Integer(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tag", "created", "flow_run", "attempt", "n", name=op.f("pk_task_run_tags")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "task_runs",
        sa.Column("flow_run", _BIG, nullable=False),
        sa.Column("created", _BIG, nullable=False),
        sa.Column("started", _BIG, nullable=True),
        sa.Column("ended", _BIG, nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("ns", sa.Integer(), nullable=False),
        sa.Column("task", sa.Integer(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("parent", sa.Integer(), nullable=True),
        sa.Column("runs", sa.Integer(), nullable=False),
        sa.Column("attempt", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("subflow", sa.Boolean(), nullable=False),
        sa.Column("state_name", sa.Text(), nullable=True),
        sa.Column("name", _NAME, nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("message", sa.Text(), nullable=True),
        sa.Column("upstream", sa.Text(), nullable=True),
        sa.Column("tags", sa.Text(), nullable=True),
        sa.Column("history", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("flow_run", "attempt", "n", name=op.f("pk_task_runs")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_task_runs_created"), "task_runs", ["created"], unique=False)
    op.create_index(
        "ix_task_runs_named",
        "task_runs",
        ["name"],
        unique=False,
        sqlite_where=sa.text("name IS NOT NULL"),
        postgresql_where=sa.text("name IS NOT NULL"),
    )
    op.create_index(op.f("ix_task_runs_ns_created"), "task_runs", ["ns", "created"], unique=False)
    op.create_index(op.f("ix_task_runs_task_created"), "task_runs", ["task", "created"], unique=False)
    op.create_index(
        "ix_task_runs_unfinished",
        "task_runs",
        ["state", "created"],
        unique=False,
        sqlite_where=sa.text("state <> 4"),
        postgresql_where=sa.text("state <> 4"),
    )
