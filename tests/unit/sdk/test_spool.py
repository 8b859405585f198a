"""Reports on disk: in order, bounded, gone when acknowledged."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mintaka.recording import spool as spool_module
from mintaka.recording.spool import Owner, Spool

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

OWNER = Owner("uid", "http://api")


def drained(spool: Spool) -> list[bytes]:
    bodies = []
    while (body := spool.oldest()) is not None:
        bodies.append(body)
        spool.drop_oldest()
    return bodies


def test_reports_come_back_in_order_and_their_files_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool_module, "_FILE_BYTES", 100)
    spool = Spool(tmp_path / "spool", 10_000, OWNER)
    bodies = [gzip.compress(f"report {n}\n".encode()) for n in range(20)]
    assert all(spool.append(body) for body in bodies)
    files = sorted((tmp_path / "spool").glob("*.gz"))
    assert len(files) > 3
    assert b"".join(gzip.decompress(file.read_bytes()) for file in files).decode().splitlines() == [f"report {n}" for n in range(20)]
    assert drained(spool) == bodies
    assert sorted(path.name for path in (tmp_path / "spool").iterdir()) == ["lock", "owner"]
    spool.close()
    assert not (tmp_path / "spool").exists()


def test_what_passes_the_limit_is_refused_until_there_is_room(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", 10, OWNER)
    assert spool.append(b"12345")
    assert spool.append(b"12345")
    assert not spool.append(b"1")
    spool.drop_oldest()
    assert spool.append(b"123")
    assert drained(spool) == [b"12345", b"123"]


def test_a_disk_that_cannot_be_written_refuses(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert not Spool(tmp_path / "file" / "spool", 100, OWNER).append(b"1")


@given(st.lists(st.one_of(st.binary(min_size=1, max_size=40), st.none()), max_size=60))
def test_any_order_of_adding_and_taking_keeps_the_order(tmp_path_factory: pytest.TempPathFactory, steps: list[bytes | None]) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "mine", 200, OWNER)
    expected: list[bytes] = []
    for step in steps:
        if step is not None:
            if spool.append(step):
                expected.append(step)
            else:
                assert sum(map(len, expected)) + len(step) > 200
        elif expected:
            assert spool.oldest() == expected.pop(0)
            spool.drop_oldest()
    assert len(spool) == len(expected)
    assert drained(spool) == expected
