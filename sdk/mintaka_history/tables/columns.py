"""The metadata of the schema and its column types."""

from __future__ import annotations

from sqlalchemy import BigInteger, Integer, MetaData, Text

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

#: In SQLite only INTEGER PRIMARY KEY is the rowid, and integers take the bytes they need.
Big = BigInteger().with_variant(Integer(), "sqlite")
#: Sorted by code point in both databases, so that a prefix is a range.
Name = Text().with_variant(Text(collation="C"), "postgresql")
