"""What migrations call instead of alembic's operations if those would stop readers or writers; see migrations/README.md.

PostgreSQL builds an index CONCURRENTLY, outside of a transaction; on a partitioned table it does so for each partition, whose index is
then attached. What an interrupted attempt has left is completed or built again, so a migration may be repeated.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from alembic import op
from sqlalchemy import text

if TYPE_CHECKING:
    from sqlalchemy import Connection

_PARTITIONED = "SELECT relkind = 'p' FROM pg_class WHERE oid = to_regclass(:name)"
_PARTITIONS = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = to_regclass(:name) ORDER BY 1"
_VALID = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass(:name)"
#: The index of a partition that is attached to the partitioned table's index.
_ATTACHED = """
SELECT x.indexrelid IS NOT NULL FROM pg_inherits i JOIN pg_index x ON x.indexrelid = i.inhrelid
WHERE i.inhparent = to_regclass(:index) AND x.indrelid = to_regclass(:partition)
"""
_LONGEST_NAME = 63


def create_index(name: str, table: str, columns: str, *, unique: bool = False, where: str = "") -> None:
    """Create the index `name` over `columns` (as SQL, `"ns, created"`) of rows for which `where` holds, without stopping writers."""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    rest = f"({columns})" + (f" WHERE {where}" if where else "")
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        op.execute(f"CREATE {kind} IF NOT EXISTS {name} ON {table} {rest}")
    elif not connection.scalar(text(_PARTITIONED), {"name": table}):
        with op.get_context().autocommit_block():
            _build(op.get_bind(), name, kind, table, rest)
    else:
        # From now on new partitions get an index by themselves; the parent's becomes valid when all others are attached.
        op.execute(f"CREATE {kind} IF NOT EXISTS {name} ON ONLY {table} {rest}")
        for partition in connection.scalars(text(_PARTITIONS), {"name": table}).all():
            _attach(name, kind, partition, rest)


def require(oldest: str) -> None:
    """Let no code whose own revision is older than `oldest` use the schema from now on; the last step of a contraction."""
    op.execute(text("UPDATE schema_compatibility SET oldest = :oldest").bindparams(oldest=oldest))


def _attach(name: str, kind: str, partition: str, rest: str) -> None:
    if op.get_bind().scalar(text(_ATTACHED), {"index": name, "partition": partition}):
        return
    part = f"{partition}_{name}"[:_LONGEST_NAME]
    with op.get_context().autocommit_block():
        _build(op.get_bind(), part, kind, partition, rest)
    op.execute(f"ALTER INDEX {name} ATTACH PARTITION {part}")


def _build(connection: Connection, name: str, kind: str, table: str, rest: str) -> None:
    """Build an index outside of a transaction, where no `lock_timeout` holds: it waits for older transactions, but stops no one."""
    valid = connection.scalar(text(_VALID), {"name": name})
    if valid is False:
        connection.exec_driver_sql(f"DROP INDEX CONCURRENTLY {name}")
    if not valid:
        connection.exec_driver_sql(f"CREATE {kind} CONCURRENTLY {name} ON {table} {rest}")
