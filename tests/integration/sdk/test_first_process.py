"""The flow's process as a container has it: the first of its PID namespace, to which the kernel passes no signal without a handler."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

#: Stops an import of the SDK's half-way, says so, and stays there for a minute.
HALF_WAY = """
import sys, time

class Finder:
    def find_spec(self, name, *_):
        if name == "mintaka.context":
            print("half-way", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Finder())
"""


def may_have_pids() -> bool:
    """Whether a process may have a PID namespace of its own."""
    try:
        return subprocess.run(["unshare", "--pid", "--fork", "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("module", ["mintaka.runner", "mintaka.cli.words"])
def test_a_pod_that_is_asked_to_stop_while_it_imports_ends_at_once(tmp_path: Path, module: str) -> None:
    """With the exit code for that, and no report: nothing has begun. Other programs of ours end as all do, or not, as the kernel has it.

    Where no namespace may be made, the exit code alone tells a handler from the kernel's way of ending a process.
    """
    (tmp_path / "sitecustomize.py").write_text(HALF_WAY, encoding="utf-8")
    own = may_have_pids()
    command = [*(["unshare", "--pid", "--fork", "--kill-child"] if own else []), sys.executable, "-m", module]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(tmp_path)}, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "half-way\n"
        first = int(Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="utf-8")) if own else process.pid
        caught = next(line for line in Path(f"/proc/{first}/status").read_text(encoding="utf-8").splitlines() if line.startswith("SigCgt"))
        assert bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1) == (module == "mintaka.runner")
        if module == "mintaka.runner":
            os.kill(first, signal.SIGTERM)
            assert process.wait(20) == 143
    finally:
        process.kill()
        process.communicate()
