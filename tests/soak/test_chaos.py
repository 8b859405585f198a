"""Operators killed and pods deleted again and again, until more than a hundred runs with real pods have ended.

Its small twin in `make test` is tests/cluster/test_faults.py::test_pods_deleted_and_operators_killed_repeat_no_finished_work.
"""

from __future__ import annotations

import os
import secrets
from random import Random
from typing import TYPE_CHECKING

import pytest

from kube import Kube, kubectl
from pod_chaos import unleash

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEM = "mintaka-system"


@pytest.fixture
def kube() -> Iterator[Kube]:
    """A namespace of its own; the installed operator is away meanwhile."""
    kubectl("--namespace", SYSTEM, "scale", "deployment/mintaka-operator", "--replicas=0")
    kubectl("--namespace", SYSTEM, "wait", "--for=delete", "pod", "-l", "app.kubernetes.io/component=operator", "--timeout=60s")
    name = f"soak-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "mintaka.dev/leftover=test")
    yield Kube(name)
    kubectl("delete", "namespace", name, "--wait=false")
    kubectl("--namespace", SYSTEM, "scale", "deployment/mintaka-operator", "--replicas=1")
    kubectl("--namespace", SYSTEM, "rollout", "status", "deployment/mintaka-operator", "--timeout=60s")


@pytest.mark.timeout(5400)
def test_pods_deleted_and_operators_killed_repeat_no_finished_work(kube: Kube, tmp_path: Path) -> None:
    """Each run ends COMPLETED in the attempt whose pod finished, and no pod of a finished run is ever followed by another."""
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")
    kills, deletions = unleash(kube, Random(seed), tmp_path / "operator.log", runs=int(os.environ.get("SOAK_RUNS", "120")), seconds=5000)
    print(f"{kills} operators killed, {deletions} pods deleted")
    assert kills > 10
    assert deletions > 10
