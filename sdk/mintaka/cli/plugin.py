"""`kubectl mintaka`: this program as a plug-in of kubectl, which means the cluster of a context of kubectl."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PROGRAM = "kubectl-mintaka"
_named = ""


def is_plugin() -> bool:
    """True if this process was started as the plug-in."""
    return Path(sys.argv[0]).name.startswith(_PROGRAM)


def named_context() -> str:
    """The context of kubectl that the plug-in's `--context` names; "" if it names none."""
    return _named


@contextmanager
def context_named(name: str) -> Iterator[None]:
    """The plug-in was called with `--context NAME`."""
    global _named  # noqa: PLW0603 - of this process, as its arguments are
    before, _named = _named, name
    try:
        yield
    finally:
        _named = before
