"""`make run-cluster`, when the cluster, the images and the release exist."""

from __future__ import annotations

import subprocess

import pytest

from minimal_root import ROOT


@pytest.mark.timeout(400)
def test_the_main_job_is_seen_working_in_the_cluster(installed: str) -> None:
    """A deployment applied with kubectl, its run in a pod, states and task runs over REST; the example is deleted afterwards."""
    try:
        done = subprocess.run([ROOT / "tools/run-cluster"], capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "COMPLETED, attempt 1" in done.stdout
        assert "report-4                     COMPLETED  upstream [1, 2, 3]" in done.stdout
    finally:
        subprocess.run(["kubectl", "delete", "-k", ROOT / "examples/etl", "--wait=false"], check=False)
        subprocess.run(["kubectl", "delete", "flowruns", "--selector", "mintaka.dev/deployment=wine-report", "--wait=false"], check=False)
    assert installed
