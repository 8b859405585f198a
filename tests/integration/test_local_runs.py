"""A local server as a whole: documents applied over REST, runs as processes, what happens to them when the server is stopped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from local_server import LocalServer, wait_until
from mintaka.server_address import running_server
from mintaka_api.local.embedded import embedded_server
from mintaka_api.local.server import AlreadyRuns
from processes import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator

_EXAMPLES = Path(__file__).parents[2] / "examples"
_FLOW = """
import time
from mintaka import flow

@flow(log_prints=True)
def main(seconds: float = 0.0):
    print("it begins")
    time.sleep(seconds)
"""


def _deployment(name: str, **spec: Any) -> dict[str, Any]:
    given = {"entrypoint": "flow.py:main", "source": {"inline": _FLOW}, **spec}
    return {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowDeployment", "metadata": {"name": name}, "spec": given}


def _run(deployment: str, **spec: Any) -> dict[str, Any]:
    metadata = {"generateName": f"{deployment}-"}
    return {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowRun", "metadata": metadata, "spec": {"deployment": deployment, **spec}}


def _is(server: LocalServer, uid: str, state: str) -> bool:
    return bool(server.get(f"/flow-runs/{uid}")["state"]["type"] == state)


def _begun(server: LocalServer, deployment: str, seconds: float) -> str:
    """The uid of a run whose process runs for the given number of seconds."""
    uid: str = server.create(_run(deployment, parameters={"seconds": seconds}))["metadata"]["uid"]
    wait_until(lambda: bool(server.get(f"/flow-runs/{uid}/logs", q="it begins")["items"]), "the flow has begun")
    return uid


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    """A server with a deployment `sleeper`."""
    server = LocalServer(tmp_path_factory.mktemp("local") / "home")
    server.start("--port", str(free_port()), "--max-processes", "4")
    server.apply(_deployment("sleeper"))
    yield server
    server.stop("--cancel")


def test_the_example_runs_as_in_a_cluster(server: LocalServer) -> None:
    """The manifests are the same; states, task runs, log and decisions are read over REST."""
    source = {"flow.py": (_EXAMPLES / "etl/flow.py").read_text()}
    config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "wine-report"}, "data": source}
    deployment = yaml.safe_load((_EXAMPLES / "etl/deployment.yaml").read_text())
    assert [item["result"] for item in server.apply(config_map, deployment)] == ["created", "created"]
    uid = server.create(yaml.safe_load((_EXAMPLES / "etl/run.yaml").read_text()))["metadata"]["uid"]
    run = server.ended(uid)
    assert (run["state"]["type"], run["attempt"], run["history_complete"]) == ("COMPLETED", 1, True)
    tasks = server.get(f"/flow-runs/{uid}/task-runs")["items"]
    assert [(task["name"], task["state"]) for task in tasks] == [
        (name, "COMPLETED") for name in ("extract-0", "summarise-1", "summarise-2", "summarise-3", "report-4")
    ]
    assert "proline of wines, by cultivar" in [line["message"].splitlines()[0] for line in server.get(f"/flow-runs/{uid}/logs")["items"]]
    decisions = server.get(f"/flow-runs/{uid}/transitions")["items"]
    assert [decision["to"] for decision in decisions] == ["SCHEDULED", "PENDING", "RUNNING", "COMPLETED"]
    assert f"flow run local/{run['name']}: RUNNING -> Completed" in server.log


def test_a_run_is_cancelled_suspended_and_resumed_over_rest(server: LocalServer) -> None:
    """The requests are the same as in a cluster."""
    uid = _begun(server, "sleeper", 60)
    assert server.request("POST", f"/api/v1/flow-runs/{uid}/suspend").status_code == 202
    wait_until(lambda: _is(server, uid, "PAUSED"), "it is suspended")
    assert server.request("POST", f"/api/v1/flow-runs/{uid}/resume").status_code == 202
    wait_until(lambda: _is(server, uid, "RUNNING"), "it runs again")
    assert server.request("POST", f"/api/v1/flow-runs/{uid}/cancel").status_code == 202
    assert server.ended(uid)["state"]["type"] == "CANCELLED"
    again = server.request("POST", f"/api/v1/flow-runs/{uid}/cancel")
    assert (again.status_code, again.json()["type"].rsplit("/", 1)[1]) == (409, "already-ended")


def test_a_run_is_created_by_the_route_of_its_deployment(server: LocalServer) -> None:
    """The run is also deleted; its history remains."""
    path = "/api/v1/namespaces/local/flow-deployments/sleeper/runs"
    created = server.request("POST", path, json={"name": "by-route", "parameters": {"seconds": 0}})
    assert created.status_code == 201, created.text
    uid = created.json()["uid"]
    assert server.request("POST", path, json={"name": "by-route"}).status_code == 409
    assert server.request("POST", path.replace("sleeper", "none")).status_code == 404
    assert server.ended(uid)["state"]["type"] == "COMPLETED"
    assert server.request("DELETE", f"/api/v1/flow-runs/{uid}").status_code == 202
    wait_until(lambda: server.request("GET", "/api/v1/documents/FlowRun/local/by-route").status_code == 404, "its document is gone")
    assert server.get(f"/flow-runs/{uid}")["deleted"] is not None
    assert server.request("DELETE", f"/api/v1/flow-runs/{uid}").status_code == 409


def test_a_deleted_run_is_stopped_first(server: LocalServer) -> None:
    """Its end is recorded before its document goes."""
    uid = _begun(server, "sleeper", 60)
    assert server.request("DELETE", f"/api/v1/flow-runs/{uid}").status_code == 202
    assert server.ended(uid)["state"]["type"] == "CANCELLED"
    wait_until(lambda: server.get(f"/flow-runs/{uid}")["deleted"] is not None, "its document is gone")


def test_schedules_fire_and_old_runs_are_removed(server: LocalServer) -> None:
    """The schedule fires every two seconds; one finished run is retained."""
    server.apply(_deployment("ticker", schedules=[{"name": "often", "interval": "2s"}], history={"limit": 1}))
    wait_until(lambda: len(server.get("/flow-runs", deployment="ticker", state="COMPLETED")["items"]) >= 3, "three runs have completed")
    assert server.request("DELETE", "/api/v1/documents/FlowDeployment/local/ticker").status_code == 202
    first = min(server.get("/flow-runs", deployment="ticker")["items"], key=lambda run: str(run["created"]))
    wait_until(lambda: server.get(f"/flow-runs/{first['uid']}")["deleted"] is not None, "the oldest run has left")


def test_stopping_the_server_leaves_processes_to_the_next_one(server: LocalServer) -> None:
    """The run continues and ends in the same attempt; what it reported in between is not lost."""
    uid = _begun(server, "sleeper", 4)
    port = server.address.url.rsplit(":", 1)[1]
    stopped = server.stop()
    time.sleep(5)
    server.start("--port", port, "--max-processes", "4")
    assert "1 flow runs continue in processes of their own" in stopped
    run = server.ended(uid)
    assert (run["state"]["type"], run["attempt"], run["crashes"]) == ("COMPLETED", 1, 0)
    wait_until(lambda: server.get(f"/flow-runs/{uid}")["history_complete"], "its history is complete")


def test_stopping_the_server_with_cancel_ends_them(server: LocalServer) -> None:
    """No process is left."""
    uid = _begun(server, "sleeper", 60)
    port = server.address.url.rsplit(":", 1)[1]
    stopped = server.stop("--cancel")
    server.start("--port", port, "--max-processes", "4")
    assert "continue" not in stopped
    assert _is(server, uid, "CANCELLED")


def test_a_server_in_a_thread(tmp_path: Path) -> None:
    """It is found like any other server, refuses a second one, and leaves no files behind."""
    home = tmp_path / "home"
    with embedded_server(home) as url:
        address = running_server(home)
        assert address is not None
        assert address.url == url
        inside = LocalServer(home)
        inside.apply(_deployment("sleeper"))
        assert inside.ended(inside.create(_run("sleeper"))["metadata"]["uid"])["state"]["type"] == "COMPLETED"
        with pytest.raises(AlreadyRuns, match=url), embedded_server(home):
            pass
        assert "has this MINTAKA_HOME already" in inside.mintaka("server", "start", code=3).stderr
    assert running_server(home) is None
    assert not (home / "server.json").exists()
    with embedded_server(home) as again:
        assert again != url or running_server(home) is not None
