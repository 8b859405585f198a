"""The recipes of the Makefile, as make itself expands them."""

from __future__ import annotations

import os
import re
import subprocess
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_TARGET = re.compile(r"^([A-Za-z][\w./-]*):(?!=)")
_ENVIRONMENT = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}


def recipes(folder: Path) -> str:
    """Return the lines of every recipe of the Makefile in `folder`, expanded and as a shell gets them. Nothing of it is run."""
    database = _make(folder, "--print-data-base", "--question", "--no-builtin-rules", "Makefile")
    targets: list[str] = []
    skip = False
    for line in database.partition("# Files")[2].splitlines():
        if (found := _TARGET.match(line)) and not skip and found[1] != "Makefile":
            targets.append(found[1])
        skip = line == "# Not a target:"
    dry_run = _make(folder, "--dry-run", "--always-make", *targets)
    return "\n".join(line for line in dry_run.splitlines() if not line.startswith("make: "))


def _make(folder: Path, *options: str) -> str:
    done = subprocess.run(["make", *options], cwd=folder, env=_ENVIRONMENT, capture_output=True, text=True, check=False)
    if done.returncode not in (0, 1) or (done.returncode and "--question" not in options):  # 1: the question's answer is no
        message = f"make {' '.join(options)}: {done.stderr.strip()}"
        raise RuntimeError(message)
    return done.stdout
