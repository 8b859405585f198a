"""Runs that start again, as the operator sees and treats them: what their pods are told, what is not cleaned away, from whom they resume."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from memory_controller import MemoryController
from mintaka_controller.applying import delete_run
from mintaka_controller.gathering import gather_run
from mintaka_controller.ports import Conflict
from mintaka_controller.resume_source import find_resume_source
from mintaka_core.reconciling.plans import DeleteRun
from mintaka_core.reports import ExitCode, Report
from mintaka_core.resources import FlowRun, FlowTemplate
from mintaka_core.states import CRASHED, PAUSED, State
from mintaka_kubernetes.resources import FLOW_RUNS
from mintaka_operator.cluster import ApiError
from mintaka_operator.diagnosis import diagnose
from mintaka_operator.pods import PodDefaults, build_pod

if TYPE_CHECKING:
    from memory_cluster import MemoryCluster

RUN = ("sales", "nightly")
PATH = FLOW_RUNS.path(*RUN)
CREATED = "2026-03-04T05:00:00Z"


def flow_run(name: str = "nightly", state: str = "FAILED", status: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    """A run as it lies in the cluster."""
    told = {"state": {"type": state, "name": state.capitalize(), "time": CREATED}, "sequence": 3, "attempt": 1, "endTime": CREATED}
    return {
        "kind": "FlowRun",
        "metadata": {"name": name, "namespace": "sales", "uid": f"uid-{name}"},
        "spec": {"template": {"entrypoint": "a:b"}, **spec},
        "status": {**told, **(status or {})},
    }


@pytest.fixture
def world(cluster: MemoryCluster) -> MemoryController:
    """An operator's knowledge of an empty cluster."""
    return MemoryController(cluster)


def container(run: dict[str, Any], resumed_from: str = "", **template: Any) -> dict[str, Any]:
    """The flow's container in the next attempt's pod."""
    made = FlowTemplate.model_validate({"entrypoint": "a:b", **template})
    pod = build_pod(FlowRun.model_validate(run), made, 2, PodDefaults("image"), resumed_from)
    (found,) = [each for each in pod["spec"]["containers"] if each["name"] == "flow"]
    return dict(found)


def variables(of: dict[str, Any]) -> dict[str, str]:
    """Its variables."""
    return {entry["name"]: entry["value"] for entry in of["env"]}


def test_a_pod_is_told_whose_results_it_takes_and_which_suspensions_are_over() -> None:
    """The one that the run just waited in is over, or there would be no pod."""
    given = variables(container(flow_run(status={"resumed": ["first"], "suspension": "second"}), "uid-of-other"))
    assert given["MINTAKA_RESUME_FROM"] == "uid-of-other"
    assert json.loads(given["MINTAKA_RESUMED"]) == ["first", "second"]
    plain = variables(container(flow_run()))
    assert not {"MINTAKA_RESUME_FROM", "MINTAKA_RESUMED", "MINTAKA_RESULT_STORAGE"} & plain.keys()


def test_a_result_storage_is_an_address_and_the_variables_of_a_secret() -> None:
    """Results are persisted by default then; podTemplate may say otherwise, and take variables from elsewhere too."""
    storage = {"url": "s3://results/sales", "secretRef": {"name": "access"}}
    made = container(flow_run(), resultStorage=storage)
    assert variables(made)["MINTAKA_RESULT_STORAGE"] == "s3://results/sales"
    assert variables(made)["MINTAKA_RESULTS_PERSIST_BY_DEFAULT"] == "true"
    assert made["envFrom"] == [{"secretRef": {"name": "access"}}]
    both = [{"name": "side"}, {"name": "flow", "envFrom": [{"secretRef": {"name": "database"}}]}]
    other = container(flow_run(), resultStorage=storage, podTemplate={"spec": {"containers": both}})
    assert other["envFrom"] == [{"secretRef": {"name": "access"}}, {"secretRef": {"name": "database"}}]
    own = [{"name": "flow", "env": [{"name": "MINTAKA_RESULTS_PERSIST_BY_DEFAULT", "value": "false"}]}]
    other = container(flow_run(), resultStorage=storage, podTemplate={"spec": {"containers": own}})
    assert variables(other)["MINTAKA_RESULTS_PERSIST_BY_DEFAULT"] == "false"


@pytest.mark.parametrize(
    ("spec", "finished"),
    [({}, True), ({"reruns": 1}, False), ({"reruns": 1, "cancel": True}, True)],
    ids=["ended", "wanted again", "wanted again and cancelled"],
)
def test_a_finished_run_that_is_wanted_again_counts_as_going_on(world: MemoryController, *, spec: dict[str, Any], finished: bool) -> None:
    """It neither fills the history's limit nor may it be cleaned away."""
    run = flow_run(**spec) | {}
    run["metadata"]["resourceVersion"] = "7"
    world.observe_run(run)
    entry = world.context.runs.get(RUN)
    assert entry is not None
    assert entry.finished is finished


def test_a_run_that_somebody_wants_again_is_not_deleted(cluster: MemoryCluster, world: MemoryController) -> None:
    """Not where the wish is known, nor where it is only found out by the deletion itself."""
    effect = DeleteRun("sales", "nightly", "uid-nightly", "its time to live is over")
    options: list[dict[str, Any]] = []

    async def delete(_path: str, given: dict[str, Any]) -> dict[str, Any]:
        options.append(given)
        raise ApiError(409, "Conflict", "has been modified")

    async def story() -> None:
        world.observe_run(dict(cluster.put(PATH, flow_run())))
        version = cluster.objects[PATH]["metadata"]["resourceVersion"]
        cluster.put(PATH, flow_run(reruns=1))  # not heard of yet
        cluster.delete = delete  # type: ignore[attr-defined]
        with pytest.raises(Conflict):
            await delete_run(world.context, effect)
        assert options[0]["preconditions"] == {"uid": "uid-nightly", "resourceVersion": version}
        with pytest.raises(Conflict):
            await delete_run(world.context, effect)
        assert len(options) == 1

    asyncio.run(story())


def test_a_finished_run_that_is_wanted_again_is_gathered_whole(cluster: MemoryCluster, world: MemoryController) -> None:
    """Its template, and why no pod can be made for it."""

    async def story() -> Any:
        world.observe_run(dict(cluster.put(PATH, flow_run(reruns=1, template=None, deployment="gone"))))
        return await gather_run(world.context, RUN)

    seen = asyncio.run(story())
    assert seen.create_error.reason == "DeploymentNotFound"


SOURCES: dict[str, tuple[dict[str, Any] | None, str, str]] = {
    "ended": (flow_run("other"), "uid-other", ""),
    "itself resumed from another": (flow_run("other", status={"resumedFrom": "uid-first"}), "uid-first", ""),
    "still running": (flow_run("other", "RUNNING"), "", "has not ended"),
    "not there": (None, "", "there is no FlowRun 'other'"),
}


@pytest.mark.parametrize(("source", "uid", "refused"), SOURCES.values(), ids=SOURCES)
def test_a_run_resumes_from_one_that_is(
    cluster: MemoryCluster, world: MemoryController, source: dict[str, Any] | None, uid: str, refused: str
) -> None:
    """Under whose uid the results are; or why not, soon."""
    if source is not None:
        cluster.put(FLOW_RUNS.path("sales", "other"), source)
    found, create_error = asyncio.run(find_resume_source(world.context, FlowRun.model_validate(flow_run(resumeFrom="other"))))
    assert found == uid
    assert (create_error.reason if create_error else "") == ("InvalidResume" if refused else "")
    assert refused in (create_error.message if create_error else "")


def test_what_a_run_resumed_from_is_asked_once(cluster: MemoryCluster, world: MemoryController) -> None:
    """The source may be gone by the next attempt. A run resumes never from itself."""
    known = FlowRun.model_validate(flow_run(resumeFrom="other", status={"resumedFrom": "uid-other"}))
    assert asyncio.run(find_resume_source(world.context, known)) == ("uid-other", None)
    itself = FlowRun.model_validate(flow_run(resumeFrom="nightly"))
    assert "spec.reruns" in asyncio.run(find_resume_source(world.context, itself))[1].message  # type: ignore[union-attr]
    assert cluster.requests == []


@pytest.mark.parametrize(("code", "end"), [(ExitCode.SUSPENDED, PAUSED), (0, CRASHED), (1, CRASHED)], ids=["5", "0", "1"])
def test_that_a_flow_suspended_itself_is_believed_by_its_exit_code(code: int, end: str) -> None:
    """With what it waits in, and for how long."""
    until = datetime(2030, 1, 1, tzinfo=UTC)
    told = Report(1, State(PAUSED, "Suspended", "Suspended", "waits"), suspension="approval", resume_by=until).encode()
    ended = {"exitCode": code, "message": told, "startedAt": CREATED, "finishedAt": CREATED}
    seen = diagnose(
        {
            "metadata": {
                "name": "nightly-1",
                "uid": "p",
                "creationTimestamp": CREATED,
                "labels": {"mintaka.dev/attempt": "1", "mintaka.dev/reports": "true"},
            },
            "status": {"phase": "Failed", "containerStatuses": [{"name": "flow", "state": {"terminated": ended}}]},
        }
    )
    assert seen.end is not None
    assert seen.end.type == end
    assert (seen.suspension, seen.resume_by) == (("approval", until) if end == PAUSED else ("", None))
