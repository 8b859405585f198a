"""Determines which lines of a container's log to add to the log of its run.

The log of a flow's container also contains the delivered lines: the SDK prints each line that it delivers. Only the rest is
added: printed output, output from before the SDK started or while the process died, and lines that could not be delivered.
A line counts as delivered if its text was delivered at about the same time, as often as the text occurs.

Copied lines are placed where they were printed: after the delivered line that precedes them in the container's log, or by
time if no such line exists. Their numbers are in `line_numbers.py`.
"""

from __future__ import annotations

import logging
import re
from bisect import bisect_right
from collections import deque
from datetime import UTC, datetime
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from mintaka_core.console import CONSOLE_LINE
from mintaka_core.reports import storable
from mintaka_history.batches import MESSAGE_LIMIT
from mintaka_history.timestamps import LATEST_MICROSECONDS, to_microseconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: The beginning of a line if timestamps are requested from the kubelet.
_STAMPED = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d))(?: (.*))?", re.DOTALL)

#: Only this many lines at the end of a longer log are copied.
LINES_LIMIT = 30_000
#: The maximum difference between the times at which a line was delivered and printed.
_TOLERANCE_MICROSECONDS = 10_000_000
#: Texts are compared up to this many characters: the SDK omits the middle of long messages.
_COMPARED = 1000
_CUT = " […] "
_LEVELS = {**logging.getLevelNamesMapping(), "NOTSET": logging.INFO}


class Line(NamedTuple):
    """A line of a container's log; `time` in µs since the epoch; `logged` if it has the format in which the runner prints log lines.

    `dated` is False if the log has no times at all; `notice` marks the line that says that the beginning of the log is missing.
    """

    time: int
    level: int
    message: str
    logged: bool = False
    dated: bool = True
    notice: bool = False


class Delivered(NamedTuple):
    """A line of the run's log that the SDK delivered, of one or several lines of text."""

    seq: int
    time: int
    message: str


def parse(text: str, now: int, *, truncated: bool = False, origin: str = "") -> list[Line]:
    """The lines of a container's log as the kubelet returns it with timestamps, without blank lines.

    A line without a timestamp gets that of the preceding line, or else of the following one; in a text without any it is
    `now`. If the beginning of the log is missing, the first line reports that and names `origin`.
    """
    texts = storable(text).split("\n")
    if truncated and _STAMPED.fullmatch(texts[0]) is None:
        del texts[0]  # the rest of a line
    stamped = [_stamped(each) for each in texts if each.strip()]
    truncated = truncated or len(stamped) > LINES_LIMIT
    stamped = stamped[-LINES_LIMIT:]
    first = next((at for at, _ in stamped if at is not None), None)
    time, dated = (now, False) if first is None else (first, True)
    notice = Line(time, logging.WARNING, f"the log of {origin} is copied from here on: its beginning is too long ago", notice=True)
    lines = [notice] if truncated else []
    for at, rest in stamped:
        time = time if at is None else at
        if shown := _shown(rest).rstrip():
            lines.append(_line(time, shown if len(shown) <= MESSAGE_LIMIT else _shortened(shown), dated=dated))
    return lines


def match(lines: Iterable[Line], delivered: Iterable[Delivered]) -> list[int | None]:
    """For each of `lines`, the `seq` of the delivered line that contains it; None if it was not delivered."""
    waiting = _pieces(delivered)
    found: list[int | None] = []
    inside: _Piece | None = None
    for line in lines:
        piece = _take(waiting.get(line.message[:_COMPARED]), line)
        if piece is not None:
            inside = None if piece.closes else piece
        elif inside is not None and (line.logged or line.time - inside.time > _TOLERANCE_MICROSECONDS):
            inside = None
        found.append(piece.seq if piece is not None else inside.seq if inside is not None else None)
    return found


def additions(lines: Sequence[Line], delivered: Sequence[Delivered]) -> list[tuple[int, Line]]:
    """The lines that were not delivered, in order, each with the index of the delivered line it follows (-1: none)."""
    positions = {line.seq: index for index, line in enumerate(delivered)}
    clock = list(accumulate((line.time for line in delivered), max))
    found = match(lines, delivered)
    first = next((positions[seq] for seq in found if seq is not None), None)
    added: list[tuple[int, Line]] = []
    last, met = -1, False
    for line, seq in zip(lines, found, strict=True):
        if seq is not None:
            last, met = max(last, positions[seq]), True
            continue
        # If the container's log shows the preceding line, its clock and the SDK's need not agree to the millisecond.
        by_time = bisect_right(clock, line.time - _TOLERANCE_MICROSECONDS if met else line.time) - 1
        last = max(last, by_time if met or first is None else min(by_time, first - 1))
        added.append((last, line))
    return added


class _Piece(NamedTuple):
    """A line of text of a delivered line. If it does not end that line, text omitted from the history may follow it."""

    seq: int
    time: int
    closes: bool


def _pieces(delivered: Iterable[Delivered]) -> dict[str, deque[_Piece]]:
    """The text lines of all delivered lines, by their compared text, oldest first."""
    pieces: dict[str, deque[_Piece]] = {}
    for line in delivered:
        cut = _CUT in line.message or len(line.message) >= MESSAGE_LIMIT
        texts = [text for each in line.message.split("\n") if (text := _shown(each).rstrip())]
        for place, text in enumerate(texts, 1):
            pieces.setdefault(text[:_COMPARED], deque()).append(_Piece(line.seq, line.time, not cut or place == len(texts)))
    return pieces


def _take(pieces: deque[_Piece] | None, line: Line) -> _Piece | None:
    """Remove from `pieces`, which have the text of `line`, the one that `line` may be."""
    while pieces and pieces[0].time < line.time - _TOLERANCE_MICROSECONDS:
        pieces.popleft()
    if not pieces or pieces[0].time > line.time + _TOLERANCE_MICROSECONDS:
        return None
    # The runner prints the exact time of a line, so of several with the same text the nearest one matches.
    while line.logged and len(pieces) > 1 and abs(pieces[1].time - line.time) < abs(pieces[0].time - line.time):
        pieces.popleft()
    return pieces.popleft()


def _line(time: int, text: str, *, dated: bool) -> Line:
    logged = CONSOLE_LINE.fullmatch(text)
    if logged is None or (said := _instant(logged[1])) is None:
        return Line(time, logging.INFO, text, dated=dated)
    level = _LEVELS.get(logged[2], logging.INFO)
    return Line(said, level, logged[3], logged=True)


def _stamped(text: str) -> tuple[int | None, str]:
    parts = _STAMPED.fullmatch(text)
    at = None if parts is None else _instant(parts[1])
    return (None, text) if parts is None or at is None else (at, parts[2] or "")


def _instant(text: str) -> int | None:
    try:
        found = to_microseconds(datetime.fromisoformat(text).astimezone(UTC))
    except (ValueError, OverflowError):
        return None
    return min(max(found, 0), LATEST_MICROSECONDS)


def _shortened(text: str) -> str:
    half = (MESSAGE_LIMIT - len(_CUT)) // 2
    return f"{text[: MESSAGE_LIMIT - len(_CUT) - half]}{_CUT}{text[-half:]}"


def _shown(text: str) -> str:
    """What a terminal shows of a line that was overwritten, as progress bars do."""
    return text.rstrip("\r").rpartition("\r")[2]
