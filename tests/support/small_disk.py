"""A disk that fills up: a small tmpfs of the child's own, or, where mounting is not allowed, a limit for the size of its files.

    with_small_disk(CHILD, folder, kilobytes=200)

runs the Python text CHILD with `disk` as a folder on it, and with `run(text, full=…)`, which runs a Python text of its own with
the disk full or not (`largest` is what stands for that in bytes of a file, where mounting is not allowed); the JSON that it prints last is returned.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

_MOUNTED = 'mount -t tmpfs -o size="$1"k tmpfs "$2" && shift 2 && exec "$@"'
_PRELUDE = """
import json, os, resource, sqlite3, subprocess, sys
from pathlib import Path
disk, mounted, kilobytes = Path(sys.argv[1]), sys.argv[2] == "mounted", int(sys.argv[3])
ballast = disk / "ballast"

def fill():
    with open(ballast, "wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass

def run(text, *, full, largest=1024, **variables):
    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest, resource.RLIM_INFINITY))

    if full and mounted:
        fill()
    try:
        done = subprocess.run([sys.executable, "-c", text], env=os.environ | variables, capture_output=True, text=True,
                              preexec_fn=limit if full and not mounted else None)
    finally:
        ballast.unlink(missing_ok=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr
"""


def may_mount() -> bool:
    """Whether a process may have mounts of its own."""
    try:
        return subprocess.run(["unshare", "-m", "true"], check=False, capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def with_small_disk(child: str, folder: Path, *, kilobytes: int = 1000) -> Any:
    """See the module's words."""
    disk = folder / "disk"
    disk.mkdir()
    mounted = may_mount()
    python = [sys.executable, "-c", _PRELUDE + textwrap.dedent(child), str(disk), "mounted" if mounted else "limited", str(kilobytes)]
    command = ["unshare", "-m", "sh", "-c", _MOUNTED, "sh", str(kilobytes), str(disk), *python] if mounted else python
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])
