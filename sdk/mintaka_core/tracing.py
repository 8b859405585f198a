"""Which fields of a value are read: dataclasses whose instances note each field that is read, with its path.

A rule is a function of a transition, and what it read is why it decided so. A traced instance is of its class for every
purpose of a rule (isinstance, comparison, `replace`, match), and hands out the fields of the original.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any, cast

_ORIGINAL, _READS, _PREFIX, _OWN = "_original", "_reads", "_prefix", "_own"
_TRACED: dict[type, type] = {}


def traceable[T](cls: type[T]) -> type[T]:
    """Let instances of the dataclass `cls` be traced, also as fields of other traced instances."""
    names = {field.name: _reader(field.name) for field in fields(cast("Any", cls))}
    # `replace` and comparisons read the class, and are to make and accept plain instances.
    body = {"__slots__": (_ORIGINAL, _READS, _PREFIX, _OWN), "__class__": property(lambda _: cls), **names}
    _TRACED[cls] = type(cls.__name__, (cls,), body)
    return cls


def trace[T](value: T, reads: set[str], *, prefix: str = "", own: frozenset[str] = frozenset()) -> T:
    """`value` as an instance that adds the path of each field read to `reads`, below `prefix`; reading what is in those in `own` is not noted."""
    traced: Any = object.__new__(_TRACED[type(value)])
    put = object.__setattr__
    put(traced, _ORIGINAL, value)
    put(traced, _READS, reads)
    put(traced, _PREFIX, prefix)
    put(traced, _OWN, own)
    return cast("T", traced)


def is_traced(value: Any) -> bool:
    """True for an instance that `trace` made."""
    return type(value) is not value.__class__


def _reader(name: str) -> property:
    def read(traced: Any) -> Any:
        value = getattr(traced._original, name)  # noqa: SLF001 - its own
        if type(value) in _TRACED:
            return value if name in traced._own else trace(value, traced._reads, prefix=f"{traced._prefix}{name}.")  # noqa: SLF001
        traced._reads.add(traced._prefix + name)  # noqa: SLF001
        return value

    return property(read)
