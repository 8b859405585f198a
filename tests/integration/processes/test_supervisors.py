"""A supervisor on its own: the modules it loads, and a clock that jumps while it runs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import psutil
import pytest

import mintaka_api
from kube import eventually
from mintaka_api.local.processes.attempt_folder import ENDED, STARTED, TERMINATE, AttemptFolder
from mintaka_api.local.processes.leftovers import TOKEN
from process_world import living

#: The clock jumps after it was read for the first time.
JUMPING = """
import json, sys, time
sys.path += sys.argv[3:]
from mintaka_api.local.processes import supervisor
times = iter([time.time()])
supervisor.time = lambda: next(times, None) or time.time() + float(sys.argv[2])
supervisor.LOOK_SECONDS = 0.5
supervisor.supervise(json.loads(sys.argv[1]))
"""
FOLDERS = [str(Path(str(module.__file__)).parents[1]) for module in (mintaka_api, psutil)]


def supervised(folder: AttemptFolder, script: str, jump: float) -> subprocess.Popen[bytes]:
    """A supervisor whose clock jumps."""
    request = {
        "folder": folder.path,
        "command": ["sh", "-c", script],
        "directory": folder.path,
        "environment": {"PATH": os.defpath, TOKEN: "t0"},
        "grace_seconds": 1,
        "record": {"uid": "t0"},
    }
    return subprocess.Popen([sys.executable, "-S", "-E", "-I", "-c", JUMPING, json.dumps(request), str(jump), *FOLDERS])


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_a_clock_that_jumps_moves_neither_grace_period_nor_duration(tmp_path: Path, jump: float) -> None:
    folder = AttemptFolder(str(tmp_path))
    folder.make_fifos()
    supervisor = supervised(folder, "trap '' TERM; echo up > up; sleep 60 & wait; sleep 60", jump)
    eventually((tmp_path / "up").exists, "it runs")
    began = monotonic()
    assert folder.send(TERMINATE)
    assert supervisor.wait(30) == 0
    took = monotonic() - began
    ended, started = folder.read(ENDED), folder.read(STARTED)
    assert ended is not None
    assert started is not None
    assert 0.9 < took < 20
    assert ended["killed"]
    assert 0.9 < ended["time"] - started["time"] < 30
    assert not folder.has_supervisor()


def test_a_process_whose_folder_was_removed_is_ended(tmp_path: Path) -> None:
    """No server could find the process or its end."""
    folder = AttemptFolder(str(tmp_path / "attempt"))
    (tmp_path / "attempt").mkdir()
    folder.make_fifos()
    supervisor = supervised(folder, f"echo $$ > {tmp_path}/up; sleep 60", 0.0)
    eventually(lambda: (tmp_path / "up").exists() and (tmp_path / "up").read_text(), "it runs")
    shutil.rmtree(tmp_path / "attempt")
    assert supervisor.wait(30) == 0
    assert living([int((tmp_path / "up").read_text())]) == []


def test_it_loads_little() -> None:
    """Each module that the fork server imports takes memory in every supervisor."""
    program = "import sys; sys.path += sys.argv[1:]; import mintaka_api.local.processes.fork_server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-E", "-I", "-c", program, *FOLDERS], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "mintaka_api.local.processes.supervisor" in loaded
    assert loaded.isdisjoint({"asyncio", "logging", "pathlib", "psutil", "shutil", "socket", "tempfile", "mintaka_core"}), loaded


def test_records_are_whole_or_absent(tmp_path: Path) -> None:
    folder = AttemptFolder(str(tmp_path))
    junk: list[Any] = [b"", b"{", b"[]", b'{"time": 1', b"\xff"]
    for content in junk:
        (tmp_path / ENDED).write_bytes(content)
        assert folder.read(ENDED) is None
    folder.write(ENDED, {"time": 1})
    assert folder.read(ENDED) == {"time": 1}
    assert sorted(path.name for path in tmp_path.iterdir()) == [ENDED]


def test_of_several_claims_one_succeeds(tmp_path: Path) -> None:
    folder = AttemptFolder(str(tmp_path))
    assert [folder.claim({"supervisor": number}) for number in range(3)] == [True, False, False]
    assert folder.read("begun") == {"supervisor": 0}
