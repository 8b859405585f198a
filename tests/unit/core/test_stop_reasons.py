"""Why an attempt is asked to stop, by what its run says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mintaka_core.resources import FlowRun
from mintaka_core.stop_reasons import StopReason, stop_reason

NOW = datetime(2026, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def run(state: str = "RUNNING", *, attempt: int = 2, name: str = "", deleted: bool = False, **spec: Any) -> FlowRun:
    """A run in a state; members of `spec` that are its status' come with a capital letter."""
    status = {member[0].lower() + member[1:]: spec.pop(member) for member in list(spec) if member[0].isupper()}
    metadata: dict[str, Any] = {"name": "run", "namespace": "ns", "uid": "uid"}
    if deleted:
        metadata["deletionTimestamp"] = NOW.isoformat()
    told = {"type": state, "name": name or state.capitalize(), "reason": "", "message": "", "time": (NOW - HOUR).isoformat()}
    return FlowRun.model_validate(
        {"metadata": metadata, "spec": {"deployment": "d", **spec}, "status": {"state": told, "attempt": attempt, "sequence": 3, **status}}
    )


SUSPENDING = [{"type": "Suspended", "status": "False", "reason": "Suspending", "lastTransitionTime": NOW.isoformat()}]
RESUMED = [{"type": "Suspended", "status": "False", "reason": "Resumed", "lastTransitionTime": NOW.isoformat()}]
RUNS = {
    "nothing is wished": (run(), StopReason.OUTSIDE),
    "it is over, by nobody's wish": (run("CRASHED"), StopReason.OUTSIDE),
    "cancelled": (run(cancel=True), StopReason.CANCELLED),
    "being cancelled": (run("CANCELLING"), StopReason.CANCELLED),
    "deleted": (run(deleted=True), StopReason.CANCELLED),
    "its end is recorded, cancelled": (run("CANCELLED"), StopReason.CANCELLED),
    "cancelled and suspended": (run(cancel=True, suspend=True), StopReason.CANCELLED),
    "cancelled, and its time is over": (run(cancel=True, NextTime=NOW.isoformat()), StopReason.CANCELLED),
    "suspended": (run(suspend=True), StopReason.SUSPENDED),
    "suspended and taken back while it stops": (run(Conditions=SUSPENDING), StopReason.SUSPENDED),
    "suspended and taken back before anything was stopped": (run(Conditions=RESUMED), StopReason.OUTSIDE),
    "its end is recorded, suspended": (run("PAUSED"), StopReason.SUSPENDED),
    "suspended, and its time is over": (run(suspend=True, NextTime=NOW.isoformat()), StopReason.SUSPENDED),
    "its time is over": (run(NextTime=NOW.isoformat()), StopReason.TIMED_OUT),
    "its time is over for a clock that is a little ahead": (run(NextTime=(NOW + timedelta(seconds=2)).isoformat()), StopReason.TIMED_OUT),
    "its time is not over": (run(NextTime=(NOW + HOUR).isoformat()), StopReason.OUTSIDE),
    "it had to start until then, and did": (run("PENDING", NextTime=NOW.isoformat()), StopReason.OUTSIDE),
    "its end is recorded, timed out": (run("FAILED", name="TimedOut"), StopReason.TIMED_OUT),
    "another attempt runs": (run(attempt=3), StopReason.REPLACED),
    "another attempt runs and is suspended": (run(attempt=3, suspend=True), StopReason.REPLACED),
    "another attempt runs and is cancelled": (run(attempt=3, cancel=True), StopReason.CANCELLED),
    "its attempt is not recorded yet": (run("PENDING", attempt=1), StopReason.OUTSIDE),
}


@pytest.mark.parametrize(("seen", "expected"), RUNS.values(), ids=RUNS)
def test_the_reason_follows_from_the_run(seen: FlowRun, expected: StopReason) -> None:
    """What outranks the others comes first, as in the policy."""
    assert stop_reason(seen, 2, NOW) == expected


def test_a_run_without_a_state_says_nothing() -> None:
    """The operator has not looked at it."""
    new = FlowRun.model_validate({"metadata": {"name": "run", "namespace": "ns", "uid": "uid"}, "spec": {"deployment": "d"}})
    assert stop_reason(new, 1, NOW) == StopReason.OUTSIDE
