"""What `mintaka doctor` finds, one look at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mintaka_core.errors import MintakaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class Finding(NamedTuple):
    """What was looked at, whether it is well (None: it is not needed here), what was found, and what to do ("": nothing)."""

    what: str
    well: bool | None
    told: str
    todo: str = ""


type Check = tuple[str, Callable[[], Iterable[Finding]]]


def checked(checks: Iterable[Check]) -> Iterator[Finding]:
    """The findings of `checks`; one that cannot be made is a finding itself."""
    for what, look in checks:
        try:
            yield from look()
        except (MintakaError, OSError) as error:
            yield Finding(what, well=False, told=str(error))
        except (ValueError, LookupError) as error:  # an answer of a shape that nobody foresaw
            yield Finding(what, well=False, told=f"what it answered cannot be read: {type(error).__name__}: {error}")
