"""Rows of the failure table that no pod's status shows: no pod, a pod that cannot be created, a node that does not come back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from memory_controller import MemoryController
from mintaka_controller.gathering import gather_run
from mintaka_controller.ports import PortError
from mintaka_core.reconciling.observation import FORCE_AFTER, RunObservation
from mintaka_core.reconciling.plans import StopWorkload
from mintaka_core.reconciling.runs import reconcile
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.states import CRASHED
from mintaka_kubernetes.resources import EVENTS, PODS
from mintaka_operator.cluster import ApiError
from mintaka_operator.diagnosis import diagnose
from pod_signs import Case, flow, pod, running, starting, target, waiting

if TYPE_CHECKING:
    from jumping import Clock
    from memory_cluster import MemoryCluster

NOW = datetime(2026, 3, 4, 6, 0, tzinfo=UTC)
TEMPLATE = {"entrypoint": "a:b"}


def flow_run(state: str, **status: Any) -> dict[str, Any]:
    """A run in its first attempt."""
    kept = {
        "state": {"type": state, "name": state.capitalize(), "time": "2026-03-04T05:00:00.000000Z"},
        "sequence": 3,
        "attempt": 1,
        "podName": "nightly-1",
        **status,
    }
    metadata = {"name": "nightly", "namespace": "sales", "uid": "9f1c", "resourceVersion": "9", "finalizers": ["mintaka.dev/mirror"]}
    return {"metadata": metadata, "spec": {"template": TEMPLATE}, "status": kept}


def observed(state: str, **more: Any) -> RunObservation:
    """What is seen of a run."""
    return RunObservation(FlowRun.model_validate(flow_run(state)), FlowTemplate.model_validate(TEMPLATE), **more)


class TestRow12:
    @pytest.mark.parametrize("state", ["PENDING", "RUNNING"])
    def test_a_pod_that_is_gone_is_a_crash(self, state: str) -> None:
        plan = reconcile(observed(state), NOW)
        assert plan.status
        assert plan.status.state
        assert (plan.status.state.type, plan.status.state.reason) == (CRASHED, "PodDisappeared")
        assert "nightly-1 does not exist" in plan.status.state.message

    def test_a_pod_is_only_believed_gone_when_the_api_server_says_so(self, clock: Clock, cluster: MemoryCluster) -> None:
        world = MemoryController(cluster)
        world.observe_run(flow_run("RUNNING"))
        cluster.put(PODS.path("sales", "nightly-1"), pod(Case("", "", flow(running(), "Running"))))
        seen = clock.run(gather_run(world.context, ("sales", "nightly")))
        assert seen
        assert list(seen.workloads) == [1]
        del cluster.objects[PODS.path("sales", "nightly-1")]
        world.context.workloads.remove(("sales", "nightly-1"))
        seen = clock.run(gather_run(world.context, ("sales", "nightly")))
        assert seen
        assert not seen.workloads

    def test_an_api_server_that_does_not_answer_says_nothing_about_the_pod(self, clock: Clock, cluster: MemoryCluster) -> None:
        world = MemoryController(cluster)
        world.observe_run(flow_run("RUNNING"))
        cluster.fault = lambda _method, _path: ApiError(503, "ServiceUnavailable", "down")
        with pytest.raises(PortError):
            clock.run(gather_run(world.context, ("sales", "nightly")))


class TestRow18:
    def test_what_holds_a_pod_back_is_in_its_last_warning(self, clock: Clock, cluster: MemoryCluster) -> None:
        world = MemoryController(cluster)
        world.observe_run(flow_run("PENDING", nextTime="2026-03-04T05:10:00.000000Z"))
        world.observe_pod(pod(Case("", "", starting(waiting("ContainerCreating")))))
        for minute, reason in ((1, "FailedScheduling"), (9, "FailedMount"), (5, "FailedCreatePodSandBox")):
            event = {"reason": reason, "message": f"{reason} at {minute}", "lastTimestamp": f"2026-03-04T05:0{minute}:00Z"}
            cluster.put(f"{EVENTS.path('sales')}/{reason.lower()}", event)
        seen = clock.run(gather_run(world.context, ("sales", "nightly")))
        assert seen
        start_issue = seen.workloads[1].start_issue
        assert start_issue
        assert (start_issue.reason, start_issue.message) == ("FailedMount", "FailedMount at 9")


class TestRow9:
    @pytest.mark.parametrize("late", [timedelta(seconds=-1), timedelta(0)])
    def test_a_pod_that_does_not_stop_on_a_lost_node_is_forgotten_by_force(self, late: timedelta) -> None:
        signs = flow(running(), "Running", conditions=(target("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),))
        lost = diagnose(pod(Case("", "", signs, deleted=True)))
        assert lost.stopping_time
        now = lost.stopping_time + FORCE_AFTER + late
        plan = reconcile(observed("RUNNING", workloads={1: lost}), now)
        forced = [effect for effect in plan.effects if isinstance(effect, StopWorkload) and effect.force]
        if late:
            assert not forced
            assert plan.due
            assert plan.due <= lost.stopping_time + FORCE_AFTER
        else:
            assert forced
            assert plan.status
            assert plan.status.state
            assert (plan.status.state.type, plan.status.state.reason) == (CRASHED, "NodeLost")
