"""Variables: named JSON values that the runs of a namespace read and write."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_core.errors import InvalidNameError, MintakaError
from mintaka_history.sharing.name_pages import page_condition
from mintaka_history.timestamps import now_microseconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mintaka_history.writing.sessions import Session

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,254}")
#: The maximum size of a value as JSON, in bytes.
VALUE_LIMIT_BYTES = 64 * 1024
TAGS_LIMIT, TAG_LIMIT = 50, 100
_COLUMNS = "ns, name, value, tags, created, updated"
# Only our own column names are put into statements.
_GET = f"SELECT {_COLUMNS} FROM variables WHERE ns = ? AND name = ?"  # noqa: S608
_INSERT = f"INSERT INTO variables ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (ns, name)"  # noqa: S608
_KEEP = f"{_INSERT} DO NOTHING RETURNING name"
_REPLACE = f"{_INSERT} DO UPDATE SET value = excluded.value, tags = excluded.tags, updated = excluded.updated RETURNING name"


class InvalidValueError(MintakaError, ValueError):
    """A value or tag that a variable cannot have."""


class VariableRow(NamedTuple):
    """A variable: `value` and `tags` are JSON, times µs since the epoch."""

    namespace: str
    name: str
    value: str
    tags: str
    created: int
    updated: int


def checked_name(name: str) -> str:
    """`name`, if it is valid for a variable.

    Raises:
        InvalidNameError: it is not.
    """
    if isinstance(name, str) and _NAME.fullmatch(name):
        return name
    message = (
        f"a variable's name has letters, digits, '_', '-' and '.', begins with a letter or digit, and at most 255 in all, not {name!r:.300}"
    )
    raise InvalidNameError(message)


def encoded_value(value: Any) -> str:
    """A variable's value as JSON.

    Raises:
        InvalidValueError: JSON cannot represent it, or it is too large.
    """
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False, separators=(",", ":"))
        size = len(text.encode())
    except UnicodeEncodeError as error:
        message = "a variable's value contains half of a surrogate pair, which is not Unicode text: encode it, for example as base64"
        raise InvalidValueError(message) from error
    except (TypeError, ValueError, RecursionError) as error:
        message = f"a variable's value is one that JSON can say (texts, numbers, true, false, null, lists, objects): {error}"
        raise InvalidValueError(message) from error
    if size > VALUE_LIMIT_BYTES:
        message = f"a variable's value may have {VALUE_LIMIT_BYTES} bytes as JSON, not {size}: keep it in a file and its address here"
        raise InvalidValueError(message)
    return text


def encoded_tags(tags: Sequence[str]) -> str:
    """Tags as JSON, each once.

    Raises:
        InvalidValueError: there are too many, or one is not a text or too long.
    """
    if isinstance(tags, str) or not all(isinstance(tag, str) and 0 < len(tag) <= TAG_LIMIT for tag in tags) or len(tags) > TAGS_LIMIT:
        message = f"tags are a list of at most {TAGS_LIMIT} texts of 1 to {TAG_LIMIT} characters"
        raise InvalidValueError(message)
    return json.dumps(list(dict.fromkeys(tags)))


def get(session: Session, namespace: str, name: str) -> VariableRow | None:
    """The variable of that name, if there is one."""
    rows = session.run(_GET, (namespace, name))
    return VariableRow(*rows[0]) if rows else None


def put(session: Session, namespace: str, name: str, value: str, tags: str, *, overwrite: bool) -> bool:
    """Create a variable, or change its value and tags; False if it exists and may not be overwritten."""
    now = now_microseconds()
    return bool(session.run(_REPLACE if overwrite else _KEEP, (namespace, name, value, tags, now, now)))


def remove(session: Session, namespace: str, name: str) -> bool:
    """Delete a variable; False if there was none."""
    return bool(session.run("DELETE FROM variables WHERE ns = ? AND name = ? RETURNING name", (namespace, name)))


def list_page(
    session: Session, namespaces: Sequence[str], *, prefix: str = "", after: tuple[str, str] | None = None, limit: int
) -> list[VariableRow]:
    """At most `limit` variables of `namespaces` (none: of all) whose names begin with `prefix`, after the one with key `after`.

    They are ordered by namespace and name (by code point).
    """
    condition, values = page_condition(namespaces, prefix, after)
    rows = session.run(f"SELECT {_COLUMNS} FROM variables WHERE {condition} ORDER BY ns, name LIMIT ?", (*values, limit))  # noqa: S608
    return [VariableRow(*row) for row in rows]
