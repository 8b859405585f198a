"""What becomes of workloads whose attempt is over: released when deleted, removed in time, never before their end is recorded."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core.reconciling.observation import Retention
from mintaka_core.reconciling.plans import ReleaseWorkload, RemoveWorkload
from mintaka_core.states import COMPLETED, PAUSED, State
from mintaka_core.workloads import Phase
from run_scenario import Stage, crashed, failed

if TYPE_CHECKING:
    from mintaka_core.reconciling.plans import RunEffect

MINUTE = timedelta(minutes=1)
RETENTION = Retention(completed=10 * MINUTE, failed=60 * MINUTE, log_patience=30 * MINUTE, deleted_log_patience=MINUTE)
DELIVERED: dict[str, Any] = {"reports": True, "history_complete": True}
PATIENT = {"onCrash": {"limit": 3, "backoff": {"delaySeconds": 10, "jitter": 0}}}


def running(**template: Any) -> Stage:
    """A run whose pod is held and whose code runs."""
    stage = Stage(retention=RETENTION, **template).pass_time(1).start()
    return stage.see(held=True, reports=True)


def gone(stage: Stage) -> list[RunEffect]:
    """What was done to let workloads go, their uids aside."""
    return [replace(effect, uid="") for effect in stage.effects if isinstance(effect, ReleaseWorkload | RemoveWorkload)]


ENDS = {
    "completed": (State(COMPLETED), 10),
    "failed": (failed(), 60),
    "crashed": (crashed("OOMKilled"), 60),
    "suspended itself": (State(PAUSED, "Suspended"), 10),
}


@pytest.mark.parametrize(("end", "minutes"), ENDS.values(), ids=list(ENDS))
def test_a_pod_stays_for_its_retention(end: State, minutes: int) -> None:
    """Longer if there may be something to look for."""
    stage = running().pass_time(5).end(end, **DELIVERED)
    assert stage.due is not None
    stage.pass_time(minutes * 60 - 1)
    assert gone(stage) == []
    stage.pass_time(2)
    assert gone(stage) == [RemoveWorkload("r-1", "", 1)]


def test_without_a_retention_pods_stay_with_their_run() -> None:
    """No API keeps their logs."""
    stage = Stage().pass_time(1).start().end(**DELIVERED).pass_time(86400)
    assert gone(stage) == []


def test_pods_of_earlier_attempts_go_too() -> None:
    """The run may go on for days after its first crash."""
    stage = running(retries=PATIENT).end(crashed("Evicted"), **DELIVERED).pass_time(11).start().see(held=True)
    stage.pass_time(3600)
    assert gone(stage) == [RemoveWorkload("r-1", "", 1)]
    assert stage.state == "RUNNING"


def test_a_node_whose_clock_is_ahead_keeps_no_pod_longer() -> None:
    """What the pod says of its end may be hours off; the record of it is ours."""
    stage = running().end(ended_time=Stage().now + timedelta(hours=5), **DELIVERED)
    assert gone(stage.pass_time(601))


def test_a_deleted_pod_goes_as_soon_as_its_end_is_recorded() -> None:
    """In the very pass that records it, after the status."""
    stage = running().end(deleted=True, **DELIVERED)
    assert stage.state == "COMPLETED"
    assert gone(stage) == [ReleaseWorkload("r-1", "", 1)]


def test_a_deleted_pod_that_has_not_ended_is_held() -> None:
    """It may still complete within its grace period, and that counts."""
    stage = running().see(deleted=True, stopping_time=Stage().now + 30 * MINUTE)
    assert gone(stage) == []
    assert stage.end(**DELIVERED).state == "COMPLETED"
    assert len(gone(stage)) == 1


def test_a_deleted_pod_that_is_not_held_goes_by_itself() -> None:
    """One of an older release bears no finalizer."""
    assert gone(running().see(held=False).end(deleted=True, **DELIVERED)) == []


def test_a_pod_of_an_attempt_that_was_never_recorded_is_held() -> None:
    """Found ended and deleted: first the run says how it ended, then the pod may go."""
    stage = Stage(settled=False, retention=RETENTION)
    stage.appear(1, started_time=stage.now, ended_time=stage.now, end=State(COMPLETED), held=True, deleted=True, alive=False, **DELIVERED)
    plan = stage.plan()
    assert plan.status is None or plan.status.state is None or plan.status.state.type != COMPLETED or plan.status.attempt == 1
    stage.see(1, phase=Phase.ENDED)
    assert stage.state == "COMPLETED"
    assert gone(stage) == [ReleaseWorkload("r-1", "", 1)]


def test_a_sidecar_that_lives_keeps_its_pod() -> None:
    """It is stopped first; removing the pod under it would be a kill without grace."""
    stage = running()
    stage.retention = replace(RETENTION, completed=MINUTE)
    stage.end(alive=True, **DELIVERED).pass_time(61)
    assert gone(stage) == []
    stage.see(alive=False)
    assert gone(stage) == [RemoveWorkload("r-1", "", 1)]


LOGS = {
    "the report says delivered": (DELIVERED, False),
    "the report says it is not complete": ({"reports": True, "history_complete": False}, True),
    "there is no report": ({"reports": True, "history_complete": None}, True),
    "a plain container": ({"reports": False, "history_complete": None}, True),
}


@pytest.mark.parametrize(("fields", "copied"), LOGS.values(), ids=list(LOGS))
def test_the_log_of_a_pod_is_copied_first(fields: dict[str, Any], copied: bool) -> None:
    """If it says what nothing else has kept; for as long as the retention of logs allows."""
    stage = running().pass_time(5).end(crashed("Killed"), **fields).pass_time(3601)
    (effect,) = gone(stage)
    assert isinstance(effect, RemoveWorkload)
    ended = stage.run.status.end_time
    assert ended
    assert effect.copy_log_until == (ended + 90 * MINUTE if copied else None)


def test_a_pod_in_which_no_code_ever_ran_has_no_log() -> None:
    """The kubelet turned it away."""
    stage = Stage(retention=RETENTION).pass_time(1).end(crashed("OutOfcpu"), never_ran=True, ended_time=None, started_time=None)
    assert gone(stage.pass_time(3601))[0] == RemoveWorkload("r-1", "", 1)


def test_the_log_of_a_deleted_pod_has_less_time() -> None:
    """Whoever deleted it waits: a drain, an autoscaler."""
    stage = running().end(crashed("PodDeleted"), deleted=True, history_complete=False)
    (effect,) = gone(stage)
    assert isinstance(effect, ReleaseWorkload)
    assert effect.copy_log_until == stage.now + MINUTE
