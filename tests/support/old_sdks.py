"""Flow images with the SDK of an earlier commit, built from the repository's own history."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: The last commit whose SDK spoke each wire version, or the first that did while it is the current one. An entry stays until no release
#: that is served speaks its version (`mintaka_core.wire_versions`).
COMMITS = {1: "10f83e5ab02e1265cb82003d0990a2b8cf7543a7"}
_BUILD_SECONDS = 900


def has_commit(commit: str) -> bool:
    """False in a clone that is too shallow."""
    found = subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"], capture_output=True, check=False)
    return found.returncode == 0


def build_flow_image(commit: str, tag: str) -> None:
    """Build the flow image of `commit` by that commit's Dockerfile and put it into the cluster as `tag`; cached by content."""
    with tempfile.TemporaryDirectory(prefix="mintaka-old-sdk-") as folder:
        archive = Path(folder) / "sources.tar"
        subprocess.run(["git", "-C", str(ROOT), "archive", "--output", str(archive), commit], check=True, capture_output=True)
        context = Path(folder) / "sources"
        with tarfile.open(archive) as sources:
            sources.extractall(context, filter="data")
        command = [str(ROOT / "cluster" / "image"), "build", str(context / "Dockerfile"), tag, "--target", "flow", str(context)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=_BUILD_SECONDS, check=False)
        if done.returncode:
            message = f"the flow image of {commit} cannot be built:\n{done.stderr[-3000:]}"
            raise RuntimeError(message)
