"""Numbers for copied lines of a log, between those of the lines that are stored.

A line keeps its number for ever, since links lead to it. The SDK numbers its lines in steps of `LINE_STEP`, by multiples of it;
copied lines get numbers between these, never a multiple, spread out so that lines of other containers find room between them.
Where a gap has no room left, the lines that do not fit follow in the next gap that has some, in their order: they are out
of order then, and not lost. After the last line, and before the first one, there is always room.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from itertools import count as counting
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mintaka_history.batches import LINE_STEP

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class StoredLine(NamedTuple):
    """A line of the stored log; `copied` from a container, or delivered by the SDK."""

    seq: int
    time: int
    copied: bool


class NewLine[T](NamedTuple):
    """A line to be numbered, after the line `after` and before the line `before` (None: the log's beginning, its end)."""

    after: int | None
    before: int | None
    time: int
    row: T


def number[T](new: Sequence[NewLine[T]], stored: Sequence[StoredLine], *, open_ended: bool = True) -> list[tuple[int, T]]:
    """A number for each of the lines of one container, which stay in their order; `stored` is ascending.

    Within its bounds a line follows the copied lines of other containers that are not later. `open_ended`: numbers after the
    last stored line are free. Otherwise lines that find no room before it come before all others.
    """
    seqs = [line.seq for line in stored]
    groups: dict[int, list[T]] = {}
    slot = 0
    for line in new:
        slot = max(slot, 0 if line.after is None else bisect_right(seqs, line.after))
        end = len(seqs) if line.before is None else bisect_left(seqs, line.before)
        while slot < end and stored[slot].copied and stored[slot].time <= line.time:
            slot += 1
        groups.setdefault(slot, []).append(line.row)
    numbered: list[tuple[int, T]] = []
    waiting: list[T] = []
    last = len(seqs) if open_ended or not seqs else len(seqs) - 1
    for slot in range(min(groups, default=0), last + 1):
        waiting += groups.get(slot, ())
        if waiting:
            free = _free_between(seqs[slot - 1] if slot else None, seqs[slot] if slot < len(seqs) else None, len(waiting))
            numbered += zip(free, waiting, strict=False)
            del waiting[: len(free)]
    if waiting:
        lowest = min([seqs[0], *(seq for seq, _ in numbered)])
        numbered += zip(reversed(list(islice(_dense(lowest, -1), len(waiting)))), waiting, strict=True)
    return numbered


def _free_between(low: int | None, high: int | None, count: int) -> list[int]:
    """Up to `count` ascending numbers between two neighbours (None: there is none), fewer if there is no room for more."""
    if low is None and high is None:
        low = 0  # before the first line that the SDK may deliver
    if low is None:
        return _before(high or 0, count)
    end = (low // LINE_STEP + 1) * LINE_STEP
    if high is None:
        room = (end - low) // 2  # the other half is for lines that come later
        return _spread(low, low + room, count) if room > count else list(islice(_dense(low, 1), count))
    end = min(end, high)
    if end - low > count:
        return _spread(low, end, count)
    return [seq for seq in islice(_dense(low, 1), min(count, high - low)) if seq < high]


def _before(high: int, count: int) -> list[int]:
    start = (high - 1) // LINE_STEP * LINE_STEP
    room = (high - start) // 2
    return _spread(high - room, high, count) if room > count else list(islice(_dense(high, -1), count))[::-1]


def _spread(low: int, high: int, count: int) -> list[int]:
    """Numbers between two multiples of a step, at equal distances."""
    return [low + (high - low) * place // (count + 1) for place in range(1, count + 1)]


def _dense(start: int, step: int) -> Iterator[int]:
    """All numbers from the one next to `start` on, without those that the SDK uses."""
    return (seq for seq in counting(start + step, step) if seq % LINE_STEP)
