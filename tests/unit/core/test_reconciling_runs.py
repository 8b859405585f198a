"""Reconciling runs: one scenario for each thing a run may live through."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from mintaka_core import names
from mintaka_core.backoff import NEVER_RAN
from mintaka_core.history_reasons import HistoryReason
from mintaka_core.reconciling.observation import FORCE_AFTER, TRY_AGAIN, RunObservation
from mintaka_core.reconciling.plans import AddFinalizer, CreateWorkload, DeleteRun, ReleaseRun
from mintaka_core.reconciling.runs import reconcile
from mintaka_core.resources import FlowRun
from mintaka_core.resources.runs import RESUMED_LIMIT, TRANSITIONS_KEPT
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, PAUSED, State
from mintaka_core.workloads import CreateError, Phase, StartIssue
from run_scenario import GRACE, START, Stage, crashed, failed

HOUR = timedelta(hours=1)
PLAIN = {"delaySeconds": 10, "jitter": 0}


def retries(failures: int = 0, crashes: int = 0, reasons: tuple[str, ...] = ()) -> dict[str, Any]:
    """Budgets as they stand in a manifest."""
    return {"onFailure": {"limit": failures, "backoff": PLAIN}, "onCrash": {"limit": crashes, "backoff": PLAIN, "reasons": reasons}}


def running(**template: Any) -> Stage:
    """A run whose code runs."""
    return Stage(**template).pass_time(1).start()


# The ordinary life.


def test_a_run_goes_from_nothing_to_completed() -> None:
    """Scheduled and pending in one pass, running when its code runs, completed when that is over."""
    stage = Stage()
    assert (stage.state, stage.run.status.attempt, stage.run.status.pod_name) == ("PENDING", 1, "r-1")
    assert stage.effects == [CreateWorkload(1), AddFinalizer()]
    stage.pass_time(5).start().pass_time(60).end(history_complete=True)
    assert stage.path == ["Scheduled", "Pending", "Running", "Completed"]
    status = stage.run.status
    assert (status.start_time, status.end_time, status.next_time) == (START + timedelta(seconds=5), START + timedelta(seconds=65), None)
    assert (stage.condition("Completed"), stage.condition("Finished"), stage.condition("HistoryComplete")) == (
        "True Completed",
        "True Completed",
        "True Delivered",
    )
    assert status.problem == ""
    assert not stage.stops()


def test_a_run_waits_for_its_time() -> None:
    """Nothing is created before it is due; the status and the plan say when that is."""
    stage = Stage(spec={"scheduledTime": START + HOUR})
    assert (stage.state, stage.run.status.next_time, stage.due) == ("SCHEDULED", START + HOUR, START + HOUR)
    stage.pass_time(3599.999)
    assert not stage.workloads
    assert stage.pass_time(to=START + HOUR).state == "PENDING"


def test_nothing_needs_a_mirror() -> None:
    """Without an API there is no finalizer to wait for."""
    assert AddFinalizer() not in Stage(mirrored=False).effects


def test_what_happened_while_the_operator_was_away_is_recorded_whole() -> None:
    """From PENDING to the end in one pass, RUNNING in between with the time the pod tells."""
    stage = Stage()
    stage.now += HOUR
    begun, over = START + timedelta(minutes=1), START + timedelta(minutes=2)
    stage.see(phase=Phase.ENDED, alive=False, started_time=begun, ended_time=over, end=failed())
    assert stage.path == ["Scheduled", "Pending", "Running", "Failed"]
    assert stage.history[2].time == begun
    assert stage.run.status.start_time == begun


def test_an_end_without_a_start_time_is_an_end() -> None:
    """Some container runtimes write the epoch: exit 0 completes all the same, and does not hang in PENDING."""
    stage = Stage().pass_time(9).end(started_time=None)
    assert stage.path == ["Scheduled", "Pending", "Running", "Completed"]


def test_a_pod_that_was_created_but_not_recorded_is_adopted() -> None:
    """Its creator died between the two writes: the next one finds it, creates no other, and goes on."""
    stage = Stage(settled=False)
    stage.appear(1)
    stage.settle()
    assert (stage.state, stage.run.status.pod_name) == ("PENDING", "r-1")
    assert not [effect for effect in stage.effects if isinstance(effect, CreateWorkload)]


@pytest.mark.parametrize(
    ("end", "expected"),
    [(State(COMPLETED), "COMPLETED"), (failed(), "FAILED ValueError"), (crashed("Evicted"), "CRASHED Evicted")],
    ids=["completed", "failed", "crashed"],
)
def test_an_unrecorded_pod_that_has_ended_already_counts(end: State, expected: str) -> None:
    """It did run: its end is the run's, through every state in between."""
    stage = Stage(settled=False)
    stage.appear(1, started_time=START, ended_time=START, end=end)
    stage.workloads[1] = replace(stage.workloads[1], phase=Phase.ENDED, alive=False)
    stage.settle()
    assert stage.state == expected
    assert stage.path[:3] == ["Scheduled", "Pending", "Running"]


@pytest.mark.parametrize("gone", [False, True], ids=["both are there", "the first is gone"])
def test_two_attempts_of_which_none_was_recorded_are_adopted_in_order(*, gone: bool) -> None:
    """The first crashed and was replaced before its creator could write anything down; no third one starts beside them."""
    stage = Stage(settled=False, retries={"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}})
    if not gone:
        stage.appear(1, alive=False, end=crashed(), ended_time=START)
    stage.appear(2)
    stage.settle()
    assert (stage.state, stage.run.status.attempt, stage.stops()) == ("PENDING", 2, [])
    assert stage.run.status.crashes == (0 if gone else 1)
    assert sorted(stage.workloads) == ([2] if gone else [1, 2])


def test_no_attempt_is_created_before_the_one_before_it_is_on_record() -> None:
    """An unrecorded attempt that ended is written down first: were it gone by then, its number would be given out again."""
    stage = Stage(settled=False, retries={"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}})
    stage.appear(1, alive=False, end=crashed(), ended_time=START)
    plan = stage.plan()
    assert not [effect for effect in plan.effects if isinstance(effect, CreateWorkload)]
    assert plan.due == stage.now
    stage.settle()
    assert (stage.state, stage.run.status.attempt, stage.run.status.crashes) == ("PENDING", 2, 1)


def test_a_pod_created_too_early_by_a_fast_clock_is_left_alone_until_its_time() -> None:
    """The operator that created it was a second ahead; this one waits, then adopts it."""
    stage = Stage(settled=False, spec={"scheduledTime": START + timedelta(seconds=1)})
    stage.appear(1)
    stage.settle()
    assert (stage.state, stage.stops()) == ("SCHEDULED", [])
    assert stage.pass_time(1).state == "PENDING"


# Failures and crashes.


@pytest.mark.parametrize("end", [failed(), crashed("OOMKilled")], ids=["failure", "crash"])
def test_without_a_budget_the_first_end_is_the_last(end: State) -> None:
    """FAILED or CRASHED, with the condition to wait for and the word in the column."""
    stage = running().end(end)
    assert stage.state == f"{end.type} {end.reason}"
    assert stage.condition(end.name) == f"True {end.reason}"
    assert stage.run.status.problem == end.reason


@pytest.mark.parametrize(
    ("ends", "budget", "expected", "counts"),
    [
        pytest.param([failed()], retries(1), "COMPLETED", (1, 0), id="a failure within its budget"),
        pytest.param([failed()] * 2, retries(1), "FAILED ValueError", (1, 0), id="a failure past its budget"),
        pytest.param([crashed()], retries(0, 1), "COMPLETED", (0, 1), id="a crash within its budget"),
        pytest.param([crashed()] * 3, retries(0, 2), "CRASHED PodDeleted", (0, 2), id="a crash past its budget"),
        pytest.param([crashed()], retries(5), "CRASHED PodDeleted", (0, 0), id="a crash draws nothing from the failures"),
        pytest.param([failed()], retries(0, 5), "FAILED ValueError", (0, 0), id="a failure draws nothing from the crashes"),
        pytest.param([failed(), crashed(), failed()], retries(2, 1), "COMPLETED", (2, 1), id="each draws on its own"),
        pytest.param([crashed("Evicted")], retries(0, 1, ("Evicted",)), "COMPLETED", (0, 1), id="a crash for a reason that is named"),
        pytest.param([crashed("OOMKilled")], retries(0, 1, ("Evicted",)), "CRASHED OOMKilled", (0, 0), id="a crash for another reason"),
    ],
)
def test_budgets(ends: list[State], budget: dict[str, Any], expected: str, counts: tuple[int, int]) -> None:
    """What ends badly is tried again as often as its own budget says, then completes where it may."""
    stage = Stage(retries=budget)
    for end in ends:
        stage.pass_time(1).start().pass_time(1).end(end)
        if stage.run.status.is_terminal:
            break
        assert stage.state == f"SCHEDULED/AwaitingRetry {end.reason}"
        assert stage.run.status.next_time is not None
        stage.pass_time(to=stage.run.status.next_time)
    else:
        stage.start().end()
    assert stage.state == expected
    assert (stage.run.status.failures, stage.run.status.crashes) == counts
    assert stage.run.status.attempt == 1 + sum(counts)


def test_a_retry_waits_for_its_backoff_and_runs_as_the_next_attempt() -> None:
    """Not a moment earlier; the pod has a name of its own."""
    stage = running(retries=retries(1)).end(failed())
    due = stage.now + timedelta(seconds=10)
    assert stage.due == due
    stage.pass_time(9.9)
    assert stage.state == "SCHEDULED/AwaitingRetry ValueError"
    stage.pass_time(to=due)
    assert (stage.state, stage.run.status.attempt, stage.run.status.pod_name) == ("PENDING", 2, "r-2")


def test_what_says_that_trying_again_cannot_help_is_believed() -> None:
    """The code raised something it marked as not retriable."""
    assert running(retries=retries(5, 5)).end(failed(), retriable=False).state == "FAILED ValueError"


def test_a_pod_that_was_turned_away_costs_nothing_but_not_for_ever() -> None:
    """The kubelet refused it before any code ran: tried again apart from the budget, a few times."""
    stage = Stage()
    for number in range(NEVER_RAN.limit):
        stage.end(crashed("OutOfcpu"), never_ran=True)
        assert (stage.run.status.rejections, stage.run.status.crashes) == (number + 1, 0)
        assert stage.run.status.next_time is not None
        stage.pass_time(to=stage.run.status.next_time)
    stage.end(crashed("OutOfcpu"), never_ran=True)
    assert stage.state == "CRASHED OutOfcpu"
    assert "Running" not in stage.path


def test_a_pod_that_disappeared_has_crashed() -> None:
    """Deleted by force, or its node is gone: nobody can tell how it ended."""
    stage = running().vanish()
    assert stage.state == "CRASHED PodDisappeared"
    assert "r-1" in stage.run.status.state.message  # type: ignore[union-attr]


def test_the_next_attempt_waits_until_nothing_of_the_last_one_lives() -> None:
    """The flow ended but its sidecar goes on: it is stopped, and only then the next attempt starts."""
    stage = running(retries=retries(1)).end(failed(), alive=True)
    stage.pass_time(60)
    assert stage.state == "SCHEDULED/AwaitingRetry ValueError"
    assert [stop.name for stop in stage.stops()] == ["r-1"]
    assert stage.due == stage.workloads[1].stopping_time + FORCE_AFTER  # type: ignore[operator]
    assert stage.see(1, alive=False).state == "PENDING"
    assert stage.run.status.attempt == 2


def test_a_workload_of_an_attempt_that_is_over_is_stopped() -> None:
    """An operator that had been replaced itself and knew only the past made it again."""
    stage = running(retries=retries(0, 1)).end(crashed()).pass_time(20)
    stage.appear(1)
    stage.settle()
    assert (stage.state, [stop.name for stop in stage.stops()]) == ("PENDING", ["r-1"])


# Starting.


def test_a_pod_that_does_not_start_in_time_crashed_for_what_held_it_back() -> None:
    """The reason is in the status while it waits; past pendingTimeoutSeconds the pod is stopped, and that is its end."""
    stage = Stage(pendingTimeoutSeconds=60).pass_time(1).start_issue("Unschedulable")
    assert stage.state == "PENDING Unschedulable"
    assert stage.run.status.problem == "Unschedulable"
    stage.pass_time(58)
    assert not stage.stops()
    stage.pass_time(2)
    assert len(stage.stops()) == 1
    stage.start_issue(None).end(crashed("PodDeleted"))
    assert stage.state == "CRASHED Unschedulable"


def gated(**template: Any) -> Stage:
    """A run whose pod a scheduling gate holds."""
    return Stage(pendingTimeoutSeconds=60, **template).pass_time(1).start_issue("SchedulingGated", intended=True)


def test_a_pod_that_is_meant_to_wait_waits_for_as_long_as_it_takes() -> None:
    """PENDING says why; the time it may take to start does not pass."""
    stage = gated()
    assert (stage.state, stage.run.status.next_time, stage.run.status.problem) == ("PENDING SchedulingGated", None, "SchedulingGated")
    stage.pass_time(30 * 86400)
    assert (stage.state, stage.stops()) == ("PENDING SchedulingGated", [])


def test_the_time_to_start_in_begins_when_the_last_gate_goes() -> None:
    """Whatever holds the pod back then, and however often that changes."""
    stage = gated().pass_time(7200).start_issue(None)
    released = stage.now
    assert (stage.state, stage.run.status.next_time) == ("PENDING", released + timedelta(seconds=60))
    stage.pass_time(20).start_issue("Unschedulable")
    assert stage.run.status.next_time == released + timedelta(seconds=60)
    stage.pass_time(20).start_issue("ImagePullBackOff")
    assert not stage.pass_time(19).stops()
    stage.pass_time(1).pass_time(1).vanish()
    assert stage.state == "CRASHED ImagePullBackOff"


def test_a_gate_that_goes_straight_into_another_issue_starts_the_clock() -> None:
    """Its patience counts as ever."""
    stage = gated().pass_time(7200).start_issue("CreateContainerConfigError", patience=10)
    assert stage.run.status.next_time == stage.now + timedelta(seconds=10)
    assert not stage.stops()


def test_a_gate_that_is_only_seen_after_the_deadline_is_no_timeout() -> None:
    """The operator was away since it created the pod."""
    stage = Stage(pendingTimeoutSeconds=60)
    stage.now += HOUR
    stage.start_issue("SchedulingGated", intended=True)
    assert (stage.state, stage.stops()) == ("PENDING SchedulingGated", [])
    assert stage.start().state == "RUNNING"


def test_a_run_that_a_gate_holds_can_be_cancelled_and_suspended() -> None:
    """Its pod is deleted before it was bound to a node."""
    for wish, end in (({"cancel": True}, "CANCELLED Cancelled"), ({"suspend": True}, "PAUSED/Suspended Suspended")):
        stage = gated().ask(**wish)
        assert len(stage.stops()) == 1
        assert stage.end(crashed("PodDeleted")).state == end


def test_the_next_attempt_has_a_clock_of_its_own() -> None:
    """The first one's gate says nothing of the second's pod."""
    stage = gated(retries={"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}}).pass_time(7200).end(crashed("PodDeleted")).pass_time(1)
    assert (stage.state, stage.run.status.attempt) == ("PENDING", 2)
    stage.start_issue("Unschedulable")
    assert stage.run.status.next_time == stage.workloads[2].created_time + timedelta(seconds=60)


def test_a_pod_that_just_hangs_before_it_starts_timed_out() -> None:
    """Nothing in it says why."""
    stage = Stage(pendingTimeoutSeconds=60).pass_time(60)
    assert (stage.state, len(stage.stops())) == ("PENDING/PendingTimeout PendingTimeout", 1)
    assert stage.pass_time(1).vanish().state == "CRASHED PendingTimeout"


@pytest.mark.parametrize(
    ("end", "expected"),
    [(crashed("PodDeleted"), "CRASHED PendingTimeout"), (failed("Terminated"), "CRASHED PendingTimeout"), (State(COMPLETED), "COMPLETED")],
    ids=["killed", "failed when told to stop", "completed"],
)
def test_a_pod_that_starts_when_it_is_already_being_stopped_did_not_start_in_time(end: State, expected: str) -> None:
    """We stopped it, so that it is no PodDeleted; unless it got its work done all the same."""
    stage = Stage(pendingTimeoutSeconds=60).pass_time(60).start().pass_time(5).end(end)
    assert stage.state == expected


@pytest.mark.parametrize("issue", ["PendingTimeout", "Unschedulable"])
@pytest.mark.parametrize(
    ("end", "stopped", "expected"),
    [
        (crashed("PodDeleted"), True, "CRASHED"),
        (failed("Terminated"), True, "CRASHED"),
        (failed("ValueError"), False, "SCHEDULED/AwaitingRetry ValueError"),
        (State(COMPLETED), True, "COMPLETED"),
    ],
    ids=["killed", "failed when requested to stop", "failed before that", "completed"],
)
def test_a_pod_that_starts_before_it_is_seen_to_be_stopped_did_not_start_in_time(
    issue: str, end: State, stopped: bool, expected: str
) -> None:
    """The stop is on its way, or its answer was lost: the pod looks as if it had not been stopped."""
    stage = Stage(pendingTimeoutSeconds=60, retries=retries(1, 0))
    if issue != "PendingTimeout":
        stage.pass_time(1).start_issue(issue)
    stage.pass_time(60)
    assert (stage.state, len(stage.stops())) == (f"PENDING/PendingTimeout {issue}", 1)
    stage.start(stopping_time=None)
    assert (stage.state, len(stage.stops())) == (f"PENDING/PendingTimeout {issue}", 2)
    stage.pass_time(5).end(end, stopping_time=stage.now if stopped else None)
    assert stage.state == (f"CRASHED {issue}" if expected == "CRASHED" else expected)


def test_a_pod_that_started_in_time_and_was_deleted_while_the_operator_was_away_was_deleted() -> None:
    """Long past the deadline for starting, but it was not us."""
    stage = Stage(pendingTimeoutSeconds=60)
    stage.now += HOUR
    stage.see(phase=Phase.RUNNING, started_time=START, stopping_time=stage.now)
    assert stage.state == "RUNNING"
    assert stage.end(crashed("PodDeleted")).state == "CRASHED PodDeleted"


def test_trouble_that_goes_away_is_forgotten() -> None:
    """The image arrived after all: PENDING without a reason, then RUNNING."""
    stage = Stage(pendingTimeoutSeconds=60).pass_time(1).start_issue("ImagePullBackOff").pass_time(10).start_issue(None)
    assert (stage.state, stage.run.status.problem) == ("PENDING", "")
    assert stage.start().state == "RUNNING"


def test_a_hopeless_image_is_given_up_at_once() -> None:
    """Waiting cannot help; the crash budget still counts."""
    stage = Stage().pass_time(1).start_issue("InvalidImageName", patience=0)
    assert len(stage.stops()) == 1
    assert stage.vanish().state == "CRASHED InvalidImageName"


def test_why_a_pod_was_stopped_can_still_be_read_off_it_by_the_next_operator() -> None:
    """The one that stopped it died before it wrote down why."""
    stage = Stage()
    stage.see(start_issue=StartIssue("InvalidImageName", "bad name", timedelta(0)), stopping_time=stage.now + GRACE)
    assert (stage.state, stage.stops()) == ("PENDING InvalidImageName", [])
    assert stage.start_issue(None).vanish().state == "CRASHED InvalidImageName"


@pytest.mark.parametrize(
    ("spec", "start_issue", "seconds"),
    [({}, "InvalidImageName", 0), ({}, None, 600), ({"suspend": True}, None, 0)],
    ids=["hopeless", "hanging", "suspended"],
)
def test_why_a_pod_is_stopped_is_in_the_status_that_is_written_before(spec: dict[str, Any], start_issue: str | None, seconds: int) -> None:
    """Stopped, a pod does not say any more what was wrong with it; its stopper may die before it wrote that down."""
    stage = Stage().pass_time(0)
    stage.now += timedelta(seconds=seconds)
    stage.run = stage.run.model_copy(update={"spec": stage.run.spec.model_copy(update=spec)})
    if start_issue:
        stage.workloads[1] = replace(stage.workloads[1], start_issue=StartIssue(start_issue, "bad name", timedelta(0)))
    plan = stage.plan()
    assert len(plan.effects) == 1
    assert plan.status is not None
    assert plan.status != stage.run.status
    stage.run = stage.run.model_copy(update={"status": plan.status})
    assert stage.plan().effects == plan.effects


def test_patience_with_trouble_is_shorter_than_the_pending_timeout() -> None:
    """A Secret may still arrive: a minute, not ten."""
    stage = Stage().pass_time(1).start_issue("CreateContainerConfigError", patience=60)
    assert stage.run.status.next_time == stage.now + timedelta(seconds=60)
    assert not stage.pass_time(59).stops()
    assert stage.pass_time(1).stops()


def test_trouble_that_comes_and_goes_does_not_put_off_the_end() -> None:
    """Counted from the pod's creation, whatever happens in between."""
    stage = Stage(pendingTimeoutSeconds=60)
    for _ in range(20):
        stage.pass_time(2).start_issue("ImagePullBackOff").pass_time(1).start_issue(None)
    assert stage.stops()


def test_a_crash_while_starting_draws_on_the_crash_budget() -> None:
    """Pending timeouts too."""
    stage = Stage(pendingTimeoutSeconds=60, retries=retries(0, 1)).pass_time(61).vanish()
    assert stage.state == "SCHEDULED/AwaitingRetry PendingTimeout"
    assert stage.run.status.crashes == 1


# Running too long.


def test_a_run_that_takes_too_long_is_stopped_and_failed() -> None:
    """FAILED, named TimedOut, from when its code began."""
    stage = Stage(timeoutSeconds=60).pass_time(30).start()
    assert stage.due == START + timedelta(seconds=90)
    assert not stage.pass_time(59).stops()
    stage.pass_time(1).pass_time(5).end(crashed("PodDeleted"))
    assert stage.state == "FAILED/TimedOut TimedOut"
    assert len(stage.stops()) == 1


def test_a_timeout_draws_on_the_failure_budget_and_each_attempt_has_the_whole_time() -> None:
    """TimedOut is the code's doing."""
    stage = Stage(timeoutSeconds=60, retries=retries(1, 5)).start().pass_time(60).end(crashed("PodDeleted"))
    assert (stage.state, stage.run.status.failures) == ("SCHEDULED/AwaitingRetry TimedOut", 1)
    stage.pass_time(to=stage.run.status.next_time).start()
    assert stage.run.status.next_time == stage.now + timedelta(seconds=60)
    assert stage.pass_time(60).end(crashed("PodDeleted")).state == "FAILED/TimedOut TimedOut"


def test_completing_when_told_to_stop_is_completing() -> None:
    """It finished within its grace period: the work is done."""
    assert Stage(timeoutSeconds=60).start().pass_time(60).end().state == "COMPLETED"


def test_a_crash_before_the_deadline_that_is_seen_after_it_is_a_crash() -> None:
    """The operator was away: the pod's own times decide."""
    stage = Stage(timeoutSeconds=60).start()
    stage.now += HOUR
    stage.see(phase=Phase.ENDED, alive=False, ended_time=START + timedelta(seconds=5), stopping_time=START, end=crashed("Drained"))
    assert stage.state == "CRASHED Drained"


def test_a_node_whose_clock_is_behind_still_times_out() -> None:
    """It says that the pod ended in the second before the deadline; it was we who stopped it, after."""
    stage = Stage(timeoutSeconds=60).start().pass_time(60)
    stage.end(crashed("PodDeleted"), ended_time=stage.now - timedelta(seconds=1))
    assert stage.state == "FAILED/TimedOut TimedOut"


@pytest.mark.parametrize("off", [-HOUR, -timedelta(minutes=11), -timedelta(seconds=1), timedelta(seconds=1), HOUR], ids=str)
@pytest.mark.parametrize("seen_seconds", [0, 120], ids=["seen at once", "seen two minutes later"])
def test_a_timeout_is_counted_by_our_clock_whatever_the_node_says(off: timedelta, seen_seconds: int) -> None:
    """A node's clock that is off neither ends a run early nor gives it more than the time until its start is seen."""
    stage = Stage(timeoutSeconds=600).pass_time(30)
    begun = stage.now
    stage.now += timedelta(seconds=seen_seconds)
    stage.start(started_time=begun + off)
    deadline = stage.run.status.next_time
    assert deadline is not None
    assert START + timedelta(seconds=600) <= deadline <= stage.now + timedelta(seconds=600)
    assert not stage.pass_time(to=deadline - timedelta(seconds=1)).stops()
    stage.pass_time(1).pass_time(1).end(crashed("PodDeleted"), ended_time=stage.now + max(off, timedelta(0)))
    assert stage.state == "FAILED/TimedOut TimedOut"


def test_a_node_whose_clock_is_ahead_does_not_time_out_what_was_deleted_before_its_deadline() -> None:
    """Its pod seems to have ended an hour from now, past the deadline."""
    stage = Stage(timeoutSeconds=600).start(started_time=START + HOUR).pass_time(60)
    stage.see(stopping_time=stage.now).end(crashed("PodDeleted"), ended_time=stage.now + HOUR)
    assert stage.state == "CRASHED PodDeleted"


def test_a_pod_that_was_adopted_while_it_ran_has_the_rest_of_its_time() -> None:
    """The operator died before it recorded the pod, and came back half an hour later: the time it was away counts."""
    stage = Stage(settled=False, timeoutSeconds=3600)
    stage.appear(1)
    stage.now += HOUR / 2
    stage.start(attempt=1, started_time=START + timedelta(seconds=10))
    assert stage.run.status.next_time == START + timedelta(seconds=10) + HOUR


def test_what_ended_by_itself_before_it_was_deleted_is_not_taken_for_stopped() -> None:
    """A pod that failed before its deadline and is held may be deleted after it: that is no timeout, and no suspension."""
    stage = Stage(timeoutSeconds=60).start()
    stage.now += timedelta(seconds=90)
    stage.see(phase=Phase.ENDED, alive=False, ended_time=stage.now, stopping_time=stage.now, ended_unasked=True, end=failed())
    assert stage.state == "FAILED ValueError"
    stage = Stage().start()
    stage.run = stage.run.model_copy(update={"spec": stage.run.spec.model_copy(update={"suspend": True})})
    stage.see(phase=Phase.ENDED, alive=False, ended_time=stage.now, stopping_time=stage.now, ended_unasked=True, end=failed())
    assert stage.state == "FAILED ValueError"


def test_without_a_timeout_nothing_is_stopped() -> None:
    """A month is not too long."""
    assert not running().pass_time(30 * 86400).stops()


# Cancelling.


def test_a_run_that_waits_is_cancelled_at_once() -> None:
    """There is nothing to stop."""
    stage = Stage(spec={"scheduledTime": START + HOUR}).ask(cancel=True)
    assert (stage.state, stage.path) == ("CANCELLED Cancelled", ["Scheduled", "Cancelled"])
    assert stage.run.status.problem == ""


def test_a_run_that_was_cancelled_before_it_was_seen_never_starts() -> None:
    """It still gets its first state, then its last one."""
    stage = Stage(spec={"cancel": True})
    assert (stage.path, stage.workloads) == (["Scheduled", "Cancelled"], {})


@pytest.mark.parametrize("begun", [False, True], ids=["pending", "running"])
@pytest.mark.parametrize(
    "end",
    [crashed("PodDeleted"), State(CANCELLED), failed(), State(COMPLETED), State(PAUSED)],
    ids=["killed", "cancelled", "failed", "completed", "paused"],
)
def test_cancelling_stops_the_pod_and_whatever_its_end_the_run_is_cancelled(end: State, *, begun: bool) -> None:
    """CANCELLING until the pod is seen to have ended, with no retry from any budget."""
    stage = Stage(retries=retries(9, 9))
    if begun:
        stage.start()
    stage.pass_time(1).ask(cancel=True)
    assert (stage.state, len(stage.stops())) == ("CANCELLING Cancelling", 1)
    stage.pass_time(5).end(end)
    assert stage.state.startswith("CANCELLED")
    assert stage.run.status.attempt == 1
    assert stage.condition("Cancelled").startswith("True")


def test_a_cancelled_run_still_says_how_its_pod_ended_and_whether_its_history_is_whole() -> None:
    """Its last words are kept, and what lives on beside the flow is stopped."""
    stage = running().ask(cancel=True).end(failed(), alive=True, history_complete=False, spool="s3://b/k")
    assert stage.run.status.state.message == "ended Failed while being cancelled: no such file"  # type: ignore[union-attr]
    assert stage.condition("HistoryComplete") == "False Spooled"
    other = running().see(end=failed(), alive=True, phase=Phase.ENDED)
    assert len(other.stops()) == 1


def test_a_pod_that_vanished_while_being_cancelled_is_an_end() -> None:
    """Nobody can tell how it ended, and it does not matter."""
    assert running().ask(cancel=True).vanish().state == "CANCELLED Cancelled"


def test_what_does_not_stop_when_asked_is_forgotten_by_force() -> None:
    """Its node does not answer: five minutes after its grace period the pod is deleted without one."""
    stage = running().ask(cancel=True)
    stage.pass_time(to=stage.now + GRACE + FORCE_AFTER - timedelta(seconds=1))
    assert stage.state == "CANCELLING Cancelling"
    stage.pass_time(1)
    assert [stop.force for stop in stage.stops()] == [False, True]
    assert (stage.state, stage.workloads) == ("CANCELLED Cancelled", {})


def test_what_was_asked_to_stop_is_looked_at_again_soon() -> None:
    """It may have been gone when it was asked, and the event that would have said so was missed."""
    stage = running()
    stage.run = stage.run.model_copy(update={"spec": stage.run.spec.model_copy(update={"cancel": True})})
    plan = stage.plan()
    assert len(plan.effects) == 1
    assert plan.due == stage.now + TRY_AGAIN


def test_a_run_that_waits_for_its_retry_is_cancelled_at_once() -> None:
    """Between two attempts nothing runs."""
    assert running(retries=retries(1)).end(failed()).ask(cancel=True).state == "CANCELLED Cancelled"


def test_a_finished_run_cannot_be_cancelled() -> None:
    """It ended before; that stays."""
    assert running().end().ask(cancel=True).state == "COMPLETED"


def test_deleting_a_run_cancels_it() -> None:
    """The pod is stopped first, the run keeps its finalizer until its end is known."""
    stage = running().delete()
    assert (stage.state, len(stage.stops())) == ("CANCELLING Cancelling", 1)
    stage.end(crashed("PodDeleted"))
    assert stage.state == "CANCELLED Cancelled"
    assert stage.exists


# Suspending.


def test_a_run_that_is_suspended_before_it_starts_does_not_start() -> None:
    """PAUSED until the wish is taken back, then as if it were new."""
    stage = Stage(spec={"suspend": True})
    assert (stage.state, stage.workloads, stage.condition("Suspended")) == ("PAUSED/Suspended Suspended", {}, "True Suspended")
    stage.pass_time(3600).ask(suspend=False)
    assert stage.state == "PENDING"
    assert stage.condition("Suspended").startswith("False")
    assert stage.start().end().state == "COMPLETED"


def test_resuming_does_not_forget_the_scheduled_time() -> None:
    """Suspended and resumed before its time, a run still waits for it."""
    stage = Stage(spec={"scheduledTime": START + HOUR}).ask(suspend=True)
    assert stage.state == "PAUSED/Suspended Suspended"
    stage.pass_time(60).ask(suspend=False)
    assert (stage.state, stage.due) == ("SCHEDULED Resumed", START + HOUR)
    assert stage.pass_time(to=START + HOUR).state == "PENDING"


@pytest.mark.parametrize("begun", [False, True], ids=["pending", "running"])
@pytest.mark.parametrize("end", [crashed("PodDeleted"), failed("Terminated")], ids=["killed", "failed when told to stop"])
def test_suspending_stops_the_pod_at_nobodys_expense(end: State, *, begun: bool) -> None:
    """Neither a crash nor a failure: PAUSED; resumed, it runs again as the next attempt."""
    stage = Stage()
    if begun:
        stage.start()
    stage.pass_time(1).ask(suspend=True)
    assert (len(stage.stops()), stage.condition("Suspended")) == (1, "False Suspending")
    stage.pass_time(2).end(end)
    assert (stage.state, stage.condition("Suspended")) == ("PAUSED/Suspended Suspended", "True Suspended")
    stage.pass_time(3600)
    assert stage.run.status.attempt == 1
    stage.ask(suspend=False)
    assert (stage.state, stage.run.status.attempt) == ("PENDING", 2)
    assert (stage.run.status.failures, stage.run.status.crashes) == (0, 0)


def test_a_suspension_taken_back_while_the_pod_still_stops_is_no_crash() -> None:
    """We stopped it, so that it starts again without a budget."""
    stage = running().ask(suspend=True).pass_time(2).ask(suspend=False).pass_time(2).end(crashed("PodDeleted"))
    assert stage.state == "PENDING"
    assert stage.run.status.attempt == 2
    assert stage.path[-4:] == ["Running", "Suspended", "Scheduled", "Pending"]


def test_a_suspension_taken_back_before_anything_was_stopped_leaves_no_trace() -> None:
    """A crash long after it is a crash."""
    stage = running()
    stage.run = stage.run.model_copy(update={"spec": stage.run.spec.model_copy(update={"suspend": True})})
    stage.carry_out(replace(stage.plan(), effects=()))
    stage.ask(suspend=False)
    assert stage.condition("Suspended") == "False Resumed"
    assert stage.pass_time(3600).end(crashed("Drained"), stopping_time=stage.now).state == "CRASHED Drained"


def test_completing_in_spite_of_a_suspension_is_completing() -> None:
    """The work is done; there is nothing left to suspend."""
    stage = running().ask(suspend=True).end()
    assert (stage.state, stage.condition("Suspended")) == ("COMPLETED", "False Completed")


def test_a_suspended_run_can_be_cancelled() -> None:
    """At once, for nothing runs."""
    assert Stage(spec={"suspend": True}).ask(cancel=True).state == "CANCELLED Cancelled"


def test_cancelling_outranks_suspending() -> None:
    """Both wishes, one pod that stops: the run is over."""
    assert running().ask(suspend=True).ask(cancel=True).end(crashed()).state == "CANCELLED Cancelled"


def test_a_retry_that_is_suspended_waits_in_pause() -> None:
    """Between two attempts nothing is to be stopped."""
    stage = running(retries=retries(1)).end(failed()).ask(suspend=True)
    assert stage.state == "PAUSED/Suspended Suspended"
    assert stage.ask(suspend=False).state == "PENDING"


def test_a_pod_nobody_recorded_is_stopped_when_the_run_is_suspended() -> None:
    """It is not taken for the run's own later on."""
    stage = Stage(settled=False, spec={"suspend": True})
    stage.appear(1)
    stage.settle()
    assert (stage.state, len(stage.stops())) == ("PAUSED/Suspended Suspended", 1)
    stage.ask(suspend=False)
    assert stage.state == "SCHEDULED Resumed"
    stage.see(1, alive=False, phase=Phase.ENDED, end=crashed())
    assert (stage.state, stage.run.status.attempt) == ("PENDING", 2)


def test_a_pod_that_was_created_on_resuming_but_not_recorded_is_adopted() -> None:
    """Its creator died between the two writes; the next one must not take it for one that is to be stopped."""
    stage = Stage(spec={"suspend": True})
    stage.run = stage.run.model_copy(update={"spec": stage.run.spec.model_copy(update={"suspend": False})})
    stage.appear(2)
    stage.settle()
    assert (stage.state, stage.run.status.attempt, stage.stops()) == ("PENDING", 2, [])


def test_a_pod_that_was_created_on_resuming_and_stopped_for_the_next_suspension_is_no_crash() -> None:
    """It was never recorded; resumed once more, the run goes on as the attempt after it."""
    stage = Stage(spec={"suspend": True})
    stage.appear(2)
    stage.settle()
    assert (stage.state, len(stage.stops())) == ("PAUSED/Suspended Suspended", 1)
    stage.see(2, alive=False, phase=Phase.ENDED, end=crashed()).ask(suspend=False)
    assert (stage.state, stage.run.status.attempt) == ("PENDING", 3)


# What cannot be started.


@pytest.mark.parametrize(
    ("create_error", "verdict"),
    [
        (CreateError("InvalidParameters", "day: not a date", FAILED), "FAILED InvalidParameters"),
        (CreateError("PodRejected", "no such field", CRASHED), "CRASHED PodRejected"),
    ],
    ids=["parameters", "pod"],
)
def test_what_nothing_will_mend_ends_at_once_whatever_the_budgets(create_error: CreateError, verdict: str) -> None:
    """No pod, no retry."""
    stage = Stage(settled=False, retries=retries(9, 9))
    stage.create_error = create_error
    stage.settle()
    assert (stage.state, stage.workloads) == (verdict, {})
    assert stage.run.status.state.message == create_error.message  # type: ignore[union-attr]


def test_what_may_still_come_is_waited_for() -> None:
    """A run and its deployment may be applied in any order: ten seconds, asked about every five."""
    stage = Stage(settled=False)
    stage.create_error = CreateError("DeploymentNotFound", "no such deployment", FAILED, timedelta(seconds=10))
    stage.settle()
    assert (stage.state, stage.due) == ("SCHEDULED DeploymentNotFound", START + TRY_AGAIN)
    assert stage.run.status.problem == "DeploymentNotFound"
    stage.pass_time(9)
    assert stage.state == "SCHEDULED DeploymentNotFound"
    assert stage.pass_time(1).state == "FAILED DeploymentNotFound"


def test_what_has_come_in_time_is_forgotten() -> None:
    """The deployment arrived: the run starts as if nothing had been."""
    stage = Stage(settled=False)
    stage.create_error = CreateError("DeploymentNotFound", "no such deployment", FAILED, timedelta(seconds=10))
    stage.settle().pass_time(5)
    stage.create_error = None
    assert stage.settle().state == "PENDING"
    assert stage.run.status.problem == ""


def test_a_quota_is_waited_for_without_end() -> None:
    """Others will free it; one transition says so, not one every five seconds."""
    stage = Stage(settled=False)
    stage.create_error = CreateError("QuotaExceeded", "no room", CRASHED, None)
    for _ in range(100):
        stage.pass_time(3600)
    assert (stage.state, len(stage.history)) == ("SCHEDULED QuotaExceeded", 2)


def test_a_refusal_is_no_hurry_before_the_run_is_due() -> None:
    """What is missing today may be there tomorrow."""
    stage = Stage(settled=False, spec={"scheduledTime": START + HOUR})
    stage.create_error = CreateError("InvalidParameters", "day: not a date", FAILED)
    assert stage.settle().state == "SCHEDULED"
    assert stage.pass_time(3600).state == "FAILED InvalidParameters"


def test_a_run_that_cannot_start_can_be_cancelled_and_suspended() -> None:
    """The owner's wishes come first."""
    for wish, state in (({"cancel": True}, "CANCELLED Cancelled"), ({"suspend": True}, "PAUSED/Suspended Suspended")):
        stage = Stage(settled=False)
        stage.create_error = CreateError("QuotaExceeded", "no room", CRASHED, None)
        assert stage.settle().ask(**wish).state == state


def test_a_run_whose_deployment_was_deleted_goes_on_without_retries() -> None:
    """What to run is not known any more, but the pod is there."""
    stage = running(retries=retries(5, 5))
    stage.template = None
    assert stage.pass_time(60).state == "RUNNING"
    assert stage.end(failed()).state == "FAILED ValueError"


# After the end.


def finished(**fields: Any) -> Stage:
    """A completed run."""
    return running(**fields).end()


@pytest.mark.parametrize("attempt", [1, 2], ids=["the last attempt", "an attempt nobody recorded"])
def test_nothing_of_a_finished_run_lives_on(attempt: int) -> None:
    """Whatever is found alive is stopped, and by force where it does not listen."""
    stage = finished()
    stage.appear(attempt)
    stage.settle()
    assert [stop.name for stop in stage.stops()] == [f"r-{attempt}"]
    stage.pass_time(to=stage.now + GRACE + FORCE_AFTER)
    assert stage.stops()[-1].force
    assert attempt not in stage.workloads


def test_a_finished_run_leaves_the_cluster_when_its_time_is_over() -> None:
    """Not earlier; the plan says when."""
    stage = finished()
    end = stage.now
    stage.ttl = HOUR
    stage.settle()
    assert stage.due == end + HOUR
    stage.pass_time(3599)
    assert stage.run.metadata.deletion_timestamp is None
    stage.pass_time(1)
    assert stage.effects[-1] == DeleteRun("team", "r", "u", "its time to live is over")


def test_a_deleted_run_waits_for_the_mirror_and_then_leaves_a_tombstone() -> None:
    """The mirror may be away for an hour."""
    stage = finished().pass_time(60).delete()
    assert stage.due == stage.now + HOUR
    stage.pass_time(3599)
    assert stage.exists
    stage.pass_time(1)
    assert (stage.effects[-1], stage.exists) == (ReleaseRun(tombstone=True), False)


def test_without_a_mirror_a_deleted_run_is_let_go_at_once() -> None:
    """A finalizer from times when there was one holds nothing."""
    stage = finished()
    stage.mirrored = False
    assert stage.delete().effects[-1] == ReleaseRun(tombstone=False)


def test_a_run_the_mirror_has_let_go_is_left_alone() -> None:
    """No finalizer of ours: others hold it, or nobody."""
    stage = finished(mirrored=False).delete()
    assert not [effect for effect in stage.effects if isinstance(effect, ReleaseRun)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"history_complete": True}, "True Delivered"),
        ({"history_complete": False, "spool": "s3://b/k"}, "False Spooled"),
        ({"history_complete": False}, "False NoReport"),
        ({"history_complete": False, "history_reason": HistoryReason.SCHEMA_REPLACED}, "False SchemaReplaced"),
        ({"history_complete": False, "history_reason": HistoryReason.HISTORY_LOST, "spool": "s3://b/k"}, "False HistoryLost"),
        ({"history_complete": False, "history_reason": HistoryReason.WIRE_VERSION_NOT_SERVED}, "False WireVersionNotServed"),
        ({"history_complete": None}, ""),
    ],
)
def test_the_end_says_whether_its_history_is_whole(fields: dict[str, Any], expected: str) -> None:
    """Delivered, spooled somewhere, or unknown; a plain container has none."""
    assert running().end(**fields).condition("HistoryComplete") == expected


# What holds for every run.


def test_a_run_of_very_many_attempts_keeps_its_latest_transitions_only() -> None:
    """The status is bounded; sequences go on without a gap."""
    stage = Stage(retries=retries(100))
    for _ in range(100):
        stage.start().end(failed())
        stage.pass_time(to=stage.run.status.next_time)
    assert stage.run.status.sequence == 2 + 100 * 4  # a retry also waits
    assert len(stage.run.status.transitions) == TRANSITIONS_KEPT
    sequences = [transition.sequence for transition in stage.run.status.transitions]
    assert sequences == list(range(stage.run.status.sequence - TRANSITIONS_KEPT + 1, stage.run.status.sequence + 1))


def test_times_never_go_back_though_clocks_do() -> None:
    """A pod tells whole seconds of its node's clock, and the next operator's clock may be slow."""
    stage = Stage().start(started_time=START - timedelta(seconds=5))
    stage.now -= timedelta(seconds=30)
    stage.end(ended_time=START - timedelta(minutes=5))
    times = [transition.time for transition in stage.history]
    assert times == sorted(times)
    assert stage.run.status.end_time == times[-1]


def test_a_retry_has_the_same_backoff_after_a_restart() -> None:
    """Jitter depends on the run and the attempt, not on chance."""
    plan = Stage(retries={"onFailure": {"limit": 1, "backoff": {"jitter": 1}}})
    plan.start()
    plan.workloads[1] = replace(plan.workloads[1], phase=Phase.ENDED, alive=False, end=failed())
    assert plan.plan() == plan.plan()
    other = FlowRun.model_validate(
        {"metadata": {"name": "r", "uid": "other"}, "spec": {"deployment": "d"}, "status": plan.run.status.to_wire()}
    )
    seen = RunObservation(other, plan.template, plan.workloads)
    assert reconcile(seen, plan.now).status.next_time != plan.plan().status.next_time  # type: ignore[union-attr]


def test_every_transition_says_which_rule_made_it_so() -> None:
    """A retry is not an Accept: the rule, its sentence and what was proposed are on record."""
    last = running(retries=retries(1)).end(failed()).entered[-1]
    assert (last.rule, last.verdict, last.proposed, last.to, last.attempt) == ("retry_failed", "Redirect", FAILED, "SCHEDULED", 1)
    assert last.message == "failure 1 of 1 allowed, again in 10.0 s: no such file"


def test_the_status_says_which_generation_it_speaks_of() -> None:
    """As observedGeneration of any resource."""
    stage = running()
    assert stage.run.status.observed_generation == 1
    stage.ask(cancel=True)
    assert stage.run.status.observed_generation == 2


def test_the_finalizer_is_asked_for_once() -> None:
    """And not for a run that is being deleted, which the API server would refuse."""
    stage = running().pass_time(60)
    assert stage.effects.count(AddFinalizer()) == 1
    assert names.MIRROR_FINALIZER in stage.run.metadata.finalizers
    other = Stage(settled=False)
    other.delete()
    assert AddFinalizer() not in other.effects
    assert other.state == "CANCELLED Cancelled"


# Reruns, and flows that suspend themselves.

WAITS = State(PAUSED, "Suspended", message="waits for approval")


@pytest.mark.parametrize("end", [failed(), crashed("OOMKilled"), State(COMPLETED)], ids=["failed", "crashed", "completed"])
def test_a_raised_count_of_reruns_starts_a_finished_run_again(end: State) -> None:
    """In another attempt, once; what was said of the end no longer holds."""
    stage = running().end(end, history_complete=True).pass_time(60)
    stage.ask(reruns=1)
    assert (stage.state, stage.run.status.attempt, stage.run.status.end_time) == ("PENDING", 2, None)
    assert (stage.condition("Finished"), stage.condition(end.name), stage.condition("HistoryComplete")) == ("False Pending", "", "")
    assert stage.history[-2].message == "spec.reruns was raised to 1"
    stage.start().end()
    assert (stage.state, stage.condition("Finished")) == ("COMPLETED", "True Completed")


def test_a_rise_while_the_run_goes_on_waits_for_its_end_and_counts_once_however_high() -> None:
    """Two who resume at once start it once."""
    stage = running().ask(reruns=1).ask(reruns=3)
    assert stage.run.status.attempt == 1
    stage.end(failed())
    assert (stage.state, stage.run.status.attempt, stage.run.status.reruns) == ("PENDING", 2, 3)
    stage.start().end()
    assert stage.state == "COMPLETED"


def test_the_count_that_a_run_is_created_with_asks_for_nothing() -> None:
    """As where manifests of old runs are applied to a new cluster."""
    stage = Stage(spec={"reruns": 4}).pass_time(1).start().end()
    assert (stage.state, stage.run.status.reruns) == ("COMPLETED", 4)


@pytest.mark.parametrize("way", ["cancel", "delete"])
def test_who_ends_a_run_wins_over_who_wants_it_again(way: str) -> None:
    """It stays as it ended, also where both were wished at once; what is waiting ends CANCELLED."""
    stage = running().end(failed())
    stage._change(spec=stage.run.spec.model_copy(update={"reruns": 1, "cancel": way == "cancel"}))
    if way == "delete":
        stage.delete()
    assert stage.settle().state == "FAILED ValueError"
    waiting = running().end(WAITS, suspension="s")
    waiting = waiting.ask(cancel=True, reruns=1) if way == "cancel" else waiting.delete()
    assert waiting.state == "CANCELLED Cancelled"


def test_a_rerun_comes_before_the_end_of_its_time_to_live() -> None:
    """Who asked in time is not cleaned up."""
    stage = running().end(failed())
    stage._change(spec=stage.run.spec.model_copy(update={"reruns": 1}))
    stage.pass_time(8 * 86400)
    assert stage.state == "PENDING"
    assert not [effect for effect in stage.effects if isinstance(effect, DeleteRun)]


def test_a_suspended_run_that_is_wanted_again_waits_for_its_owner() -> None:
    """spec.suspend holds it back; the rerun is not forgotten."""
    stage = running().end(failed()).ask(suspend=True).ask(reruns=1)
    assert (stage.state, stage.run.status.attempt) == ("PAUSED/Suspended Suspended", 1)
    stage.ask(suspend=False)
    assert (stage.state, stage.run.status.attempt) == ("PENDING", 2)


def test_reruns_grant_no_retries() -> None:
    """Budgets are for the life of a run."""
    stage = running(retries=retries(failures=1)).end(failed()).pass_time(10).start().end(failed())
    assert stage.state == "FAILED ValueError"
    stage.ask(reruns=1).start().end(failed())
    assert (stage.state, stage.run.status.attempt, stage.run.status.failures) == ("FAILED ValueError", 3, 1)


def test_a_flow_that_suspends_itself_waits_without_a_workload_until_it_is_wanted_again() -> None:
    """PAUSED, and left so; the suspension is over in the attempt after it."""
    stage = running().end(WAITS, suspension="approve", history_complete=True)
    assert (stage.state, stage.run.status.suspension) == ("PAUSED/Suspended SuspendedItself", "approve")
    assert (stage.condition("Suspended"), stage.due) == ("True SuspendedItself", None)
    stage.ask(suspend=True).ask(suspend=False).pass_time(86400)
    assert stage.state == "PAUSED/Suspended SuspendedItself"
    stage.ask(reruns=1)
    assert (stage.state, stage.run.status.attempt, stage.run.status.resumed) == ("PENDING", 2, ("approve",))
    assert (stage.run.status.suspension, stage.condition("Suspended")) == ("", "False Resumed")


def test_a_suspension_that_nobody_ends_in_time_fails_the_run() -> None:
    """The operator looks again by itself; whoever reruns it is asked once more."""
    late = START + HOUR
    stage = running().end(WAITS, suspension="approve", resume_by=late)
    assert stage.due == stage.run.status.next_time == late
    stage.pass_time(to=late)
    assert stage.state == "FAILED/TimedOut SuspensionTimedOut"
    stage.ask(reruns=1)
    assert (stage.state, stage.run.status.resumed) == ("PENDING", ())


def test_who_resumes_a_suspension_that_the_operator_finds_overdue_was_in_time() -> None:
    """The wish is on record; when it came nobody can tell."""
    stage = running().end(WAITS, suspension="approve", resume_by=START + HOUR)
    stage._change(spec=stage.run.spec.model_copy(update={"reruns": 1}))
    stage.pass_time(to=START + 2 * HOUR)
    assert stage.state == "PENDING"


def test_a_flow_cannot_suspend_itself_for_ever() -> None:
    """The list of what is over has an end."""
    stage = running()
    for number in range(RESUMED_LIMIT):
        stage.end(WAITS, suspension=f"s{number}").ask(reruns=number + 1).pass_time(1).start()
    stage.end(WAITS, suspension="one too many")
    assert stage.state == "FAILED TooManySuspensions"


def test_a_resumed_run_keeps_under_whose_uid_its_results_are() -> None:
    """The run it came from may leave the cluster afterwards."""
    stage = Stage(settled=False, spec={"resumeFrom": "other"})
    stage.resumed_from = "uid-of-other"
    stage.settle()
    assert stage.run.status.resumed_from == "uid-of-other"
