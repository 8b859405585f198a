"""helm as the tests call it: the one on the PATH, or the cluster's own, which is built if it is missing."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "mintaka"


@cache
def helm_path() -> str:
    """The path of helm."""
    if found := shutil.which("helm"):
        return found
    built = subprocess.run([ROOT / "cluster" / "build", "helm"], check=True, capture_output=True, text=True)
    return str(Path(built.stdout.strip()) / "helm")


def helm(*arguments: str, seconds: float = 600) -> str:
    """What helm prints, its log of hooks included; its complaint as an AssertionError if it fails."""
    done = subprocess.run([helm_path(), *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, f"helm {' '.join(arguments)}: {done.stderr.strip()}\n{done.stdout}"
    return done.stdout + done.stderr


def project_at(commit: str, folder: Path) -> Path:
    """The project as it was at a commit, in `folder`."""
    archive = subprocess.run(["git", "-C", ROOT, "archive", commit], check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return folder
