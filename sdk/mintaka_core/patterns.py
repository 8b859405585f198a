"""Regular expressions of users, matched in linear time (those of JSON Schema, with Rust's engine)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Of a compiled pattern; the largest take a few milliseconds to compile.
_SIZE_LIMIT_BYTES = 50_000


def matcher_of(pattern: str) -> Callable[[str], bool | None] | None:
    """A function that checks whether a text contains a match of `pattern`, in time proportional to the text.

    None if `pattern` is not valid, has lookaround or back references, or is too large. The function returns
    None for text that is not Unicode.
    """
    import jsonschema_rs  # noqa: PLC0415 - start-up time: most processes never need it

    options = jsonschema_rs.RegexOptions(size_limit=_SIZE_LIMIT_BYTES)
    try:
        validator = jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=options)
    except ValueError:  # ValidationError is one
        return None

    def matches(text: str) -> bool | None:
        try:
            return validator.is_valid(text)
        except ValueError:
            return None

    return matches
