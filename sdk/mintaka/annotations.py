"""Words put around an argument to say how it is treated."""

from __future__ import annotations

from typing import Any


class Annotation:
    """An argument's `value` and, by its class, how it is treated."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class unmapped(Annotation):  # noqa: N801 - reads as a word at the call
    """In `.map()`: the same value for every call, not to be split."""


class allow_failure(Annotation):  # noqa: N801 - reads as a word at the call
    """Run even if this upstream did not complete; its exception is passed in place of its result."""


class opaque(Annotation):  # noqa: N801 - reads as a word at the call
    """Resolve the value itself, be it a future, but look at nothing inside: for large structures without futures."""


class quote(Annotation):  # noqa: N801 - reads as a word at the call
    """Pass the value as it is: nothing inside is looked at, no future in it is awaited, no edge is recorded."""
