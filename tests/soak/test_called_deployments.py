"""A flow that runs a deployment 200 times at once, while its own pod is deleted again and again.

The short version in `make test` is tests/cluster/test_called_deployments.py. SOAK_CALLED changes the number of runs, SOAK_SEED repeats one.
"""

from __future__ import annotations

import os
import secrets
import time
from random import Random
from typing import TYPE_CHECKING

import pytest

from fan_out import called_by, check_history, deploy
from kube import Api, Kube, flow_run, kubectl

if TYPE_CHECKING:
    from collections.abc import Iterator

SYSTEM = "mintaka-system"
COUNT = int(os.environ.get("SOAK_CALLED", "200"))
SECONDS = 3600
_ENDED = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


@pytest.fixture
def kube() -> Iterator[Kube]:
    """A namespace of its own, whose deployment retains fewer finished runs than there are calls."""
    name = f"soak-{secrets.token_hex(4)}"
    kubectl("create", "namespace", name)
    kubectl("label", "namespace", name, "mintaka.dev/leftover=test")
    kube = Kube(name)
    deploy(kube, history={"limit": 50})
    yield kube
    kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture
def api() -> Iterator[Api]:
    """The installation's API."""
    found = Api(SYSTEM, "service/mintaka-api")
    yield found
    found.close()


@pytest.mark.timeout(SECONDS + 300)
@pytest.mark.parametrize("deployment", ["fan-out", "gathered"], ids=["in tasks", "in a coroutine"])
def test_each_call_has_one_run_however_often_its_caller_crashes(kube: Kube, api: Api, deployment: str) -> None:
    """This includes finished runs that were removed from the cluster."""
    seed = int(os.environ.get("SOAK_SEED") or secrets.randbelow(2**32))
    random, deadline, crashes = Random(seed), time.monotonic() + SECONDS, 0
    print(f"seed {seed}")
    kube.apply(flow_run("caller", deployment=deployment, parameters={"count": COUNT, "seconds": 1}))
    while (run := kube.get("fr", "caller")).get("status", {}).get("state", {}).get("type") not in _ENDED:
        assert time.monotonic() < deadline, f"still {run.get('status', {}).get('state')}, {len(called_by(kube, run))} runs called"
        time.sleep(random.uniform(10, 40))
        pod = run.get("status", {}).get("podName")
        if pod and crashes < 5 and run["status"]["state"]["type"] == "RUNNING":
            kube("delete", "pod", pod, "--force", "--grace-period=0", "--ignore-not-found")
            crashes += 1
    print(f"{crashes} crashes of the caller, {run['status']['attempt']} attempts")
    assert run["status"]["state"]["type"] == "COMPLETED", run["status"]["state"]
    assert len(called_by(kube, run)) < COUNT, "those beyond the limit of the deployment have left the cluster"
    check_history(api, run, COUNT)
