"""What a place of variables and limits can do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime


class StoredVariable(NamedTuple):
    """A variable as it is kept: `value` is any JSON value."""

    name: str
    value: Any
    tags: list[str]
    created: datetime
    updated: datetime


class Shared(Protocol):
    """Variables and limits, for any thread. Every method raises SharingAway where nobody answers, SharingError where it is refused."""

    #: What it is called in messages.
    place: str

    def variable(self, name: str) -> StoredVariable | None:
        """The variable of that name."""

    def variables(self, prefix: str = "") -> list[StoredVariable]:
        """All whose names begin so, by name."""

    def put_variable(self, name: str, value: Any, tags: Sequence[str], *, overwrite: bool) -> bool:
        """Make or change it; False where it exists and may not be overwritten.

        Raises:
            InvalidNameError, InvalidValueError: not a name, value or tag that a variable can have.
        """

    def remove_variable(self, name: str) -> bool:
        """Delete it; False where there was none."""

    def close(self) -> None:
        """Let go of connections."""
