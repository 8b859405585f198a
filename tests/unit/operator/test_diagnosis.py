"""Pod status → verdict: every row of the failure table, what outranks what, and that no pod is beyond judgement."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_controller.gathering import overridden
from mintaka_core.failure_rows import first_match
from mintaka_core.reports import Report, decode_report
from mintaka_core.states import CANCELLED, COMPLETED, CRASHED, FAILED, State
from mintaka_core.workloads import Phase, Workload
from mintaka_operator.diagnosis import diagnose
from mintaka_operator.pending_reasons import PENDING_REASONS
from mintaka_operator.pod_verdicts import POD_VERDICTS
from mintaka_operator.podview import PodView, PodWithoutIdentity
from pod_signs import (
    ASKED,
    CASES,
    CREATED,
    DEADLINE,
    ENDED,
    HELD,
    PRECEDENCE,
    STARTED,
    UNWRITTEN,
    Case,
    condition,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS_WITHOUT_A_POD = {12, 28}
EVERY = (*CASES, *PRECEDENCE, *UNWRITTEN, *HELD)


def judged(case: Case) -> Workload:
    """What an example is taken for."""
    return diagnose(pod(case), node_gone=case.node_gone)


def instant(text: str) -> datetime:
    """A time of the table."""
    return datetime.fromisoformat(text)


class TestRows:
    def test_the_examples_cover_every_row_of_the_failure_table(self) -> None:
        shown = {int(word) for case in (*CASES, *UNWRITTEN) for word in case.rows.split() if word.isdigit()}
        assert (shown - {0}) | ROWS_WITHOUT_A_POD == set(range(1, 33))

    @pytest.mark.parametrize("case", EVERY, ids=str)
    def test_a_pod_is_taken_for_what_it_shows(self, case: Case) -> None:
        seen = judged(case)
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

    @pytest.mark.parametrize("case", [case for case in EVERY if case.sdk and case.end], ids=str)
    def test_a_message_never_shows_the_report_that_programs_read(self, case: Case) -> None:
        end = judged(case).end
        assert end
        assert "historyComplete" not in end.message
        assert "mintaka" not in end.message

    @pytest.mark.parametrize("case", [case for case in EVERY if case.end], ids=str)
    def test_a_reason_is_one_that_its_row_lists_or_that_pod_or_flow_made_up(self, case: Case) -> None:
        view = PodView(pod(case), case.node_gone)
        end, row = first_match(POD_VERDICTS, view)
        assert end
        assert row
        own = {view.reason, view.report.state.reason if view.report else "", "Signal31"}
        assert end.reason in {*row.reasons, *own} or end == State(COMPLETED)

    @pytest.mark.parametrize("row", [*POD_VERDICTS, *PENDING_REASONS], ids=lambda row: f"{row.number}: {row.situation}")
    def test_every_row_is_reached_by_an_example(self, row: Any) -> None:
        rows = PENDING_REASONS if row in PENDING_REASONS else POD_VERDICTS
        deciding = []
        for case in EVERY:
            if (case.end is None) == (row in PENDING_REASONS):
                view = PodView(pod(case), case.node_gone)
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

    def test_a_container_that_was_started_again_has_ended_and_is_to_be_stopped(self) -> None:
        seen = diagnose(pod(Case("", "", flow(running(), "Running", restarts=1))))
        assert (seen.phase, seen.alive, seen.history_complete) == (Phase.ENDED, True, None)

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

    @pytest.mark.parametrize("label", ["7", "", "two", "²", "-1"])
    def test_a_changed_attempt_label_changes_no_attempt(self, label: str) -> None:
        damaged = pod(Case("", "", starting(waiting("ContainerCreating"))))
        damaged["metadata"]["labels"]["mintaka.dev/attempt"] = label
        assert diagnose(damaged).attempt == 1

    @pytest.mark.parametrize(("label", "attempt"), [("7", 7), ("", 0), ("two", 0), ("²", 0), ("-1", 0)])
    @pytest.mark.parametrize("name", ["nightly", "nightly-x", "nightly-1234567890", "nightly-²"])
    def test_the_label_counts_if_the_name_has_no_attempt(self, name: str, label: str, attempt: int) -> None:
        other = pod(Case("", "", starting(waiting("ContainerCreating"))))
        other["metadata"]["name"], other["metadata"]["labels"]["mintaka.dev/attempt"] = name, label
        assert diagnose(other).attempt == attempt

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


class TestEnds:
    """Nothing of an attempt may live when the next one begins, and no pod is let go before its end is known."""

    @pytest.mark.parametrize("case", [case for case in (*UNWRITTEN, *HELD) if case.end and "sidecar went on" not in case.sentence], ids=str)
    def test_nothing_lives_of_a_pod_whose_end_no_kubelet_writes(self, case: Case) -> None:
        assert not judged(case).alive

    def test_a_pod_that_is_being_deleted_on_a_node_lives_until_its_kubelet_says_otherwise(self) -> None:
        seen = diagnose(pod(Case("", "", flow(running(), "Running"), deleted=True)))
        assert (seen.alive, seen.end, seen.deleted) == (True, None, True)

    def test_a_pod_that_waits_for_a_node_has_not_ended(self) -> None:
        seen = diagnose(pod(Case("", "", {"phase": "Pending"}, bound=False)))
        assert (seen.alive, seen.end, seen.deleted, seen.node) == (True, None, False, "")

    @pytest.mark.parametrize(("finalizers", "held"), [(["mintaka.dev/attempt"], True), (["other/one"], False), ([], False), (None, False)])
    def test_a_pod_is_held_while_it_bears_our_finalizer(self, finalizers: list[str] | None, held: bool) -> None:
        shown = pod(Case("", "", flow(running(), "Running")))
        shown["metadata"]["finalizers"] = finalizers
        assert diagnose(shown).held is held

    def test_where_a_pod_runs_and_which_container_is_the_flow(self) -> None:
        seen = diagnose(pod(Case("", "", flow(running(), "Running"), sdk=True)))
        assert (seen.node, seen.container, seen.reports) == ("node-7", "flow", True)

    def test_the_container_that_the_annotation_names_is_the_flow(self) -> None:
        shown = pod(Case("", "", status("Running", container(running(), "aaa"), container(ended(3), "main")), spec={"containers": [{"name": "aaa"}, {"name": "main"}]}))  # fmt: skip
        shown["metadata"]["annotations"] = {"mintaka.dev/container": "main"}
        seen = diagnose(shown)
        assert (seen.container, seen.exit_code) == ("main", 3)

    @pytest.mark.parametrize(("finished", "unasked"), [("05:09:28", True), ("05:09:29", True), ("05:09:30", False), ("05:10:00", False)])
    def test_what_ended_before_its_deletion_was_requested_ended_unasked(self, finished: str, unasked: bool) -> None:
        seen = diagnose(pod(Case("", "", flow(ended(1, finished=f"2026-03-04T{finished}Z")), deleted=True)))
        assert seen.ended_unasked is unasked

    @pytest.mark.parametrize(("grace", "seconds", "unasked"), [(None, 41, True), (None, 39, False), (300, 311, True), (300, 309, False)])
    def test_a_pod_that_the_kubelet_deleted_may_have_been_asked_a_grace_period_before(
        self, grace: Any, seconds: int, unasked: bool
    ) -> None:
        finished = (instant(ASKED) - timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        spec = {} if grace is None else {"terminationGracePeriodSeconds": grace}
        seen = diagnose(pod(Case("", "", flow(ended(0, "Completed", finished=finished), "Succeeded"), forced=True, spec=spec)))
        assert (seen.ended_unasked, seen.end == State(COMPLETED)) == (unasked, unasked)

    @pytest.mark.parametrize("generations", [(2, 2), (2, 3), (0, 0), (2, 0)])
    def test_a_kubelet_that_knew_of_the_deletion_or_does_not_say_proves_nothing(self, generations: tuple[int, int]) -> None:
        shown = Case("", "", flow(ended(0, "Completed"), "Succeeded"), forced=True, generations=generations)
        assert not judged(shown).ended_unasked


class TestClocksOfNodes:
    """Times of containers are by the clock of their node; that one proves to be behind when it begins before the scheduler did."""

    def test_a_clock_that_is_behind_is_put_right(self) -> None:
        shown = pod(Case("", "", flow(ended(0, "Completed", started="2026-03-04T04:00:04Z", finished="2026-03-04T04:09:40Z"), "Succeeded"), deleted=True))  # fmt: skip
        shown["status"]["startTime"] = "2026-03-04T04:00:00Z"
        seen = diagnose(shown)
        assert seen.started_time == instant(STARTED)
        assert seen.end
        assert seen.end.reason == "PodDeleted", "it exited 10 s after it was told to stop"

    @pytest.mark.parametrize("begun", ["05:00:00", "04:59:59", "05:03:00"])
    def test_a_kubelet_that_is_as_punctual_as_it_says_is_believed(self, begun: str) -> None:
        shown = pod(Case("", "", flow(running(), "Running")))
        shown["status"]["startTime"] = f"2026-03-04T{begun}Z"
        assert diagnose(shown).started_time == instant(STARTED)


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
        ends = [end for case in EVERY if (end := judged(case).end) and end.reason == reason]
        assert any(end.type != verdict for end in ends), "no example ends for this reason"
        assert {found.type for end in ends if (found := overridden(end, {reason: verdict}))} == {verdict}


words = st.sampled_from(["", "Error", "Completed", "OOMKilled", "Evicted", "ContainerStatusUnknown", "StartError", "OutOfcpu", "DeadlineExceeded", "Terminated", "NodeLost", "ImagePullBackOff", "InvalidImageName", "CrashLoopBackOff", "Unschedulable", "DeletionByPodGC"]) | st.text(max_size=8)  # fmt: skip
times = st.sampled_from(
    [
        None,
        "",
        "1970-01-01T00:00:00Z",
        "0001-01-01T00:00:00Z",
        CREATED,
        STARTED,
        ASKED,
        ENDED,
        DEADLINE,
        "292277026596-12-04T15:30:07Z",
        "1677-09-21T00:12:43Z",
        "9999-12-31T23:59:59Z",
    ]
)
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
containers = st.lists(
    maybe(name=st.sampled_from(["flow", "proxy", "a"]), state=states, lastState=states, restartCount=st.integers(-1, 2)), max_size=3
)
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
    observedGeneration=st.integers(0, 3), startTime=times,
    phase=st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]), reason=words,
    message=st.text(max_size=8) | st.sampled_from(["Pod was rejected: no", "exceeds the limit"]), conditions=conditions, containerStatuses=containers, initContainerStatuses=containers,
)  # fmt: skip
metadata = maybe(
    generation=st.integers(0, 3),
    deletionTimestamp=times, deletionGracePeriodSeconds=st.integers(0, 600) | st.integers(-(2**63), 2**63 - 1), uid=st.text(max_size=4),
    labels=st.dictionaries(st.sampled_from(["mintaka.dev/attempt", "mintaka.dev/reports"]), st.sampled_from(["1", "2", "true", "no", "²"])),
)  # fmt: skip
specs = maybe(
    containers=st.lists(maybe(name=st.sampled_from(["flow", "proxy"])), max_size=2),
    initContainers=st.lists(maybe(name=st.just("a"), restartPolicy=st.just("Always")), max_size=2),
    nodeName=st.sampled_from(["", "node-7"]),
)

scalars = st.none() | st.booleans() | st.integers() | st.floats() | words | times
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3), max_leaves=6
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value in a JSON document but the outermost."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, member in members:
        yield (*path, key)
        yield from places(member, (*path, key))


#: What a container, or someone with the right to write the status of pods, may have the operator read.
LONG_TEXTS = {
    "one word": "a" * 300_000,
    "words of the kubelet": "exceeds " * 50_000,
    "a volume's name that does not end": 'Usage of EmptyDir volume "' * 20_000,
    "a container's name that does not end": "Container " + "a" * 300_000,
    "the beginning of a report": '{"mintaka":1,' * 30_000,
    "a report of many members": '{"mintaka":1,"attempt":1,\n' + '"a":1,' * 50_000,
    "a report of many backslashes": '{"mintaka":1,"attempt":1,"type":"FAILED","name":"","reason":"","retriable":true,"historyComplete":true,\n"message":"' + "\\\\" * 100_000,
    "brackets": "[" * 300_000,
    "spaces": " " * 300_000 + "x",
    "digits": "9" * 300_000,
}  # fmt: skip


@pytest.mark.timeout(20)
@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "Running", "Pending"])
@pytest.mark.parametrize("sentence", LONG_TEXTS)
def test_a_pod_with_long_texts_is_read_in_linear_time(sentence: str, phase: str) -> None:
    """Wherever they are."""
    words = LONG_TEXTS[sentence]
    for code, reason in ((1, ""), (137, "OOMKilled"), (0, ""), (128, "StartError")):
        ended = {"terminated": {"exitCode": code, "reason": reason, "message": words, "startedAt": words, "finishedAt": words}}
        states = [{"name": "flow", "state": ended}, {"name": words, "state": {"waiting": {"reason": "ErrImagePull", "message": words}}}]
        conditions = [{"type": kind, "status": "True", "reason": words, "message": words, "lastTransitionTime": words} for kind in ("DisruptionTarget", "PodScheduled")]  # fmt: skip
        for containers in (states, states[1:]):
            status = {"phase": phase, "reason": "Evicted", "message": words, "conditions": conditions, "containerStatuses": containers, "initContainerStatuses": states}  # fmt: skip
            labels = {"mintaka.dev/attempt": words, "mintaka.dev/reports": "true"}
            diagnose(
                {"metadata": {"name": "x", "creationTimestamp": CREATED, "labels": labels}, "spec": {"nodeName": "n"}, "status": status}
            )


@pytest.mark.parametrize("far", ["1971-01-01T00:00:01Z", "1971-06-01T00:00:00Z", "2026-01-01T00:00:00Z"])
def test_times_at_both_ends_of_the_calendar_are_added_up(far: str) -> None:
    """Anyone who may write the status of pods may write such times."""
    late = "8999-12-31T23:59:59Z"
    ended = {"terminated": {"exitCode": 0, "startedAt": late, "finishedAt": late}}
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": late}
    status = {"phase": "Succeeded", "startTime": far, "conditions": [scheduled], "containerStatuses": [{"name": "flow", "state": ended}]}
    workload = diagnose({"metadata": {"name": "x", "creationTimestamp": CREATED}, "spec": {"nodeName": "n"}, "status": status})
    assert workload.end is not None
    assert workload.end.type == COMPLETED


def test_a_container_whose_name_is_a_word_of_the_kubelet_passed_no_limit() -> None:
    """The kubelet names containers in its message."""
    said = "The node was low on resource: memory. Container limit was using 2Gi, which exceeds its request of 1Gi and no limit. "
    status = {"phase": "Failed", "reason": "Evicted", "message": said}
    workload = diagnose({"metadata": {"name": "x", "creationTimestamp": CREATED}, "spec": {"nodeName": "n"}, "status": status})
    assert workload.end is not None
    assert workload.end.reason == "Evicted"


class TestAnyPod:
    @given(metadata, specs, statuses)
    def test_no_status_is_beyond_judgement_and_every_judgement_agrees_with_itself(
        self, more: dict[str, Any], spec: dict[str, Any], seen: dict[str, Any]
    ) -> None:
        shown = {"metadata": {**more, "name": "x", "creationTimestamp": CREATED}, "spec": spec, "status": seen}
        workload = diagnose(shown)
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
        assert diagnose(shown) == workload
        gone = diagnose(shown, node_gone=True)
        if not spec.get("nodeName"):
            assert gone == workload, "it never had a node"
        else:
            assert (gone.alive, gone.end is None) == (False, False)
            if workload.end and workload.end.reason != "ForceDeleted":
                assert gone.end == workload.end, "what is known of an end outlasts the node"
        for moment in (workload.started_time, workload.ended_time, workload.stopping_time):
            assert moment is None or moment + timedelta(days=100_000) > moment - timedelta(days=365), "a deadline can be counted from it"

    @pytest.mark.parametrize("begun", ["1971-01-01T00:00:00Z", "0000-01-01T00:00:00Z"])
    def test_no_clock_of_a_node_is_too_far_off_to_be_judged(self, begun: str) -> None:
        far = "8999-12-31T23:59:59Z"
        shown = pod(Case("", "", status("Succeeded", container(ended(0, "Completed", started=far, finished=far)), startTime=begun)))
        shown["status"]["conditions"] = [condition("PodScheduled", "True", time=far)]
        assert diagnose(shown).end

    @given(st.sampled_from(EVERY), st.data())
    def test_a_pod_with_anything_anywhere_in_it_is_judged_or_has_no_identity(self, case: Case, data: st.DataObject) -> None:
        shown = deepcopy(pod(case))
        for _ in range(data.draw(st.integers(1, 3))):
            *path, last = data.draw(st.sampled_from(list(places(shown))))
            place: Any = shown
            for key in path:
                place = place[key]
            place[last] = data.draw(anything)
        try:
            workload = diagnose(shown, node_gone=case.node_gone)
        except PodWithoutIdentity as error:
            assert re.search("has no (name|creationTimestamp)", str(error))  # noqa: PT017 - it need not be raised
        else:
            assert (workload.end is not None) == (workload.phase == Phase.ENDED)

    @given(anything)
    def test_what_is_no_pod_has_no_identity(self, value: Any) -> None:
        with pytest.raises(PodWithoutIdentity):
            diagnose({"metadata": value, "spec": value, "status": value})

    @pytest.mark.parametrize("grace", [2**63 - 1, -(2**63), 86400 * 10**9, 1e300, "30", None, [], float("nan")], ids=str)
    def test_no_grace_period_is_too_long_or_too_short_to_be_judged(self, grace: Any) -> None:
        shown = pod(Case("", "", status("Running", container(ended(0, "Completed")), container(running(), "proxy")), deleted=True))
        shown["metadata"]["deletionGracePeriodSeconds"] = grace
        seen = diagnose(shown)
        assert seen.end
        assert seen.stopping_time == instant(DEADLINE)


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
        assert seen.end.at(datetime.now(UTC)).message == "\N{REPLACEMENT CHARACTER}" * 2
        assert replace(seen.end, message="").reason == "FileNotFoundError"
