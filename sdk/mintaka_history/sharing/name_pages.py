"""Pages of things that are identified by a namespace and a name."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Sorts after every character that a name may have.
_LAST = "\U0010ffff"


def page_condition(namespaces: Sequence[str], prefix: str, after: tuple[str, str] | None) -> tuple[str, list[str]]:
    """The SQL condition, with its values, for rows of `namespaces` (none: of all), names that begin with `prefix`, keys behind `after`."""
    condition, values = "(ns, name) > (?, ?) AND name >= ? AND name < ?", [*(after or ("", "")), prefix, prefix + _LAST]
    if not namespaces:
        return condition, values
    return f"{condition} AND ns IN ({', '.join('?' * len(namespaces))})", [*values, *sorted(namespaces)]
