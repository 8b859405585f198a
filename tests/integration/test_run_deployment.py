"""`run_deployment` with a real local server: from a script, in flows and tasks, again after a crash, and cancelled with its caller."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from textwrap import dedent
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest

from local_server import LocalServer, wait_until
from mintaka.deployments import arun_deployment, run_deployment
from mintaka.exceptions import DeploymentNotFound, FailedRun, InvalidSettingError, MissingResult, RunRequestError
from mintaka.remote_runs import end_watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_FLOWS = dedent('''
    """Flows of deployments, some of which call others."""

    import asyncio
    import os
    import signal
    import time
    from pathlib import Path

    from mintaka import flow, task
    from mintaka.deployments import arun_deployment, run_deployment


    @flow(persist_result=True)
    def double(n: int = 1) -> int:
        return 2 * n


    @flow
    def forgetful() -> str:
        return os.environ.get("MODE", "")


    @flow
    def slow(folder: str, seconds: float = 60) -> None:
        path = Path(folder, f"started-{os.getpid()}")
        path.touch()
        time.sleep(seconds)


    @flow
    def failing(folder: str, times: int) -> str:
        tries = len(list(Path(folder).iterdir()))
        Path(folder, str(tries)).touch()
        if tries < times:
            raise ValueError(f"try {tries}")
        return "done"


    @task
    def doubled(n: int) -> int:
        return run_deployment("double", parameters={"n": n}).state.result()


    @flow(persist_result=True)
    def sums(n: int = 3) -> int:
        return sum(doubled.map(range(n)).result()) + run_deployment("double", parameters={"n": 100}).state.result()


    @flow(persist_result=True)
    async def gathered(n: int = 3) -> int:
        runs = await asyncio.gather(*(arun_deployment("double/double", parameters={"n": each}) for each in range(n)))
        return sum([await run.state.aresult() for run in runs])


    @flow(persist_result=True)
    def crashing(folder: str) -> list[str]:
        """Dies in its first attempt, when its first run has ended and its second is running."""
        first = run_deployment("double", parameters={"n": 1})
        second = run_deployment("double", parameters={"n": 2}, timeout=0)
        if not Path(folder, "died").exists():
            Path(folder, "died").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [first.name, second.name, run_deployment("double", parameters={"n": 3}).name]


    @flow(retries=1, persist_result=True)
    def insisting(folder: str) -> str:
        """Fails if the run it called does; then both run again."""
        run = run_deployment("failing", parameters={"folder": folder, "times": 1})
        if run.state.is_failed():
            raise RuntimeError("what I called failed")
        return run.name


    @flow
    def inner(n: int) -> str:
        return run_deployment("double", parameters={"n": n}, timeout=0).name


    @flow(persist_result=True)
    def outer() -> list[str]:
        return [inner(1), inner(2)]


    @flow
    def calling_slow(folder: str) -> None:
        run_deployment("slow", parameters={"folder": folder}, as_subflow=False, timeout=0)
        run_deployment("slow", parameters={"folder": folder})
''')


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server with a deployment of each flow."""
    folder = tmp_path_factory.mktemp("called")
    path = folder / "called_flows.py"
    path.write_text(_FLOWS, encoding="utf-8")
    server = LocalServer(folder / "home")
    server.start("--max-processes", "6")
    names = ("double", "forgetful", "slow", "failing", "sums", "gathered", "crashing", "insisting", "outer", "calling-slow")
    retries = {"crashing": {"retries": {"onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}}}}
    server.apply(
        *(
            {
                "apiVersion": "mintaka.dev/v1alpha1",
                "kind": "FlowDeployment",
                "metadata": {"name": name, "namespace": "local"},
                "spec": {"entrypoint": f"{path}:{name.replace('-', '_')}", **retries.get(name, {})},
            }
            for name in names
        )
    )
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def _home(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINTAKA_HOME", str(server.home))


def called_by(server: LocalServer, uid: UUID) -> list[dict[str, Any]]:
    """The runs that a run called, the oldest first."""
    items: list[dict[str, Any]] = server.get("/flow-runs", parent=str(uid))["items"]
    return sorted(items, key=lambda run: run["created"])


def test_a_script_runs_a_deployment_and_gets_its_result(server: LocalServer) -> None:
    """Each form of the deployment's name works; the run has the parameters, tags and name of the call."""
    run = run_deployment("double", parameters={"n": 4}, tags=["by hand"], flow_run_name="By Hand!")
    assert (run.state.is_completed(), run.state.result(), run.parameters, run.tags) == (True, 8, {"n": 4}, ["by hand"])
    assert run.name.startswith("by-hand-")
    assert run.deployment == "double"
    assert server.get(f"/flow-runs/{run.id}")["parent"] is None
    later = datetime.now(UTC) + timedelta(days=1)
    assert {run_deployment(name, scheduled_time=later, timeout=0).deployment for name in ("double/double", "local/double")} == {"double"}


def test_waiting_ends_at_the_timeout_and_the_run_continues(server: LocalServer, tmp_path: Path) -> None:
    """With timeout 0 the call returns at once. Both runs complete afterwards."""
    at_once = run_deployment("slow", parameters={"folder": str(tmp_path), "seconds": 0}, timeout=0)
    assert not at_once.state.is_final()
    unfinished = run_deployment("slow", parameters={"folder": str(tmp_path), "seconds": 3}, timeout=0.5)
    assert not unfinished.state.is_final()
    assert [server.ended(str(run.id))["state"]["type"] for run in (at_once, unfinished)] == ["COMPLETED", "COMPLETED"]


def test_a_run_that_is_deleted_ends_the_wait(server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Checks of the run while it waits, starts and runs change nothing."""
    monkeypatch.setattr(end_watch, "_CHECK_SECONDS", 0.0)
    assert run_deployment("double", parameters={"n": 3}).state.result() == 6
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(run_deployment, "slow", parameters={"folder": str(tmp_path)}, tags=["to be deleted"])
        wait_until(lambda: bool(list(tmp_path.iterdir())), "the run has started")
        [run] = server.get("/flow-runs", tag="to be deleted")["items"]
        assert not waiting.done()
        assert server.request("DELETE", f"/api/v1/flow-runs/{run['uid']}").status_code == 202
        assert waiting.result(60).state.is_cancelled()


def test_a_scheduled_time_is_kept() -> None:
    """The run waits for its scheduled time."""
    due = datetime.now(UTC) + timedelta(days=1)
    run = run_deployment("double", scheduled_time=due, timeout=0)
    assert (run.expected_start_time, run.state.type) == (due, "SCHEDULED")


def test_a_key_means_one_run() -> None:
    """All calls with one key have one run, whatever their other arguments."""
    first = run_deployment("double", parameters={"n": 1}, idempotency_key="2026-11-21")
    again = run_deployment("double", parameters={"n": 5}, idempotency_key="2026-11-21", flow_run_name="again")
    other = run_deployment("double", idempotency_key="2026-11-22", timeout=0)
    assert first.id == again.id != other.id
    assert again.state.result() == 2


def test_a_call_that_cannot_work_says_why(tmp_path: Path) -> None:
    """The deployment, the parameters, the variables or the result are wrong."""
    with pytest.raises(DeploymentNotFound, match="there is no flow deployment 'nothing' in namespace 'local'"):
        run_deployment("nothing")
    with pytest.raises(DeploymentNotFound, match="that of namespace 'local' is of another flow"):
        run_deployment("other-flow/double")
    with pytest.raises(InvalidSettingError, match="cluster_config"):
        run_deployment("double", job_variables={"cluster_config": {}})
    with pytest.raises(RunRequestError, match="tags"):
        run_deployment("double", tags=[""])
    with pytest.raises(FailedRun, match="ValueError"):
        run_deployment("failing", parameters={"folder": str(tmp_path), "times": 9}).state.result()
    with pytest.raises(MissingResult, match="set resultStorage in its deployment"):
        run_deployment("forgetful").state.result()


def test_variables_of_the_job_are_those_of_its_process() -> None:
    """They are added to those of the deployment."""
    job_variables = {"env.MODE": "trial", "env": {"MINTAKA_RESULTS_PERSIST_BY_DEFAULT": "true"}}
    assert run_deployment("forgetful", job_variables=job_variables).state.result() == "trial"


@pytest.mark.anyio
async def test_in_async_code_it_is_awaited() -> None:
    """Many calls run at a time, without blocking the event loop."""
    runs = await asyncio.gather(*(arun_deployment("double", parameters={"n": n}) for n in range(2)))
    assert [run.state.result(_sync=True) for run in runs] == [0, 2]
    run = await run_deployment("double", scheduled_time=datetime.now(UTC) + timedelta(days=1), timeout=0)  # type: ignore[misc]
    assert not run.state.is_final()


@pytest.mark.parametrize(("deployment", "result", "called"), [("sums", 206, 4), ("gathered", 6, 3)])
def test_a_flow_runs_deployments(server: LocalServer, deployment: str, result: int, called: int) -> None:
    """It calls them in its body and in tasks, sync and async; the runs are below it, each with the task run that called it."""
    run = run_deployment(deployment)
    assert run.state.result() == result
    below = called_by(server, run.id)
    assert len(below) == called
    assert {(each["root"], each["kind"], each["deployment"]) for each in below} == {(str(run.id), "deployed", "double")}
    assert run.id in {UUID(each["uid"]) for each in server.get("/flow-runs")["items"]}
    roots = {each["uid"] for each in server.get("/flow-runs")["items"]}
    assert not roots & {each["uid"] for each in below}, "lists show roots"
    assert {each["uid"] for each in below} <= {each["uid"] for each in server.get("/flow-runs", deployment="double", limit=200)["items"]}


def test_a_flow_that_is_called_in_a_flow_is_the_caller(server: LocalServer) -> None:
    """The outermost flow run is the root of all runs."""
    run = run_deployment("outer")
    inner = called_by(server, run.id)
    assert {(each["kind"], each["flow"]) for each in inner} == {("called", "inner")}
    wait_until(lambda: len([each for one in inner for each in called_by(server, one["uid"])]) == 2, "both runs have their caller")
    below = [each for one in inner for each in called_by(server, one["uid"])]
    assert sorted(run.state.result()) == sorted(each["name"] for each in below)
    assert {each["root"] for each in below} == {str(run.id)}


def test_a_caller_that_crashed_finds_what_it_called(server: LocalServer, tmp_path: Path) -> None:
    """The first run has ended, and the second one is running; neither is started again."""
    run = run_deployment("crashing", parameters={"folder": str(tmp_path)})
    assert run.attempt == 2
    below = called_by(server, run.id)
    assert run.state.result() == [each["name"] for each in below]
    assert [each["attempt"] for each in below] == [1, 1, 1]


def test_a_caller_that_failed_runs_again_what_failed(server: LocalServer, tmp_path: Path) -> None:
    """The called run is the same, in another attempt."""
    run = run_deployment("insisting", parameters={"folder": str(tmp_path)})
    [below] = called_by(server, run.id)
    assert run.state.result() == below["name"]
    assert (below["state"]["type"], below["attempt"]) == ("COMPLETED", 2)


def test_what_a_cancelled_flow_called_is_cancelled(server: LocalServer, tmp_path: Path) -> None:
    """Runs called with `as_subflow=False` are not cancelled."""
    run = run_deployment("calling-slow", parameters={"folder": str(tmp_path)}, timeout=0)
    wait_until(lambda: len(list(tmp_path.iterdir())) == 2, "both runs have started")
    assert server.request("POST", f"/api/v1/flow-runs/{run.id}/cancel").status_code == 202
    assert server.ended(str(run.id))["state"]["type"] == "CANCELLED"
    [below] = called_by(server, run.id)
    assert server.ended(below["uid"])["state"]["type"] == "CANCELLED"
    assert "which called it, was cancelled" in json.dumps(server.get(f"/flow-runs/{below['uid']}/transitions"))
    others = [one for one in server.get("/flow-runs", deployment="slow")["items"] if one["uid"] != below["uid"]]
    [detached] = [one for one in others if one["parameters"] == below["parameters"]]
    assert detached["state"]["type"] in {"PENDING", "RUNNING"}
    server.request("POST", f"/api/v1/flow-runs/{detached['uid']}/cancel")
    server.ended(detached["uid"])
