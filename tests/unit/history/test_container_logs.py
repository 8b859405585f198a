"""What the log of a container adds to the log of its run: which of its lines were delivered, and where the others belong."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime

import pytest

from mintaka_core.console import CONSOLE_FORMAT, CONSOLE_TIME
from mintaka_history.batches import LINE_STEP
from mintaka_history.container_logs import LINES_LIMIT, Delivered, Line, additions, match, parse

SECOND = 1_000_000
NOON = int(datetime(2026, 1, 1, 12, tzinfo=UTC).timestamp()) * SECOND


def stamped(seconds: float, text: str) -> str:
    """A line as the kubelet gives it."""
    micros = NOON + round(seconds * SECOND)
    return f"{datetime.fromtimestamp(micros / SECOND, UTC):%Y-%m-%dT%H:%M:%S.%f}000Z {text}"


def printed(seconds: float, message: str, level: int = logging.INFO, logger: str = "mintaka.flow_runs") -> str:
    """A record as the runner prints it, as the kubelet gives it."""
    record = logging.LogRecord(logger, level, "", 0, message, (), None)
    record.created, record.msecs = NOON / SECOND + seconds, int(seconds * 1000) % 1000
    formatter = logging.Formatter(CONSOLE_FORMAT, CONSOLE_TIME)
    formatter.converter = __import__("time").gmtime
    return "\n".join(stamped(seconds, line) for line in formatter.format(record).split("\n"))


def text_of(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


def added(text: str, *delivered: Delivered) -> list[tuple[int, str]]:
    """What the text adds: after which of the delivered lines, and the words."""
    return [(after, line.message) for after, line in additions(parse(text, NOON), delivered)]


def at(index: int, seconds: float, message: str) -> Delivered:
    """The delivered line number `index`."""
    return Delivered((index + 1) * LINE_STEP, NOON + round(seconds * SECOND), message)


def test_lines_get_the_time_level_and_words_they_were_logged_with() -> None:
    """A line of the runner's is split; any other is INFO at the time the kubelet wrote."""
    text = text_of(stamped(1.5, "hello  "), printed(2, "rows: 5", logging.WARNING), stamped(3, ""), stamped(4, "  indented"))
    assert parse(text, 0) == [
        Line(NOON + 1_500_000, 20, "hello"),
        Line(NOON + 2 * SECOND, 30, "rows: 5", logged=True),
        Line(NOON + 4 * SECOND, 20, "  indented"),
    ]


def test_lines_that_begin_like_the_runners_take_linear_time() -> None:
    """A mebibyte of them, which took ten seconds."""
    head = "2026-01-01T12:00:00.000Z "
    line = stamped(1, f"{head}INFO{' ' * 16_300}x")
    other = stamped(1, f"{head}{'I' * 16_300} x")
    text = text_of(*[line, other] * 32)
    began = time.process_time()
    assert [found.logged for found in parse(text, 0)] == [False] * 64
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("", []),
        ("\n \n", []),
        ("no time\n", [(7, "no time")]),
        ("2026-01-01T12:00:00+01:00 elsewhere", [(NOON - 3600 * SECOND, "elsewhere")]),
        ("2026-01-01T12:00:00.5Z half", [(NOON + SECOND // 2, "half")]),
        ("2026-13-01T12:00:00Z no month", [(7, "2026-13-01T12:00:00Z no month")]),
        ("0001-01-01T00:00:00+14:00 too early", [(7, "0001-01-01T00:00:00+14:00 too early")]),
        ("1960-01-01T00:00:00Z before the epoch", [(0, "before the epoch")]),
        ("2026-01-01T12:00:00Z", []),
        ("cut\n2026-01-01T12:00:00Z one\ntwo\n", [(NOON, "cut"), (NOON, "one"), (NOON, "two")]),
        ("2026-01-01T12:00:00Z 10%\r50%\r100%\r\n", [(NOON, "100%")]),
        ("2026-01-01T12:00:00Z nul \0 half \ud800", [(NOON, "nul \N{REPLACEMENT CHARACTER} half \N{REPLACEMENT CHARACTER}")]),
        ("2026-01-01T12:00:00Z 2026-99-01T12:00:00.000Z INFO    x: y", [(NOON, "2026-99-01T12:00:00.000Z INFO    x: y")]),
    ],
)
def test_whatever_a_container_prints_is_read(text: str, lines: list[tuple[int, str]]) -> None:
    """Lines without a time have that of their neighbours, progress bars are as a terminal shows them in the end."""
    assert [(line.time, line.message) for line in parse(text, 7)] == lines


def test_a_log_without_its_beginning_says_so() -> None:
    """Its first line is a warning that names the container; the rest of a line that was cut is left out."""
    lines = parse(text_of("…0000Z rest of a line", stamped(1, "whole")), 0, truncated=True, origin="container flow of pod a-1")
    assert [(line.time - NOON, line.level, line.message) for line in lines] == [
        (SECOND, 30, "the log of container flow of pod a-1 is copied from here on: its beginning is too long ago"),
        (SECOND, 20, "whole"),
    ]
    long = parse(text_of(*(stamped(n / 1000, f"line {n}") for n in range(LINES_LIMIT + 5))), 0, origin="container x")
    assert (len(long), long[0].level, long[1].message, long[-1].message) == (LINES_LIMIT + 1, 30, "line 5", f"line {LINES_LIMIT + 4}")


def test_only_what_was_not_delivered_is_added_and_in_its_place() -> None:
    """Before, between and after the lines that the SDK delivered."""
    text = text_of(
        stamped(0, "starting"),
        printed(1, "one"),
        stamped(1.1, "between"),
        printed(2, "two"),
        printed(3, "lost"),
        stamped(3.1, "Fatal Python error: Segmentation fault"),
    )
    assert added(text, at(0, 1, "one"), at(1, 2, "two")) == [
        (-1, "starting"),
        (0, "between"),
        (1, "lost"),
        (1, "Fatal Python error: Segmentation fault"),
    ]


def test_a_message_of_several_lines_is_one_that_was_delivered() -> None:
    """Also where its text holds blank lines, and where another thread printed in the middle of it."""
    message = "it failed\n\nTraceback:\n  File 'a'\nValueError: b"
    lines = printed(1, message).split("\n")
    lines.insert(3, stamped(1, "from another thread"))
    assert added(text_of(*lines), at(0, 1, message)) == [(0, "from another thread")]


def test_of_equal_lines_as_many_are_added_as_were_not_delivered() -> None:
    """Five were printed, three delivered."""
    text = text_of(*(printed(n, "again") for n in range(5)))
    assert added(text, *(at(n, n, "again") for n in range(3))) == [(2, "again"), (2, "again")]


def test_equal_lines_at_other_times_are_others() -> None:
    """What was logged an hour ago was not printed now."""
    assert added(text_of(stamped(3600, "hello")), at(0, 0, "hello")) == [(0, "hello")]


@pytest.mark.parametrize("size", [3000, 5000, 40_000])
@pytest.mark.parametrize("newline", [False, True], ids=["one line", "many lines"])
def test_a_message_whose_middle_was_left_out_is_not_added(size: int, *, newline: bool) -> None:
    """The SDK shortens long messages; their middle is no news from the container."""
    message = "".join(f"{n:07d}{'\n' if newline and n % 10 == 9 else ' '}" for n in range(size // 8))
    short = message if size <= 4096 else f"{message[:2046]} […] {message[-2045:]}"
    text = text_of(*printed(1, message).split("\n"), printed(2, "next"), stamped(2.5, "raw"))
    assert added(text, at(0, 1, short), at(1, 2, "next")) == [(1, "raw")]


def test_a_container_without_delivered_lines_is_put_in_by_time() -> None:
    """An init container's and a sidecar's log has nothing of the SDK in it."""
    text = text_of(stamped(0, "before"), stamped(1.5, "between"), stamped(9, "after"))
    assert added(text, at(0, 1, "one"), at(1, 2, "two")) == [(-1, "before"), (0, "between"), (1, "after")]
    assert added(text) == [(-1, "before"), (-1, "between"), (-1, "after")]


def test_a_clock_that_steps_back_keeps_the_order_of_lines() -> None:
    """Lines of one container stay in their order."""
    text = text_of(stamped(5, "first"), stamped(1, "second"), stamped(6, "third"))
    assert [message for _, message in added(text, at(0, 3, "one"), at(1, 5.5, "two"))] == ["first", "second", "third"]
    assert [after for after, _ in added(text, at(0, 3, "one"), at(1, 5.5, "two"))] == [0, 0, 1]


def test_what_is_delivered_late_is_found_among_what_was_copied() -> None:
    """Copied lines no longer show how they were printed."""
    copied = [Line(NOON, 20, "starting"), Line(NOON + SECOND, 30, "it failed"), Line(NOON + SECOND, 20, "ValueError: b")]
    late = at(4, 1, "it failed\nValueError: b")
    assert match(copied, [late]) == [None, late.seq, late.seq]
