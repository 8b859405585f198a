"""A full disk, and the kernel's OOM killer: runs end with a clear message, and no process starts if it cannot be recorded."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from small_disk import may_mount, with_small_disk

if TYPE_CHECKING:
    from collections.abc import Iterator

_MIB = 1024 * 1024


def test_a_disk_that_fills_up(tmp_path: Path) -> None:
    """A running flow ends with a message that states why there is no report; the next one is refused until there is space."""
    if not may_mount():
        pytest.skip("a file size limit would not do instead of a full disk: only the flow's processes may reach it")
    seen = with_small_disk(
        """
        import asyncio
        from process_world import ProcessWorld, flow, flow_run, shell

        SOURCE = '''
        import os, time
        from mintaka import flow
        @flow
        def main():
            while not os.path.exists("../../../full"):
                time.sleep(0.02)
            print("x" * 100_000, flush=True)
        '''

        async def main():
            async with ProcessWorld(disk) as world:
                source = "\\n".join(line[8:] for line in SOURCE.splitlines())
                owned = await world.create(flow_run("flow", **flow(source)))
                fill()
                (disk / "ballast").rename(disk / "full")
                ended = await world.end(owned)
                refused = await world.refusal(flow_run("next", **shell("true")))
                (disk / "full").unlink()
                after = await world.run(**shell("true"))
                return [ended.end.type, ended.end.reason, ended.end.message, ended.started_time is not None], [
                    refused.reason, refused.kind, refused.patience], [after.end.type, after.end.reason]

        print(json.dumps(asyncio.run(main())))
        """,
        tmp_path,
        kilobytes=3000,
    )
    ended, refused, after = seen
    assert ended[:2] == ["CRASHED", "DiskFull"]
    assert "free disk space" in ended[2]
    assert ended[3]
    assert refused == ["DiskFull", "TRANSIENT", None]
    assert after == ["COMPLETED", ""]


@pytest.fixture
def memory_group() -> Iterator[Path]:
    """A memory cgroup of 200 MiB."""
    lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text().splitlines()] if sys.platform == "linux" else []
    places = [("/sys/fs/cgroup/memory", group, "memory.limit_in_bytes") for _, controllers, group in lines if controllers == "memory"]
    places += [("/sys/fs/cgroup", group, "memory.max") for _, controllers, group in lines if not controllers]
    for root, parent, limit in places:
        group = Path(f"{root}{parent}", f"mintaka-test-{os.getpid()}")
        try:
            group.mkdir()
            (group / limit).write_text(str(200 * _MIB))
        except OSError:
            continue
        yield group
        group.rmdir()
        return
    pytest.skip("cannot create a cgroup here, so the OOM killer cannot be triggered")


def test_the_kernel_kills_a_flow_for_memory(memory_group: Path) -> None:
    seen = in_group(
        memory_group,
        """
        import asyncio, json, sys, tempfile
        from pathlib import Path
        from process_world import ProcessWorld, flow

        SOURCE = "from mintaka import flow\\n@flow\\ndef main():\\n    parts = [bytearray(b'x') * 2**20 for _ in range(1000)]\\n"

        async def main():
            with tempfile.TemporaryDirectory() as home:
                async with ProcessWorld(Path(home)) as world:
                    ended = await world.run(**flow(SOURCE))
                    return ended.end.type, ended.end.reason, ended.end.message, ended.exit_code

        print(json.dumps(asyncio.run(main())))
        """,
    )
    assert (seen[:2], seen[3]) == (["CRASHED", "OOMKilled"], 137)
    assert "--max-processes" in seen[2]


def in_group(group: Path, text: str) -> Any:
    """Run a Python program in a cgroup; return its output, parsed as JSON."""
    script = f'echo $$ > {group}/cgroup.procs && exec {sys.executable} -c "$0"'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        ["sh", "-c", script, textwrap.dedent(text)], capture_output=True, text=True, check=False, timeout=120, env=environment
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
