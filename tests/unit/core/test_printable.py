"""The end of a process's output, for people."""

from __future__ import annotations

import pytest

from mintaka_core.printable import printable_end


@pytest.mark.parametrize(
    ("output", "shown"),
    [
        pytest.param("Traceback\n  line\nValueError: x\n", "Traceback\n  line\nValueError: x", id="plain lines"),
        pytest.param("\x1b[1;31mred\x1b[0m and \x1b[38;5;12mblue\x1b[m", "red and blue", id="colours"),
        pytest.param("\x1b]0;title\x07shown \x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "shown link", id="titles and links"),
        pytest.param("\x1b(Bshown\x1b7\x1b8\x1b", "shown", id="other escapes"),
        pytest.param("10 %\r50 %\r100 %\ndone", "100 %\ndone", id="a progress bar"),
        pytest.param("one\r\ntwo\r\n", "one\ntwo", id="lines of Windows"),
        pytest.param("a\x00b\x07c\x7fd\x85e", "abcde", id="control characters"),
        pytest.param("a\ud83db\tc", "ab\tc", id="half a surrogate pair"),
        pytest.param("  \n\n x \n ", "x", id="surrounding space"),
        pytest.param("", "", id="nothing"),
        pytest.param("y" * 2000 + "end", "y" * 1021 + "end", id="too long"),
        pytest.param("head" + " " * 1022 + "tail", "tail", id="cut within space"),
    ],
)
def test_what_is_shown(output: str, shown: str) -> None:
    assert printable_end(output, 1024) == shown
