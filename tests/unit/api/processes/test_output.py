"""The last part of the output of a process."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from mintaka_api.local.processes import memory_kills, output
from mintaka_api.local.processes.output import TAIL_BYTES, Output, output_size, read_output

if TYPE_CHECKING:
    from pathlib import Path

_STAMP = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z ")


def stored(folder: Path, *chunks: bytes, limit: int = 10**9) -> tuple[list[bytes], bool]:
    """The lines that are stored if a process prints these pieces, and whether some are missing."""
    written = Output(str(folder))
    for chunk in chunks:
        written.add(chunk)
    written.close()
    text, missing = read_output(str(folder), limit)
    lines = text.splitlines()
    assert all(_STAMP.match(line) for line in lines)
    return [_STAMP.sub(b"", line, count=1) for line in lines], missing


@pytest.mark.parametrize(
    "chunks",
    [
        pytest.param([b"one\ntwo\n"], id="at once"),
        pytest.param([b"o", b"ne", b"\n", b"two\n"], id="in pieces"),
        pytest.param([b"one", b"\ntwo"], id="a line feed at the beginning of a piece"),
        pytest.param([b"one\n", b"tw", b"o"], id="without an end"),
    ],
)
def test_lines_are_those_that_were_printed(tmp_path: Path, chunks: list[bytes]) -> None:
    assert stored(tmp_path, *chunks) == ([b"one", b"two"], False)


def test_empty_lines_and_bytes_stay(tmp_path: Path) -> None:
    assert stored(tmp_path, b"\n\n\xff\x00\n") == ([b"", b"", b"\xff\x00"], False)


def test_nothing_was_printed(tmp_path: Path) -> None:
    assert read_output(str(tmp_path), 100) == (b"", False)
    assert output_size(str(tmp_path)) == (0, 0)


def test_only_the_end_is_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LIMIT_BYTES", 10_000)
    lines = [b"%05d" % number for number in range(5000)]
    found, _ = stored(tmp_path, *(b"\n".join(lines[at : at + 7]) + b"\n" for at in range(0, 4998, 7)))
    assert found == lines[4998 - len(found) : 4998]
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < 21_000
    assert 10_000 < len(found) * 37 < 21_000


def test_the_last_bytes_begin_with_a_whole_line(tmp_path: Path) -> None:
    assert stored(tmp_path, b"one\ntwo\nthree\n", limit=80) == ([b"two", b"three"], True)


def test_an_endless_line_is_stored_in_parts(tmp_path: Path) -> None:
    found, _ = stored(tmp_path, *[b"x" * 50_000] * 4, b"\nnext\n")
    assert b"".join(found[:-1]) == b"x" * 200_000
    assert max(map(len, found)) <= 65_536
    assert found[-1] == b"next"


def test_the_tail_is_there_when_the_disk_is_full(tmp_path: Path) -> None:
    written = Output(str(tmp_path / "nowhere"))
    written.add(b"x" * TAIL_BYTES)
    written.add(b"No space left on device\n")
    assert written.full
    assert written.dropped > TAIL_BYTES
    assert written.tail.endswith(b"No space left on device\n")
    assert len(written.tail) == TAIL_BYTES


def test_the_kernels_count_of_what_it_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The count is that of the cgroup if there is one, else that of the system, else None."""
    events, system = tmp_path / "memory.events", tmp_path / "vmstat"
    monkeypatch.setattr(memory_kills, "_cgroup_files", lambda: [str(events)])
    monkeypatch.setattr(memory_kills, "_SYSTEM_FILE", str(system))
    assert memory_kills.count() == 0
    system.write_text("nr_free_pages 5\noom_kill 7\n")
    assert memory_kills.count() == 7
    events.write_text("low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert memory_kills.count() == 2
