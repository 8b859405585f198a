"""Tracebacks as their reader wants them: beginning in the user's code, not in ours or the import system's."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import TracebackType

_OURS = str(Path(__file__).parents[1])

type ExceptionInfo = tuple[type[BaseException], BaseException, TracebackType | None]


def user_traceback(error: BaseException) -> TracebackType | None:
    """The traceback of `error` from its first frame that is not ours; all of it where every frame is."""
    place = error.__traceback__
    while place is not None:
        name = place.tb_frame.f_code.co_filename
        if not name.startswith((_OURS, "<frozen importlib")):
            return place
        place = place.tb_next
    return error.__traceback__


def log_information(error: BaseException | None) -> ExceptionInfo | None:
    """What `exc_info` of a log call takes."""
    return None if error is None else (type(error), error, user_traceback(error))


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
