"""Pod status → verdict: every row of the failure table, what outranks what, and that no pod is beyond judgement."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.reports import Report, decode_report
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, State
from mintaka_core.workloads import Phase
from mintaka_operator.diagnosis import diagnose, overridden
from mintaka_operator.pending_reasons import PENDING_REASONS
from mintaka_operator.pod_verdicts import POD_VERDICTS
from mintaka_operator.podview import PodView
from pod_signs import (
    ASKED,
    CASES,
    CREATED,
    DEADLINE,
    ENDED,
    PRECEDENCE,
    STARTED,
    Case,
    container,
    ended,
    flow,
    pod,
    report,
    running,
    starting,
    status,
    waiting,
)

ROWS_WITHOUT_A_POD = {12, 28}


def instant(text: str) -> datetime:
    """A time of the table."""
    return datetime.fromisoformat(text)


class TestRows:
    def test_the_examples_cover_every_row_of_the_failure_table(self) -> None:
        shown = {int(word) for case in CASES for word in case.rows.split() if word.isdigit()}
        assert shown | ROWS_WITHOUT_A_POD == set(range(1, 29))

    @pytest.mark.parametrize("case", [*CASES, *PRECEDENCE], ids=str)
    def test_a_pod_is_taken_for_what_it_shows(self, case: Case) -> None:
        seen = diagnose(pod(case))
        end = (seen.end.type, seen.end.reason) if seen.end else None
        start_issue = seen.start_issue and (
            seen.start_issue.reason,
            seen.start_issue.patience and seen.start_issue.patience.total_seconds(),
        )
        if seen.start_issue and seen.start_issue.patience == timedelta(0):
            start_issue = (seen.start_issue.reason, 0)
        assert end == case.end
        assert start_issue == case.start_issue
        said = seen.end.message if seen.end else seen.start_issue.message if seen.start_issue else ""
        assert case.says in said
        assert (seen.never_ran, seen.retriable) == (case.never_ran, case.retriable)
        assert (seen.phase == Phase.ENDED) == (case.end is not None)

    @pytest.mark.parametrize("case", [*CASES, *PRECEDENCE], ids=str)
    def test_a_message_never_shows_the_report_that_programs_read(self, case: Case) -> None:
        end = diagnose(pod(case)).end
        assert not end or "historyComplete" not in end.message

    @pytest.mark.parametrize("row", [*POD_VERDICTS, *PENDING_REASONS], ids=lambda row: f"{row.number}: {row.situation}")
    def test_every_row_is_reached_by_an_example(self, row: Any) -> None:
        rows = PENDING_REASONS if row in PENDING_REASONS else POD_VERDICTS
        deciding = []
        for case in (*CASES, *PRECEDENCE):
            if (case.end is None) == (row in PENDING_REASONS):
                view = PodView(pod(case))
                deciding.append(next((found.number for found in rows if found.judge(view)), None))
        assert row.number in deciding


class TestTimesAndSigns:
    def test_a_pod_that_runs_tells_since_when(self) -> None:
        seen = diagnose(pod(Case("", "", flow(running(), "Running"))))
        assert (seen.phase, seen.started_time, seen.ended_time, seen.end) == (Phase.RUNNING, instant(STARTED), None, None)
        assert (seen.name, seen.attempt, seen.created_time, seen.exit_code) == ("nightly-1", 1, instant(CREATED), None)
        assert seen.alive

    def test_a_pod_that_has_ended_tells_when(self) -> None:
        seen = diagnose(pod(Case("", "", flow(ended(3)))))
        assert (seen.started_time, seen.exit_code, seen.alive) == (instant(STARTED), 3, False)
        assert seen.ended_time
        assert timedelta(0) <= seen.ended_time - instant(ENDED) <= timedelta(seconds=1), "Kubernetes cuts times to whole seconds"

    def test_stopping_is_when_the_grace_period_is_over(self) -> None:
        seen = diagnose(pod(Case("", "", flow(running(), "Running"), deleted=True)))
        assert seen.stopping_time == instant(DEADLINE)

    def test_a_container_that_was_never_seen_starting_has_run_where_it_has_an_exit_code(self) -> None:
        seen = diagnose(pod(Case("", "", flow(ended(0, "Completed", started=None), "Succeeded"))))
        assert (seen.end, seen.started_time) == (State(COMPLETED), instant(ENDED))

    @pytest.mark.parametrize("reason", ["StartError", "ContainerCannotRun", "ContainerStatusUnknown"])
    def test_an_exit_code_that_was_made_up_proves_no_start(self, reason: str) -> None:
        assert diagnose(pod(Case("", "", flow(ended(128, reason, started=None))))).started_time is None

    def test_a_pod_lives_while_a_sidecar_runs(self) -> None:
        spec = {"containers": [{"name": "flow"}, {"name": "proxy"}]}
        assert diagnose(pod(Case("", "", status("Running", container(ended(0)), container(running(), "proxy")), spec=spec))).alive

    def test_a_native_sidecar_is_stopped_by_the_kubelet(self) -> None:
        native = [container(running(), "proxy")]
        assert not diagnose(pod(Case("", "", status("Running", container(ended(0)), initContainerStatuses=native)))).alive

    def test_a_pod_lives_before_its_containers_are_known(self) -> None:
        assert diagnose(pod(Case("", "", {"phase": "Pending"}))).alive

    def test_a_sidecar_that_cannot_be_pulled_keeps_the_flow_from_starting(self) -> None:
        proxy = container(waiting("ImagePullBackOff", "Back-off pulling image envoy"), "proxy")
        start_issue = diagnose(pod(Case("", "", status("Pending", container(waiting("ContainerCreating")), proxy)))).start_issue
        assert start_issue
        assert start_issue.reason == "ImagePullBackOff"

    def test_a_sidecar_that_cannot_be_pulled_is_no_trouble_for_a_flow_that_runs(self) -> None:
        proxy = container(waiting("ImagePullBackOff", "Back-off pulling image envoy"), "proxy")
        assert diagnose(pod(Case("", "", status("Running", container(running()), proxy)))).start_issue is None

    @pytest.mark.parametrize(("label", "attempt"), [("7", 7), ("", 0), ("two", 0), ("²", 0), ("-1", 0)])
    def test_a_damaged_attempt_label_is_attempt_0(self, label: str, attempt: int) -> None:
        damaged = pod(Case("", "", starting(waiting("ContainerCreating"))))
        damaged["metadata"]["labels"]["mintaka.dev/attempt"] = label
        assert diagnose(damaged).attempt == attempt

    def test_a_pod_without_labels_owners_and_status_is_pending(self) -> None:
        seen = diagnose({"metadata": {"name": "x", "creationTimestamp": CREATED}})
        assert (seen.phase, seen.attempt, seen.end, seen.start_issue) == (Phase.PENDING, 0, None, None)

    def test_a_pod_without_a_creation_time_is_an_error(self) -> None:
        with pytest.raises(ValueError, match="pod x has no creationTimestamp"):
            diagnose({"metadata": {"name": "x"}})

    @pytest.mark.parametrize(("asked", "verdict"), [(-1, COMPLETED), (0, CRASHED), (1, CRASHED)])
    def test_exit_0_counts_where_it_came_before_the_wish_to_stop(self, asked: int, verdict: str) -> None:
        finished = (instant(ASKED) + timedelta(seconds=asked)).strftime("%Y-%m-%dT%H:%M:%SZ")
        seen = diagnose(pod(Case("", "", flow(ended(0, "Completed", finished=finished), "Succeeded"), deleted=True)))
        assert seen.end
        assert seen.end.type == verdict


class TestHistory:
    def test_a_report_says_whether_the_history_is_complete(self) -> None:
        told = Report(1, State(COMPLETED), history_complete=False, spool="/data/spool").encode()
        seen = diagnose(pod(Case("", "", flow(ended(0, "Completed", told), "Succeeded"), sdk=True)))
        assert (seen.history_complete, seen.spool) == (False, "/data/spool")

    def test_an_end_without_a_report_leaves_the_history_in_doubt(self) -> None:
        assert diagnose(pod(Case("", "", flow(ended(137)), sdk=True))).history_complete is False

    def test_a_plain_container_has_no_history(self) -> None:
        assert diagnose(pod(Case("", "", flow(ended(0)), sdk=False))).history_complete is None

    def test_what_never_ran_has_no_history(self) -> None:
        assert diagnose(pod(Case("", "", {"phase": "Failed", "reason": "OutOfcpu"}, sdk=True))).history_complete is None

    def test_a_report_that_is_not_believed_does_not_forbid_retries(self) -> None:
        lying = flow(ended(137, "OOMKilled", report(FAILED, "ValueError", retriable=False)))
        assert diagnose(pod(Case("", "", lying, sdk=True))).retriable


class TestOverrides:
    def test_a_verdict_replaces_the_type_and_keeps_reason_and_message(self) -> None:
        end = State(CRASHED, reason="OOMKilled", message="out of memory")
        assert overridden(end, {"OOMKilled": "FAILED"}) == State(FAILED, reason="OOMKilled", message="out of memory")

    def test_the_name_follows_the_type(self) -> None:
        end = overridden(State(FAILED, "TimedOut", "TimedOut"), {"TimedOut": "CRASHED"})
        assert end
        assert (end.type, end.name) == (CRASHED, "Crashed")

    @pytest.mark.parametrize("verdicts", [None, {}, {"Evicted": "FAILED"}])
    def test_other_reasons_stay_as_they_are(self, verdicts: dict[str, str] | None) -> None:
        end = State(CRASHED, reason="OOMKilled")
        assert overridden(end, verdicts) is end

    def test_what_has_not_ended_has_nothing_to_override(self) -> None:
        assert overridden(None, {"OOMKilled": "FAILED"}) is None

    @pytest.mark.parametrize("entry", sorted({entry for row in POD_VERDICTS for entry in row.overrides}))
    def test_every_override_the_table_names_turns_a_conclusion_around(self, entry: str) -> None:
        reason, verdict = entry.split(": ")
        ends = [end for case in (*CASES, *PRECEDENCE) if (end := diagnose(pod(case)).end) and end.reason == reason]
        assert any(end.type != verdict for end in ends), "no example ends for this reason"
        assert {found.type for end in ends if (found := overridden(end, {reason: verdict}))} == {verdict}


words = st.sampled_from(["", "Error", "Completed", "OOMKilled", "Evicted", "ContainerStatusUnknown", "StartError", "OutOfcpu", "DeadlineExceeded", "Terminated", "NodeLost", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "Unschedulable", "DeletionByPodGC"]) | st.text(max_size=8)  # fmt: skip
times = st.sampled_from([None, "", "1970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", CREATED, STARTED, ASKED, ENDED, DEADLINE])
reports = st.builds(
    report,
    st.sampled_from([COMPLETED, FAILED, CRASHED, CANCELLED]),
    words,
    st.text(max_size=20),
    retriable=st.booleans(),
    attempt=st.integers(0, 2),
)


def maybe(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """An object of the Kubernetes API: any field may be missing or null."""
    return st.fixed_dictionaries({}, optional={name: st.none() | strategy for name, strategy in fields.items()})


states = maybe(
    waiting=maybe(reason=words, message=st.text(max_size=8)),
    running=maybe(startedAt=times),
    terminated=maybe(
        exitCode=st.sampled_from([0, 1, 2, 75, 127, 128, 137, 143, 255, -1]) | st.integers(),
        reason=words,
        message=st.text(max_size=8) | reports,
        startedAt=times,
        finishedAt=times,
    ),
)
containers = st.lists(maybe(name=st.sampled_from(["flow", "proxy", "a"]), state=states, lastState=states), max_size=3)
conditions = st.lists(
    maybe(
        type=st.sampled_from(["DisruptionTarget", "PodScheduled", "Ready"]),
        status=st.sampled_from(["True", "False", "Unknown"]),
        reason=words,
        message=st.text(max_size=8),
        lastTransitionTime=times,
    ),
    max_size=3,
)
statuses = maybe(
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]), reason=words,
    message=st.text(max_size=8) | st.sampled_from(["Pod was rejected: no", "exceeds the limit"]), conditions=conditions, containerStatuses=containers, initContainerStatuses=containers,
)  # fmt: skip
metadata = maybe(
    deletionTimestamp=times, deletionGracePeriodSeconds=st.integers(0, 600), uid=st.text(max_size=4),
    labels=st.dictionaries(st.sampled_from(["mintaka.dev/attempt", "mintaka.dev/reports"]), st.sampled_from(["1", "2", "true", "no", "²"])),
)  # fmt: skip
specs = maybe(
    containers=st.lists(maybe(name=st.sampled_from(["flow", "proxy"])), max_size=2),
    initContainers=st.lists(maybe(name=st.just("a"), restartPolicy=st.just("Always")), max_size=2),
)


class TestAnyPod:
    @given(metadata, specs, statuses)
    def test_no_status_is_beyond_judgement_and_every_judgement_agrees_with_itself(
        self, more: dict[str, Any], spec: dict[str, Any], seen: dict[str, Any]
    ) -> None:
        workload = diagnose({"metadata": {**more, "name": "x", "creationTimestamp": CREATED}, "spec": spec, "status": seen})
        over = workload.phase == Phase.ENDED
        assert (workload.end is not None) == over
        if workload.end:
            assert workload.end.is_terminal
            assert workload.start_issue is None
        if not workload.alive:
            assert over, "what does not live any more must have ended"
        if workload.end and workload.end.type == COMPLETED:
            assert workload.started_time is not None, "a run that completed must have been able to become RUNNING"
        if workload.phase == Phase.RUNNING:
            assert workload.started_time is not None
        if workload.never_ran:
            assert workload.end
            assert (workload.end.type, workload.started_time) == (CRASHED, None)
        if workload.start_issue:
            assert workload.phase == Phase.PENDING
        assert diagnose({"metadata": {**more, "name": "x", "creationTimestamp": CREATED}, "spec": spec, "status": seen}) == workload


class TestReportsOfStrangers:
    @pytest.mark.parametrize(
        "change",
        [{"attempt": float("inf")}, {"attempt": None}, {"mintaka": 2}, {"type": "RUNNING"}, {"type": "?"}, {"name": ...}, {"attempt": "x"}],
        ids=str,
    )
    def test_what_is_no_report_is_none(self, change: dict[str, Any]) -> None:
        data = {**json.loads(report(FAILED)), **change}
        data = {key: value for key, value in data.items() if value is not ...}
        assert decode_report(json.dumps(data)) is None

    @given(st.text(max_size=60))
    def test_any_text_is_read_without_an_error(self, text: str) -> None:
        assert decode_report(text) is None

    def test_what_no_resource_can_hold_is_replaced(self) -> None:
        told = report(FAILED, "FileNotFoundError", "gone: x").replace("gone: x", "\\udcff\\u0000")
        seen = diagnose(pod(Case("", "", flow(ended(1, message=told)), sdk=True)))
        assert seen.end
        assert seen.end.at(datetime.now(UTC)).message == "?\N{REPLACEMENT CHARACTER}"
        assert replace(seen.end, message="").reason == "FileNotFoundError"
