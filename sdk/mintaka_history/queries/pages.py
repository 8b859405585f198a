"""Keyset pages over one or several ranges of an index.

A generic plan knows no values, so PostgreSQL may walk the whole list for a namespace that has no rows in it, rather than the index
that begins with the namespace: it takes every value for an average one. A column that `leads` is therefore given as a range and named
first in the order, which only that index has. SQLite prefers it anyway.

Equality with several values (`state=FAILED&state=CRASHED`) is queried as one small ordered page per value and merged: an
`IN` has no order of its own, and for a value without rows a planner may scan the whole table.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from sqlalchemy import ColumnElement, Integer, Select, and_, bindparam, func, literal, literal_column, or_, select, tuple_, union_all

from mintaka_history.paging import Ends, Part
from mintaka_history.queries.dialects import is_postgresql

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Column, Connection, Row

    from mintaka_history.paging import Page

#: The maximum number of ranges that are merged; more values than that become a filter.
_RANGES = 32
#: The number of matching rows up to which they are collected and sorted. With more, a scan in the list's order finds a page soon.
_FEW = 5000


@dataclass(frozen=True, slots=True)
class Choice:
    """A column and the values it may have.

    `common` is the value that a partial index of the column excludes. If it is set, numbers are literals in the statement
    instead of bound parameters, together with the index's condition: PostgreSQL's generic plans do not know a parameter's
    value, and SQLite recognises a condition only if it is spelled identically.

    `leads`: an index begins with the column, or with the leading columns in their order, followed by those of the list's order.
    """

    column: ColumnElement[Any]
    values: tuple[int | None, ...]
    common: int | None = None
    leads: bool = False

    @property
    def must_split(self) -> bool:
        """True if a range per value is needed even if there are many."""
        return False

    def equals(self, value: int | None) -> ColumnElement[bool]:
        """The condition that the column has `value` (None: NULL)."""
        if value is None:
            return self.column.is_(None)
        if bounds := self.bounds(value):
            return and_(self.column == written(value), *bounds)
        if self.common is None:
            return self.column == value
        same = self.column == written(value)
        return same if value == self.common else and_(same, self.column != written(self.common))

    def bounds(self, _value: int) -> list[ColumnElement[bool]]:
        """Further conditions of the rows with a value."""
        return []

    def any_of(self) -> ColumnElement[bool]:
        """The condition that the column has one of the values."""
        known = self.column.in_([value for value in self.values if value is not None])
        return or_(known, self.column.is_(None)) if None in self.values else known


@dataclass(frozen=True, slots=True)
class Excluded(Choice):
    """A column and the values it must not have: a filter of rows, however many values there are."""

    def any_of(self) -> ColumnElement[bool]:
        """The condition that the column has another value, or none."""
        return or_(self.column.is_(None), self.column.not_in(self.values))


def few(connection: Connection, conditions: Sequence[ColumnElement[bool]]) -> bool:
    """True if so few rows match `conditions`, which an index answers, that collecting them is cheaper than scanning for them."""
    first = select(literal_column("1")).where(*conditions).limit(_FEW + 1).subquery()
    counted: int = connection.execute(select(func.count()).select_from(first)).scalar_one()
    return counted <= _FEW


def fetch(
    connection: Connection,
    query: Select[Any],
    order: Sequence[Column[Any]],
    page: Page,
    choices: Sequence[Choice] = (),
    *,
    collected: bool = False,
    key: Column[Any] | None = None,
) -> tuple[list[Row[Any]], Ends]:
    """The rows of `page` of `query`, ordered by `order` (unique together), and the keys to continue from in both directions.

    The query must select the columns of `order`. `collected` means that it has few rows in total, which are sorted. If the query
    reads one table, `key` is its primary key, one of `order`: of several ranges, only the order's columns are then merged, which makes
    a statement of thirty ranges a third as expensive to build and plan.
    """
    if collected:
        for choice in choices:
            query = query.where(choice.any_of())
        found = query.cte("collected").prefix_with("MATERIALIZED")
        return _rows(connection, _limited(found.select(), [found.c[column.name] for column in order], page), order, page)
    split, combinations = set[int](), 1
    for position, choice in sorted(enumerate(choices), key=lambda each: (not each[1].must_split, len(each[1].values))):
        if isinstance(choice, Excluded) or combinations * len(choice.values) > _RANGES:
            query = query.where(choice.any_of())
        else:
            split.add(position)
            combinations *= len(choice.values)
    several = [choices[position] for position in sorted(split)]  # leading columns come in the order in which they were given
    leads = is_postgresql(connection)
    ranged = query if key is None else query.with_only_columns(*order)
    parts = [
        _range(ranged, order, page, list(zip(several, values, strict=True)), leads=leads)
        for values in product(*(choice.values for choice in several))
    ]
    limited = _merged(parts, order, page) if len(parts) > 1 else parts[0]
    if key is not None:
        limited = limited.with_only_columns(*query.selected_columns) if len(parts) == 1 else _whole_rows(query, limited, order, page, key)
    return _rows(connection, limited, order, page)


def _rows(connection: Connection, limited: Select[Any], order: Sequence[Column[Any]], page: Page) -> tuple[list[Row[Any]], Ends]:
    rows = list(connection.execute(limited).all())
    more = len(rows) > page.limit
    del rows[page.limit :]
    if page.backwards:
        rows.reverse()
    if not rows:
        return rows, Ends()
    first, last = (tuple(getattr(row, column.name) for column in order) for row in (rows[0], rows[-1]))
    inside = page.after is not None
    before, after = (more, inside) if page.backwards else (inside, more)
    return rows, Ends(first if before else None, last if after else None)


def part[T](rows: list[Row[Any]], ends: Ends, item: Callable[[Row[Any]], T]) -> Part[T]:
    """The rows as documents."""
    return Part([item(row) for row in rows], ends.last, ends.first)


def prefix_end(prefix: str) -> str | None:
    """The first text after all that begin with `prefix`, by code point; None if no text follows."""
    for position in range(len(prefix) - 1, -1, -1):
        code = ord(prefix[position])
        if code < 0x10FFFF:  # noqa: PLR2004 - the last code point
            following = 0xE000 if code == 0xD7FF else code + 1  # noqa: PLR2004 - surrogates are not characters
            return prefix[:position] + chr(following)
    return None


def begins_with(column: ColumnElement[Any], prefix: str) -> list[ColumnElement[bool]]:
    """The conditions of a prefix as a range of an index."""
    end = prefix_end(prefix)
    return [column >= prefix] if end is None else [column >= prefix, column < end]


def written(number: int) -> ColumnElement[int]:
    """A number written out in the statement, for partial indexes and indexes of expressions."""
    return literal_column(str(int(number)), Integer)


def _range(
    query: Select[Any], order: Sequence[ColumnElement[Any]], page: Page, chosen: Sequence[tuple[Choice, int | None]], *, leads: bool
) -> Select[Any]:
    """The page of the rows that have the chosen values."""
    leading = [(choice.column, value) for choice, value in chosen if leads and choice.leads and value is not None]
    for choice, value in chosen:
        if leads and choice.leads and value is not None:
            query = query.where(choice.column >= value, choice.column <= value, *choice.bounds(value))
        else:
            query = query.where(choice.equals(value))
    values = (*(value for _, value in leading), *page.after) if page.after is not None else None
    return _limited(query, [*(column for column, _ in leading), *order], replace(page, after=values))


def _limited(query: Select[Any], order: Sequence[ColumnElement[Any]], page: Page) -> Select[Any]:
    if page.after is not None:
        key = tuple_(*(bindparam(None, value, type_=column.type) for column, value in zip(order, page.after, strict=True)))
        query = query.where(tuple_(*order) < key if page.walks_down else tuple_(*order) > key)
    return query.order_by(*(column.desc() if page.walks_down else column.asc() for column in order)).limit(page.limit + 1)


def _whole_rows(query: Select[Any], keys: Select[Any], order: Sequence[Column[Any]], page: Page, key: Column[Any]) -> Select[Any]:
    """The rows of `query` with these keys, in order."""
    found = keys.subquery("keys")
    columns = [found.c[column.name] for column in order]
    rows = select(*query.selected_columns).join(found, found.c[key.name] == key)
    return rows.order_by(*(column.desc() if page.walks_down else column.asc() for column in columns))


def _merged(parts: Sequence[Select[Any]], order: Sequence[Column[Any]], page: Page) -> Select[Any]:
    merged = union_all(*(part.subquery().select() for part in parts)).subquery()
    columns = [merged.c[column.name] for column in order]
    return (
        merged.select().order_by(*(column.desc() if page.walks_down else column.asc() for column in columns)).limit(literal(page.limit + 1))
    )
