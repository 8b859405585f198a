"""Variables as the API returns them; the statements are those of `mintaka_history.sharing.variables`."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec

from mintaka_history.coordination_responses import VariableAnswer
from mintaka_history.paging import Part
from mintaka_history.queries.dialects import SqlalchemySession
from mintaka_history.sharing import variables
from mintaka_history.timestamps import from_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from mintaka_history.paging import Page
    from mintaka_history.sharing.variables import VariableRow


def page(connection: Connection, namespaces: Sequence[str], prefix: str, page: Page) -> Part[VariableAnswer]:
    """A page of the variables of `namespaces` (none: of all) whose names begin with `prefix`, by namespace and name."""
    after = None if page.after is None else (page.after[0], page.after[1])
    rows = variables.list_page(SqlalchemySession(connection), namespaces, prefix=prefix, after=after, limit=page.limit + 1)
    shown = rows[: page.limit]
    return Part([_answer(row) for row in shown], (shown[-1].namespace, shown[-1].name) if len(rows) > page.limit else None)


def one(connection: Connection, namespace: str, name: str) -> VariableAnswer | None:
    """The variable of that name, if there is one."""
    row = variables.get(SqlalchemySession(connection), namespace, name)
    return None if row is None else _answer(row)


def put(connection: Connection, namespace: str, name: str, value: str, tags: str, *, overwrite: bool) -> VariableAnswer | None:
    """Create or change a variable; return it, or None if it exists and may not be overwritten."""
    made = variables.put(SqlalchemySession(connection), namespace, name, value, tags, overwrite=overwrite)
    return one(connection, namespace, name) if made else None


def remove(connection: Connection, namespace: str, name: str) -> VariableAnswer | None:
    """Delete a variable; return its last state, or None if there was none."""
    found = one(connection, namespace, name)
    return found if variables.remove(SqlalchemySession(connection), namespace, name) else None


def _answer(row: VariableRow) -> VariableAnswer:
    value, tags = msgspec.Raw(row.value.encode()), json.loads(row.tags)
    return VariableAnswer(row.namespace, row.name, value, tags, from_microseconds(row.created), from_microseconds(row.updated))
