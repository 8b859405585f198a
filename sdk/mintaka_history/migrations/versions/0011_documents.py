"""The documents of a local server, with their owners and the counter of their versions."""

from alembic import op
from sqlalchemy import BigInteger, Column, Index, Integer, PrimaryKeyConstraint, SmallInteger, Text, UniqueConstraint, Uuid

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_BIG = BigInteger().with_variant(Integer(), "sqlite")
_NAME = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "documents",
        Column("kind", _NAME, nullable=False),
        Column("ns", _NAME, nullable=False),
        Column("name", _NAME, nullable=False),
        Column("uid", Uuid(as_uuid=False), nullable=False),
        Column("version", _BIG, nullable=False),
        Column("generation", _BIG, nullable=False),
        Column("document", Text, nullable=False),
        PrimaryKeyConstraint("kind", "ns", "name", name="pk_documents"),
        UniqueConstraint("uid", name="uq_documents_uid"),
    )
    op.create_table(
        "document_owners",
        Column("owner", Uuid(as_uuid=False), nullable=False),
        Column("document", Uuid(as_uuid=False), nullable=False),
        PrimaryKeyConstraint("owner", "document", name="pk_document_owners"),
        Index("ix_document_owners_document", "document"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "document_counter",
        Column("id", SmallInteger, nullable=False, autoincrement=False),
        Column("version", _BIG, nullable=False),
        PrimaryKeyConstraint("id", name="pk_document_counter"),
    )
