"""Tracebacks as their reader wants them: the user's code, without ours or the import system's."""

from __future__ import annotations

import traceback
from pathlib import Path
from types import TracebackType

_OURS = str(Path(__file__).parents[1])

#: So many frames are shown of either end of a traceback.
_END_FRAMES = 25

type ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def user_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of `error` without what is ours before its last frame that is not; all of it where every frame is ours.

    Of a very deep one the middle is left out: what goes wrong at the bottom of a recursion is told by each of its runs.
    """
    frames = []
    place, last = error.__traceback__, 0
    while place is not None:
        theirs = not place.tb_frame.f_code.co_filename.startswith((_OURS, "<frozen importlib"))
        frames.append((place, theirs))
        last = len(frames) if theirs else last
        place = place.tb_next
    if last == 0:
        return error.__traceback__
    shown = [place for place, theirs in frames[:last] if theirs]
    if len(shown) > 2 * _END_FRAMES:
        shown = shown[:_END_FRAMES] + shown[-_END_FRAMES:]
    told = frames[last][0] if last < len(frames) else None
    for place in reversed(shown):
        told = TracebackType(told, place.tb_frame, place.tb_lasti, place.tb_lineno)
    return told


def log_information(error: BaseException | None) -> ExceptionInfo | None:
    """What `exc_info` of a log call takes.

    The end of a recursion is told without what it was met in the midst of: each of its runs tells of it, and each has met it anew.
    """
    if error is None:
        return None
    told = RecursionError(*error.args) if isinstance(error, RecursionError) else error
    return type(told), told, user_traceback(error)


def tail(error: BaseException, frames: int) -> str:
    """The last `frames` frames of the user's code and the exception, as Python prints them."""
    return "".join(traceback.format_exception(type(error), error, user_traceback(error), limit=-frames)).strip()


def with_place(message: str, error: BaseException) -> str:
    """`message` with the line of code that raised `error`."""
    frames = traceback.extract_tb(user_traceback(error))
    if not frames:
        return message
    last = frames[-1]
    return f'{message} (File "{last.filename}", line {last.lineno}, in {last.name}: {last.line})'.lstrip()
