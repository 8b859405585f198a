"""A thousand runs of a deployment with a limit, while their operator is killed again and again.

The small twin in `make test` is tests/cluster/test_concurrency.py. SOAK_LIMITED changes the number of runs, SOAK_SEED repeats one.
"""

from __future__ import annotations

import os
import secrets
from random import Random
from typing import TYPE_CHECKING

import pytest

from kube import Kube, kubectl
from limited_runs import create, deploy, kill_operators

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SYSTEM = "mintaka-system"
COUNT = int(os.environ.get("SOAK_LIMITED", "1000"))
SECONDS = 7200
_AT_ONCE = 50


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


@pytest.mark.timeout(SECONDS + 300)
def test_the_limit_holds_and_no_slot_is_lost(kube: Kube, tmp_path: Path) -> None:
    """Each run completes in one attempt."""
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbelow(2**32))
    print(f"seed {seed}")
    deploy(kube, 0.2, limit=5)
    kube.patch("fd", "limited", {"spec": {"history": {"limit": 10000}}})
    names = [f"r{number}" for number in range(COUNT)]
    for first in range(0, COUNT, _AT_ONCE):
        create(kube, *names[first : first + _AT_ONCE])
    kills = kill_operators(kube, Random(seed), tmp_path / "operator.log", runs=COUNT, seconds=SECONDS)
    print(f"{kills} operators killed")
    assert kills > 10
    runs = kube.items("fr")
    assert {(run["status"]["state"]["type"], run["status"]["attempt"]) for run in runs} == {("COMPLETED", 1)}
