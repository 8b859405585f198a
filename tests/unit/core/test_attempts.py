"""The attempts in a run's status: what is entered, from where, and with which writes."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core.reconciling.observation import FORCE_AFTER
from mintaka_core.resources.runs import ATTEMPTS_KEPT, AttemptStatus
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State
from mintaka_core.workloads import Phase, Workload
from run_scenario import GRACE, START, Stage, crashed, failed

if TYPE_CHECKING:
    from collections.abc import Callable

AT_ONCE = {"limit": 20, "backoff": {"delaySeconds": 0, "jitter": 0}}
RETRIES = {"onFailure": AT_ONCE, "onCrash": AT_ONCE}


def attempts(stage: Stage) -> tuple[AttemptStatus, ...]:
    """The entries of the run's status."""
    return stage.run.status.attempts


def test_an_attempt_is_completed_as_its_pod_goes_on() -> None:
    """PENDING names the pod, RUNNING the node and the start, the end the rest."""
    stage = Stage()
    assert [(entry.number, entry.pod_name, entry.node) for entry in attempts(stage)] == [(1, "r-1", "")]
    stage.pass_time(2).start(node="node-1")
    (running,) = attempts(stage)
    assert (running.pod_uid, running.node, running.created, running.started) == (stage.workload.uid, "node-1", START, stage.now)
    assert (running.state, running.ended, running.exit_code) == (None, None, None)
    stage.pass_time(60).end(exit_code=0)
    (ended,) = attempts(stage)
    assert (ended.state, ended.ended, ended.exit_code) == (COMPLETED, stage.now, 0)


def test_a_node_that_becomes_known_is_no_reason_to_write() -> None:
    """It travels with the next write."""
    stage = Stage()
    before = stage.run.status
    stage.see(node="node-1")
    assert stage.run.status is before
    assert stage.plan().status is None


def stopped_in_time(stage: Stage) -> None:
    """It runs longer than it may."""
    stage.start().pass_time(901)
    stage.end(crashed())


def cancelled(stage: Stage) -> None:
    """Its owner cancels it, and its code ends well."""
    stage.start().ask(cancel=True)
    stage.end(State(COMPLETED))


def cancelled_without_a_pod(stage: Stage) -> None:
    """Its owner cancels it, and its pod is gone without a trace."""
    stage.start().ask(cancel=True)
    stage.vanish()


def suspended(stage: Stage) -> None:
    """Its owner suspends it."""
    stage.start().ask(suspend=True)
    stage.end(crashed())


def suspended_itself(stage: Stage) -> None:
    """Its code suspends it."""
    stage.start().end(State(PAUSED, "Suspended", message="waits for approval"), suspension="approval")


def vanished(stage: Stage) -> None:
    """Its pod is gone without a trace."""
    stage.start().vanish()


def never_started(stage: Stage) -> None:
    """It does not start in time."""
    stage.start_issue("ImagePullBackOff").pass_time(601)
    stage.end(crashed(), started_time=None)


def lost(stage: Stage) -> None:
    """A user deletes its pod, and its node does not answer."""
    stage.start().see(stopping_time=stage.now + GRACE, deleted=True)
    stage.pass_time(to=stage.now + GRACE + FORCE_AFTER + timedelta(seconds=1))


def only_seen_ended(stage: Stage) -> None:
    """It began and ended between two looks."""
    stage.end(failed(), started_time=stage.now, exit_code=1)


@pytest.mark.parametrize(
    ("happens", "state", "reason", "diagnosis"),
    [
        pytest.param(lambda stage: stage.start().end(failed()), FAILED, "ValueError", "no such file", id="its code raised"),
        pytest.param(
            lambda stage: stage.start().end(crashed("OOMKilled", "3 MiB")), CRASHED, "OOMKilled", "3 MiB", id="it ran out of memory"
        ),
        pytest.param(stopped_in_time, FAILED, "TimedOut", "stopped after spec.timeoutSeconds", id="it ran too long"),
        pytest.param(never_started, CRASHED, "ImagePullBackOff", "ImagePullBackOff happened", id="it did not start in time"),
        pytest.param(vanished, CRASHED, "PodDisappeared", "pod r-1 does not exist any more", id="its pod is gone"),
        pytest.param(lost, CRASHED, "NodeLost", "the pod was asked to stop and has not: its node does not answer", id="its node is gone"),
        pytest.param(cancelled, CANCELLED, "Cancelled", "ended Completed while being cancelled", id="it was cancelled"),
        pytest.param(cancelled_without_a_pod, CANCELLED, "Cancelled", "spec.cancel was set", id="it was cancelled and its pod is gone"),
        pytest.param(suspended, PAUSED, "Suspended", "stopped; set spec.suspend to false to run it again", id="it was suspended"),
        pytest.param(suspended_itself, PAUSED, "SuspendedItself", "waits for approval", id="it suspended itself"),
        pytest.param(only_seen_ended, FAILED, "ValueError", "no such file", id="it was only seen ended"),
    ],
)
@pytest.mark.parametrize("retries", [{}, RETRIES], ids=["without retries", "with retries"])
def test_an_attempt_has_the_state_that_it_ended_in_before_any_retry(
    happens: Callable[[Stage], object], state: str, reason: str, diagnosis: str, retries: dict[str, Any]
) -> None:
    stage = Stage(timeoutSeconds=900, retries=retries)
    happens(stage)
    entry = attempts(stage)[0]
    assert (entry.number, entry.state, entry.reason, entry.diagnosis) == (1, state, reason, diagnosis)
    assert entry.ended is not None
    if retries and state in {FAILED, CRASHED}:
        assert [each.number for each in attempts(stage)] == [1, 2]
        assert attempts(stage)[1].state is None


def test_the_last_eight_attempts_are_kept() -> None:
    stage = Stage(retries=RETRIES)
    for number in range(1, 12):
        stage.start(node=f"node-{number}").end(failed(), exit_code=number)
    assert [entry.number for entry in attempts(stage)] == list(range(5, 13))
    assert len(attempts(stage)) == ATTEMPTS_KEPT
    assert [entry.exit_code for entry in attempts(stage)] == [*range(5, 12), None]


def test_a_pod_of_an_attempt_that_has_left_the_list_does_not_come_back() -> None:
    stage = Stage(retries=RETRIES)
    for _ in range(11):
        stage.start().end(failed())
    assert 1 in stage.workloads
    stage.start()
    assert attempts(stage)[0].number == 5


def test_an_end_that_is_recorded_stays_when_the_pod_shows_another() -> None:
    """Its node came back: its report completes the entry, with the next write, and changes nothing."""
    stage = Stage(retries=RETRIES)
    lost(stage)
    stage.workloads[1] = replace(
        Workload("r-1", attempts(stage)[0].pod_uid, 1, Phase.ENDED, START),
        alive=False,
        end=State(COMPLETED),
        exit_code=0,
        ended_time=START + timedelta(seconds=9),
    )
    before = stage.run.status
    stage.settle()
    assert stage.run.status is before
    stage.start()
    first = attempts(stage)[0]
    assert (first.state, first.reason, first.exit_code, first.ended) == (CRASHED, "NodeLost", 0, START + timedelta(seconds=9))


def test_another_pod_of_the_name_says_nothing_about_an_attempt() -> None:
    stage = Stage(retries=RETRIES)
    stage.start(node="node-1").end(failed(), exit_code=1)
    stage.workloads[1] = replace(Workload("r-1", "another", 1, Phase.ENDED, START), alive=False, end=State(COMPLETED), exit_code=0)
    stage.start()
    assert (attempts(stage)[0].exit_code, attempts(stage)[0].node) == (1, "node-1")


def test_a_run_of_an_earlier_release_gets_the_attempt_that_is_there() -> None:
    """Its status has no attempts yet."""
    stage = Stage().start(node="node-1")
    stage.run = stage.run.model_copy(update={"status": stage.run.status.model_copy(update={"attempts": ()})})
    stage.settle()
    assert attempts(stage) == ()
    stage.end(exit_code=0)
    (entry,) = attempts(stage)
    assert (entry.number, entry.node, entry.state) == (1, "node-1", COMPLETED)


@pytest.mark.parametrize("ahead", [timedelta(hours=2), timedelta(hours=-2)], ids=["ahead", "behind"])
def test_times_of_a_node_whose_clock_is_off_stay_between_the_creation_and_now(ahead: timedelta) -> None:
    stage = Stage().pass_time(5)
    stage.start(started_time=stage.now + ahead).pass_time(5)
    stage.end(ended_time=stage.now + ahead)
    (entry,) = attempts(stage)
    assert entry.created is not None
    assert entry.started is not None
    assert entry.ended is not None
    assert START <= entry.created <= entry.started <= stage.now
    assert START <= entry.ended <= stage.now


def test_texts_are_cut_to_what_the_resource_takes() -> None:
    stage = Stage().start()
    stage.end(failed("R" * 300, "m" * 5000), log_tail="x" * 3000 + "end")
    (entry,) = attempts(stage)
    assert (len(entry.reason), len(entry.diagnosis), len(entry.log_tail)) == (200, 1024, 1024)
    assert entry.log_tail.endswith("end")
    assert AttemptStatus.model_validate(entry.to_wire()) == entry
