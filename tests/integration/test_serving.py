"""`flow.serve`, `serve` and `flow.deploy` with real processes and the server that they register with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from local_server import LocalServer, wait_until
from mintaka.server_address import running_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

FLOWS = """
import asyncio, json, os, sys, time
from datetime import timedelta
from pathlib import Path
from mintaka import aserve, flow, serve
from mintaka.schedules import Cron


@flow
def etl(name: str = "run", seconds: float = 0.0):
    begun = time.time()
    time.sleep(seconds)
    facts = {"python": sys.executable, "folder": os.getcwd(), "level": os.environ.get("LEVEL"), "begun": begun, "ended": time.time()}
    Path(f"{name}.json").write_text(json.dumps(facts))


@flow
def other():
    Path("other.json").write_text("{}")


if __name__ == "__main__":
    print("the script begins", flush=True)
"""

type Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LocalServer]:
    """A home; a server that runs on it is stopped at the end."""
    server = LocalServer(tmp_path / "home", LEVEL="debug")
    yield server
    if running_server(server.home) is not None:
        server.stop("--cancel")


@pytest.fixture
def start(tmp_path: Path, server: LocalServer) -> Iterator[Start]:
    """Starts `FLOWS` with a last line as a script in a folder of its own; running processes are killed at the end."""
    processes: list[subprocess.Popen[str]] = []

    def started(line: str, name: str = "flows.py", **environment: str) -> subprocess.Popen[str]:
        folder = tmp_path / "work"
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(f"{FLOWS}    {line}\n", encoding="utf-8")
        process = subprocess.Popen(
            [sys.executable, name],
            cwd=folder,
            env=server.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.communicate()


def served(server: LocalServer, process: subprocess.Popen[str], name: str) -> dict[str, Any]:
    """The FlowDeployment that a script registers, when it exists and is not paused."""

    def there() -> bool:
        assert process.poll() is None, process.communicate()
        if running_server(server.home) is None:
            return False
        answer = server.request("GET", f"/api/v1/documents/FlowDeployment/local/{name}")
        return answer.is_success and not answer.json()["spec"].get("suspend")

    wait_until(there, f"{name} is served")
    return document(server, name)


def document(server: LocalServer, name: str) -> dict[str, Any]:
    """A FlowDeployment."""
    found: dict[str, Any] = server.get(f"/documents/FlowDeployment/local/{name}")
    return found


def run_of(server: LocalServer, deployment: str, **parameters: Any) -> str:
    """A new run of a deployment; its uid."""
    created = server.create(
        {
            "apiVersion": "mintaka.dev/v1alpha1",
            "kind": "FlowRun",
            "metadata": {"generateName": f"{deployment}-", "namespace": "local"},
            "spec": {"deployment": deployment, "parameters": parameters},
        }
    )
    return str(created["metadata"]["uid"])


def ended(process: subprocess.Popen[str], number: signal.Signals) -> tuple[str, str]:
    """The output of a script after the signal has ended it with exit code 0."""
    process.send_signal(number)
    output = process.communicate(timeout=60)
    assert process.returncode == 0, output
    return output


def facts(tmp_path: Path, name: str) -> dict[str, Any]:
    """The facts that a run of `etl` wrote."""
    found: dict[str, Any] = json.loads((tmp_path / "work" / f"{name}.json").read_text(encoding="utf-8"))
    return found


def test_a_served_flow_runs_as_in_its_script_until_ctrl_c_and_continues_when_it_is_served_again(
    server: LocalServer, start: Start, tmp_path: Path
) -> None:
    line = 'etl.serve("daily", interval=timedelta(days=1), parameters={"seconds": 0}, tags=["shop"])'
    process = start(line)
    first = served(server, process, "etl-daily")
    assert server.address.pid == process.pid
    assert server.ended(run_of(server, "etl-daily", name="first"))["state"]["type"] == "COMPLETED"
    found = facts(tmp_path, "first")
    assert (found["python"], found["folder"], found["level"]) == (sys.executable, str(tmp_path / "work"), "debug")

    long = run_of(server, "etl-daily", name="long", seconds=600)
    wait_until(lambda: server.get(f"/flow-runs/{long}")["state"]["type"] == "RUNNING", "the long run runs")
    printed, errors = ended(process, signal.SIGINT)
    assert "etl/daily: next run " in printed
    assert "mintaka run deployment/etl-daily" in printed
    assert "served at http://127.0.0.1:" in printed
    assert "paused etl-daily" in errors
    assert "cancelling flow run etl-daily-" in errors
    assert running_server(server.home) is None

    again = start(line)
    second = served(server, again, "etl-daily")
    assert second["spec"]["schedules"] == first["spec"]["schedules"], "its days are counted from when it was served first"
    assert server.get(f"/flow-runs/{long}")["state"]["type"] == "CANCELLED"
    ended(again, signal.SIGTERM)
    server.start()
    assert document(server, "etl-daily")["spec"]["suspend"] is True


def test_of_two_scripts_the_second_takes_over_when_the_first_ends(server: LocalServer, start: Start) -> None:
    first = start('etl.serve("daily", cron="0 0 1 1 *", print_starting_message=False)', "first.py")
    served(server, first, "etl-daily")
    second = start('serve(other.to_deployment("a"), other.to_deployment("b"), pause_on_shutdown=False)', "second.py")
    served(server, second, "other-b")
    assert server.address.pid == first.pid
    printed, errors = ended(first, signal.SIGTERM)
    assert (printed, errors) == ("the script begins\n", "")
    wait_until(lambda: (found := running_server(server.home)) is not None and found.pid == second.pid, "the second script is the server")
    assert server.ended(run_of(server, "other-a"))["state"]["type"] == "COMPLETED"
    assert document(server, "etl-daily")["spec"]["suspend"] is True
    printed, errors = ended(second, signal.SIGINT)
    assert f"by process {first.pid}" in printed
    assert "paused" not in errors


def test_a_limit_bounds_how_many_runs_of_all_that_is_served_run_at_a_time(server: LocalServer, start: Start, tmp_path: Path) -> None:
    server.start("--max-processes", "8")
    process = start('serve(etl.to_deployment("a"), etl.to_deployment("b"), limit=1)')
    served(server, process, "etl-b")
    runs = [run_of(server, deployment, name=f"{deployment}-{n}", seconds=0.3) for deployment in ("etl-a", "etl-b") for n in (1, 2)]
    waiting = [server.get(f"/flow-runs/{uid}") for uid in runs]
    assert {server.ended(uid)["state"]["type"] for uid in runs} == {"COMPLETED"}
    times = sorted((found["begun"], found["ended"]) for found in (facts(tmp_path, f"etl-{name}-{n}") for name in "ab" for n in (1, 2)))
    assert all(before[1] <= after[0] for before, after in pairwise(times)), f"{times} {waiting}"
    printed, errors = ended(process, signal.SIGINT)
    assert f"by process {server.address.pid}, whose environment variables the runs get" in printed
    assert "cancelling" not in errors


def test_in_async_code_serving_ends_when_it_is_cancelled(server: LocalServer, start: Start) -> None:
    process = start("""
    async def main():
        deployment = await etl.to_deployment("daily", schedules=[Cron("@daily", timezone="Europe/Berlin", slug="nightly")])
        serving = asyncio.create_task(aserve(deployment, limit=2))
        while not Path("stop").exists():
            await asyncio.sleep(0.02)
        serving.cancel()
        try:
            await serving
        except asyncio.CancelledError:
            print("cancelled")
    asyncio.run(main())""")
    assert [schedule["name"] for schedule in served(server, process, "etl-daily")["spec"]["schedules"]] == ["nightly"]
    (server.home.parent / "work" / "stop").touch()
    printed, errors = process.communicate(timeout=60)
    assert printed.endswith("cancelled\n"), errors
    assert "paused etl-daily" in errors


def test_a_flow_is_deployed_to_the_local_server_with_a_warning_for_each_argument_without_effect(server: LocalServer, start: Start) -> None:
    server.start()
    process = start(
        'print(etl.deploy("prod", work_pool_name="pool", image="registry/x:1", interval=60, job_variables={"odd": 1}, parameters={"name": "p"}))'
    )
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    stored = document(server, "etl-prod")
    assert printed.splitlines()[-1] == stored["metadata"]["uid"]
    assert [
        word
        for word in ("work_pool_name='pool' has no effect", "image='registry/x:1' has no effect", "job_variables: odd")
        if word not in errors
    ] == []
    assert stored["spec"]["process"]["python"] == sys.executable
    assert server.ended(run_of(server, "etl-prod"))["state"]["type"] == "COMPLETED"


def kubectl(kubeconfig: str, *arguments: str, given: str | None = None) -> Any:
    """What kubectl answers, as JSON."""
    command = ["kubectl", "--kubeconfig", kubeconfig, *arguments, "--output", "json"]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_in_a_context_that_is_a_cluster_a_flow_is_deployed_there(server: LocalServer, start: Start, kubeconfig: str) -> None:
    server.home.mkdir()
    (server.home / "contexts.json").write_text('{"current": "there", "contexts": {"there": {"cluster": ""}}}', encoding="utf-8")
    process = start(
        'print(etl.deploy("cluster", image="registry/x:1", cron="@daily", job_variables={"cpu_limit": 1}, concurrency_limit=1)); '
        'print(other.deploy("inline", print_next_steps=False))',
        KUBECONFIG=kubeconfig,
    )
    printed, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    with_image = kubectl(kubeconfig, "get", "flowdeployment", "etl-cluster")
    assert with_image["metadata"]["uid"] in printed
    assert (with_image["spec"]["image"], with_image["spec"]["entrypoint"]) == ("registry/x:1", "flows.py:etl")
    assert with_image["spec"]["podTemplate"]["spec"]["containers"] == [{"name": "flow", "resources": {"limits": {"cpu": "1"}}}]
    assert "no image is built or pushed" in errors
    assert with_image["spec"]["concurrency"] == {"limit": 1, "policy": "Queue"}
    inline = kubectl(kubeconfig, "get", "flowdeployment", "other-inline")["spec"]
    assert (inline["entrypoint"], "def other():" in inline["source"]["inline"]) == ("flows.py:other", True)


def test_what_convert_prints_is_accepted_by_a_cluster(tmp_path: Path, kubeconfig: str) -> None:
    (tmp_path / "prefect.yaml").write_text(
        """
deployments:
- {name: a, entrypoint: "f.py:x", schedules: [{cron: "0 6 * * *", timezone: Europe/Berlin}, {interval: 60, slug: often}],
   work_pool: {name: k8s, job_variables: {image: "r/x:1", env: {A: "on"}, cpu_request: 100m, finished_job_ttl: 60, namespace: default}}}
- {name: broken}
- {name: b, entrypoint: "m.n.f", parameters: {day: 2024-01-02, n: "1e3"}, description: "a: b\\n---\\n"}
""",
        encoding="utf-8",
    )
    command = [sys.executable, "-c", "from mintaka.cli import main; main()", "convert", str(tmp_path / "prefect.yaml")]
    printed = subprocess.run(command, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert printed.returncode == 1, printed.stderr
    accepted = kubectl(kubeconfig, "apply", "--dry-run=server", "--filename", "-", given=printed.stdout)
    specs = {item["metadata"]["name"]: item["spec"] for item in accepted["items"]}
    assert specs["f-b"]["parameters"] == {"day": "2024-01-02", "n": "1e3"}
    assert [schedule["name"] for schedule in specs["x-a"]["schedules"]] == ["main", "often"]
