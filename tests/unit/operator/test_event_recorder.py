"""Kubernetes Events: which transitions are told, and that the API server takes what is said."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mintaka_core.resources import FlowDeployment, FlowRun
from mintaka_core.resources.runs import TransitionStatus
from mintaka_core.states import StateType
from mintaka_operator.cluster import ApiError, Cluster
from mintaka_operator.event_recorder import KubernetesEventRecorder, transition_event, warning_event

if TYPE_CHECKING:
    from jumping import Clock
    from memory_cluster import MemoryCluster

UID = "0b7cfd0e-6c4e-4e0b-8a38-c7c1ab2f5a11"
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


def run(name: str = "nightly") -> FlowRun:
    """A run."""
    return FlowRun.model_validate({"metadata": {"name": name, "namespace": "sales", "uid": UID}, "spec": {"deployment": "nightly"}})


def transition(to: str, name: str = "", reason: str = "", message: str = "", sequence: int = 3) -> TransitionStatus:
    """A transition."""
    state = StateType(to)
    now = datetime.now(UTC)
    return TransitionStatus(
        sequence=sequence,
        to=state,
        name=name or state.capitalize(),
        proposed=state,
        verdict="Accept",
        reason=reason,
        message=message,
        attempt=1,
        time=now,
    )


def told(to: str, name: str = "", reason: str = "", message: str = "") -> dict[str, Any]:
    """The Event of a transition."""
    event = transition_event(run(), transition(to, name, reason, message))
    assert event is not None
    return event


def valid(event: dict[str, Any], kind: str = "Warning") -> None:
    """Assert what the API server's validation of Events asks for (kubernetes, pkg/apis/core/validation/events.go)."""
    metadata = event["metadata"]
    assert len(metadata["name"]) <= 253
    assert SUBDOMAIN.fullmatch(metadata["name"])
    assert metadata["namespace"] == event["involvedObject"]["namespace"]
    assert 0 < len(event["reason"].encode()) <= 128
    assert len(event["message"].encode()) <= 1024
    assert event["type"] == kind
    assert event["reportingComponent"]
    assert 0 < len(event["reportingInstance"].encode()) <= 128
    assert 0 < len(event["action"].encode()) <= 128


class TestWhatIsTold:
    @pytest.mark.parametrize("verdict", ["Wait", "Abort"])
    @pytest.mark.parametrize("state", ["PAUSED", "SCHEDULED", "FAILED"])
    def test_a_proposal_that_changed_nothing_is_no_event(self, verdict: str, state: str) -> None:
        """The state that it stays in was reported when it began."""
        record = transition(state, reason="QuotaExceeded").model_copy(update={"verdict": verdict})
        assert transition_event(run(), record) is None

    @pytest.mark.parametrize("to", ["COMPLETED", "RUNNING", "PENDING", "SCHEDULED", "CANCELLING"])
    def test_nothing_is_told_of_what_goes_as_it_should(self, to: str) -> None:
        assert transition_event(run(), transition(to)) is None

    @pytest.mark.parametrize(
        ("to", "name", "reason", "kind", "word"),
        [
            ("FAILED", "", "ValueError", "Warning", "Failed"),
            ("FAILED", "TimedOut", "TimedOut", "Warning", "TimedOut"),
            ("CRASHED", "", "OOMKilled", "Warning", "Crashed"),
            ("CANCELLED", "", "Cancelled", "Normal", "Cancelled"),
            ("PAUSED", "Suspended", "Suspended", "Normal", "Suspended"),
            ("SCHEDULED", "AwaitingRetry", "OOMKilled", "Warning", "AwaitingRetry"),
            ("SCHEDULED", "Scheduled", "QuotaExceeded", "Warning", "QuotaExceeded"),
            ("PENDING", "", "ImagePullBackOff", "Warning", "Pending"),
            ("PENDING", "", "SchedulingGated", "Normal", "Pending"),
        ],
    )
    def test_what_an_owner_wants_to_know_is_told(self, to: str, name: str, reason: str, kind: str, word: str) -> None:
        event = told(to, name, reason, "because")
        assert (event["type"], event["reason"], event["message"]) == (kind, word, f"{reason}: because")
        valid(event, kind)

    def test_a_reason_without_a_message_stands_alone(self) -> None:
        assert told("CANCELLED", reason="Cancelled")["message"] == "Cancelled"

    def test_the_event_is_about_the_run(self) -> None:
        about = told("FAILED")["involvedObject"]
        assert about == {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "name": "nightly", "namespace": "sales", "uid": UID}

    def test_telling_a_transition_twice_makes_one_event(self) -> None:
        assert told("FAILED")["metadata"] == told("FAILED")["metadata"]

    def test_another_transition_makes_another_event(self) -> None:
        events = [transition_event(run(), transition("FAILED", sequence=number)) for number in (3, 4)]
        assert len({event["metadata"]["name"] for event in events if event}) == 2


class TestLimits:
    @given(
        st.sampled_from(["FAILED", "CRASHED", "PAUSED"]), st.text(min_size=1, max_size=200), st.text(max_size=200), st.text(max_size=1024)
    )
    def test_any_state_makes_an_event_that_the_api_server_takes(self, to: str, name: str, reason: str, message: str) -> None:
        event = transition_event(run(), transition(to, name, reason, message))
        assert event
        valid(event, "Normal" if to == "PAUSED" else "Warning")

    def test_limits_are_counted_in_bytes(self) -> None:
        event = told("FAILED", "失敗" * 100, "Grund", "é" * 1024)
        assert event["reason"] == "失敗" * 21
        valid(event)

    @pytest.mark.parametrize("name", ["a", "a" * 200, "a." * 99 + "a", "a-" * 99 + "a"])
    def test_any_name_of_a_run_makes_a_name_of_an_event(self, name: str) -> None:
        event = transition_event(run(name), transition("FAILED", sequence=123456))
        assert event
        valid(event)

    @given(st.text(min_size=1, max_size=300))
    def test_a_deployment_is_warned_in_a_valid_event_whatever_the_message(self, message: str) -> None:
        deployment = FlowDeployment.model_validate(
            {"metadata": {"name": "d" * 200, "namespace": "sales", "uid": UID}, "spec": {"entrypoint": "a:b"}}
        )
        event = warning_event(deployment, "MissedSchedule", message)
        valid(event)
        assert event["involvedObject"]["kind"] == "FlowDeployment"


class TestSending:
    def test_an_event_is_created(self, clock: Clock, cluster: MemoryCluster) -> None:
        clock.run(KubernetesEventRecorder(cast("Cluster", cluster)).record_transition(run(), transition("FAILED")))
        assert [path for path in cluster.objects if path.startswith("/api/v1/namespaces/sales/events/nightly.0b7cfd0e.3")]

    def test_losing_an_event_stops_nothing(self, clock: Clock, cluster: MemoryCluster) -> None:
        cluster.fault = lambda _method, _path: ApiError(403, "Forbidden", "no")
        clock.run(KubernetesEventRecorder(cast("Cluster", cluster)).record_transition(run(), transition("FAILED")))
        assert not cluster.objects
