"""How a database would execute the statements of a query, under the plan that it makes without knowing the values."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg.sql
from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka_history.database import Database


_KINDS = {int: "bigint", str: "text", float: "double precision"}


def plans_of(database: Database, query: Callable[..., Any], *arguments: Any, **options: Any) -> list[str]:
    """The plan of each statement that `query(connection, …)` executes as a page, with the names of indexes."""
    seen: list[tuple[str, Any]] = []

    def see(_connection: Any, _cursor: Any, statement: str, values: Any, *_: Any) -> None:
        seen.append((statement, values))

    with database.reading(pages=True) as connection:
        event.listen(database.read_engine, "before_cursor_execute", see)
        try:
            query(connection, *arguments, **options)
        finally:
            event.remove(database.read_engine, "before_cursor_execute", see)
        explain = _generic_plan if database.is_postgresql else _sqlite_plan
        return [explain(connection.connection.driver_connection, statement, values) for statement, values in seen]


def _sqlite_plan(connection: Any, statement: str, values: Any) -> str:
    return "\n".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}", values))


def _generic_plan(connection: Any, statement: str, values: Any) -> str:
    """The generic plan of a statement with parameters in the driver's style."""
    given: list[Any] = []

    def numbered(found: re.Match[str]) -> str:
        given.append(values[found[1]] if found[1] else values[len(given)])
        return f"${len(given)}"

    text = re.sub(r"%(?:\((\w+)\))?s", numbered, statement).replace("%%", "%")
    kinds = ", ".join(_KINDS.get(type(value), "unknown") for value in given)
    literals = psycopg.sql.SQL(", ").join(map(psycopg.sql.Literal, given))
    call = psycopg.sql.SQL("({})").format(literals) if given else psycopg.sql.SQL("")
    with connection.cursor() as cursor:
        cursor.execute(f"PREPARE asked{f' ({kinds})' if kinds else ''} AS {text}")
        lines = [row[0] for row in cursor.execute(psycopg.sql.SQL("EXPLAIN EXECUTE asked{}").format(call))]
        cursor.execute("DEALLOCATE asked")
    return "\n".join(lines)
