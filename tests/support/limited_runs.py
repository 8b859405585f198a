"""Runs of a deployment with a limit in a real cluster, and what their pods show about it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from kube import Kube, container, flow_deployment, flow_run
from processes import leading, operator

if TYPE_CHECKING:
    from pathlib import Path
    from random import Random

_TERMINAL = frozenset({"COMPLETED", "FAILED", "CRASHED", "CANCELLED"})


def deploy(kube: Kube, seconds: float, **concurrency: Any) -> None:
    """Create the deployment `limited`, whose runs take that long."""
    kube.apply(flow_deployment("limited", **container("sh", "-c", f"sleep {seconds}", grace=1), concurrency=concurrency))


def create(kube: Kube, *names: str, **spec: Any) -> None:
    """Create runs of it, all at once."""
    kube.apply(*(flow_run(name, deployment="limited", **spec) for name in names))


def intervals(kube: Kube) -> dict[str, tuple[datetime, datetime]]:
    """From when to when each run held its slot: from its pod's creation to its recorded end."""
    found = {}
    for run in kube.items("fr"):
        attempts = run["status"].get("attempts", [])
        if attempts and "created" in attempts[0] and "endTime" in run["status"]:
            found[run["metadata"]["name"]] = (
                datetime.fromisoformat(attempts[0]["created"]),
                datetime.fromisoformat(run["status"]["endTime"]),
            )
    return found


def most_at_once(held: dict[str, tuple[datetime, datetime]]) -> int:
    """The largest number of slots that were held at the same time; pods' times have whole seconds, rounded down."""
    changes = sorted([*((begin + timedelta(seconds=1), 1) for begin, _ in held.values()), *((end, -1) for _, end in held.values())])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def _has_ended(pod: dict[str, Any]) -> bool:
    """Whether its container has ended; its phase shows that later."""
    containers = pod["status"].get("containerStatuses", [])
    return bool(containers) and all("terminated" in container["state"] for container in containers)


def _shown(pod: dict[str, Any]) -> str:
    metadata, status = pod["metadata"], pod["status"]
    states = [container["state"] for container in status.get("containerStatuses", [])]
    return f"{metadata['name']} {metadata['creationTimestamp']} {metadata.get('deletionTimestamp', '')} {status.get('phase')} {states}"


def kill_operators(kube: Kube, draw: Random, log: Path, runs: int, seconds: float) -> int:
    """Run operators of the namespace that are killed at random, until all runs have ended; how many were killed."""
    killed, kills, deadline = operator(log, kube.namespace), 0, time.monotonic() + seconds
    while True:
        try:
            leading(killed)
            time.sleep(draw.uniform(0, 3))
            over = [run for run in kube.items("fr") if run.get("status", {}).get("state", {}).get("type") in _TERMINAL]
            if len(over) == runs:
                return kills
            assert time.monotonic() < deadline, f"{len(over)} of {runs} runs ended; {killed.text()[-3000:]}"
            live = [pod for pod in kube.items("pods") if pod["status"].get("phase") in {"Pending", "Running"} and not _has_ended(pod)]
            held = {pod["metadata"]["labels"]["mintaka.dev/flow-run"] for pod in live}
            limit = kube.get("fd", "limited")["spec"]["concurrency"]["limit"]
            assert len(held) <= limit, f"{limit} may have a pod: {[_shown(pod) for pod in live]}\n{killed.text()[-6000:]}"
        finally:
            killed.kill()
        kills += 1
