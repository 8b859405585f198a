"""Finds in migrations what stops readers or writers of a large database, or breaks the release before: see migrations/README.md."""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: alembic's operations that are not used, and what to do instead.
_OPERATIONS = {
    "create_index": "writers stop while it is built: call schema_changes.create_index",
    "batch_alter_table": "it copies the table: add a column or a table instead",
    "create_unique_constraint": "it stops writers: build a unique index with schema_changes.create_index",
    "create_check_constraint": "it reads the whole table under a lock: check in the code",
    "create_foreign_key": "it reads the whole table under a lock, and the tables have no foreign keys",
    "create_primary_key": "it reads the whole table under a lock: make a new table",
    "bulk_insert": "rows are filled in by key in batches outside of migrations",
}
_CONTRACTIONS = {"drop_column", "drop_table", "drop_constraint", "rename_table", "drop_index"}
_CONTRACTION = "the release before still uses it: do it one release later, with schema_changes.require(REVISION) in the same migration"
_SQL = (
    (r"create\s+(unique\s+)?index", _OPERATIONS["create_index"]),
    (r"alter\s+(table\s+.*\s)?(column\s+\S+\s+)?(set\s+data\s+)?type\b", "it rewrites the table, or an enumeration: add a column instead"),
    (r"set\s+not\s+null", "it reads the whole table under a lock, and the release before may write NULL"),
    (
        r"add\s+(column\s+)?(if\s+not\s+exists\s+)?\w+\s+(?:(?!\bdefault\b|,).)*\bnot\s+null(?!.*\bdefault\b)",
        "the release before does not fill it: give it a default",
    ),
    (
        r"add\s+(column\s.*)?.*\bdefault\b[^,]*\b(random|gen_random_uuid|clock_timestamp|nextval)\s*\(",
        "a default that differs from row to row rewrites the table",
    ),
    (r"add\s+constraint(?!.*not\s+valid)", "it reads the whole table under a lock: add it NOT VALID"),
    (r"^\s*(lock\s+table|vacuum\s+full|cluster|reindex(?!.*concurrently))\b", "it locks the table for as long as it takes"),
    (r"^\s*(update(?!\s+schema_compatibility)|delete)\s", "rows are changed by key in batches outside of migrations"),
)
_SQL_CONTRACTION = r"\b(drop\s+(column|table|constraint|index)|rename\s+(to|column|constraint))\b"


def findings_in(source: str) -> list[str]:
    """A sentence for each place in a migration's source that is not allowed, with its line."""
    tree = ast.parse(source)
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    contracts = any(_name(call) == "require" for call in calls)
    return [f"line {line}: {sentence}" for call in calls for line, sentence in _of_call(call, contracts=contracts)]


def _of_call(call: ast.Call, *, contracts: bool) -> Iterator[tuple[int, str]]:
    name = _name(call)
    if isinstance(call.func, ast.Attribute) and isinstance(call.func.value, ast.Name) and call.func.value.id == "op":
        yield from ((call.lineno, sentence) for sentence in _of_operation(name, call, contracts=contracts))
    if name in {"execute", "exec_driver_sql"}:
        yield from ((call.lineno, sentence) for sentence in _of_sql(_text(call), contracts=contracts))


def _of_operation(name: str, call: ast.Call, *, contracts: bool) -> Iterator[str]:
    if name in _OPERATIONS:
        yield f"op.{name}: {_OPERATIONS[name]}"
    if name in _CONTRACTIONS and not contracts:
        yield f"op.{name}: {_CONTRACTION}"
    if name == "alter_column":
        yield from _of_alteration(call, contracts=contracts)
    if name == "add_column":
        for column in (node for node in ast.walk(call) if isinstance(node, ast.Call) and _name(node) == "Column"):
            given = {keyword.arg: keyword.value for keyword in column.keywords}
            if _is(given.get("nullable"), value=False) and "server_default" not in given:
                yield "op.add_column(nullable=False): the release before does not fill it: give it a server_default"


def _of_alteration(call: ast.Call, *, contracts: bool) -> Iterator[str]:
    arguments = {keyword.arg: keyword.value for keyword in call.keywords}
    if "type_" in arguments:
        yield "op.alter_column(type_=…): it rewrites the table: add a column instead"
    if _is(arguments.get("nullable"), value=False):
        yield "op.alter_column(nullable=False): it reads the whole table under a lock, and the release before may write NULL"
    if "new_column_name" in arguments and not contracts:
        yield f"op.alter_column(new_column_name=…): {_CONTRACTION}"


def _of_sql(sql: str, *, contracts: bool) -> Iterator[str]:
    for statement in sql.split(";"):
        for pattern, sentence in _SQL:
            if re.search(pattern, statement, re.IGNORECASE | re.DOTALL):
                yield f"{' '.join(statement.split())[:60]}: {sentence}"
        if not contracts and re.search(_SQL_CONTRACTION, statement, re.IGNORECASE):
            yield f"{' '.join(statement.split())[:60]}: {_CONTRACTION}"


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else call.func.id if isinstance(call.func, ast.Name) else ""


def _is(node: ast.expr | None, *, value: bool) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _text(call: ast.Call) -> str:
    """All constant text in the arguments, formatted strings included."""
    nodes = (node for argument in call.args for node in ast.walk(argument))
    return " ".join(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))
