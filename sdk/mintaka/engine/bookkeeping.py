"""Functions that an exception from a signal handler must not tear apart.

A handler that raises does so between any two bytecodes of the main thread: a run could be taken off the list of the live
ones without its last state being written. Handlers therefore look at where they interrupted: inside a function under
`@uninterrupted` they raise nothing and come back a moment later. This costs a call nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import CodeType, FrameType

_CODES: set[CodeType] = set()
_DEPTH = 8


def uninterrupted[F: Callable[..., object]](function: F) -> F:
    """Let no signal handler of ours raise inside `function` or what it calls."""
    _CODES.add(function.__code__)
    return function


def in_bookkeeping(frame: FrameType | None) -> bool:
    """True where `frame`, the one that a signal interrupted, is inside an uninterrupted function."""
    for _ in range(_DEPTH):
        if frame is None:
            return False
        if frame.f_code in _CODES:
            return True
        frame = frame.f_back
    return False
