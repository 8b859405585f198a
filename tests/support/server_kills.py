"""Flow runs of a local server that is killed at random, and a ledger of the attempts that really ran: a file that the flows append to.

Kinds of runs: `completes`, `fails` (its code raises), `dies` (its first process kills itself; the crash budget allows another one)
and `prints` (much output, then it completes).
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from local_server import LocalServer, wait_until
from mintaka.server_address import running_server
from processes import free_port

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

KINDS = ("completes", "fails", "dies", "prints")
_FLOW = """
import os, signal, sys, time
from mintaka import flow

@flow(log_prints=True)
def main(kind: str, seconds: float, ledger: str):
    name, attempt = os.environ["MINTAKA_FLOW_RUN"], os.environ["MINTAKA_ATTEMPT"]
    file = os.open(ledger, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, f"{name} begins {attempt}\\n".encode())
    time.sleep(seconds)
    if kind == "dies" and attempt == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    if kind == "prints":
        for line in range(PRINTED):
            print(f"line {line} of {name}")
    os.write(file, f"{name} ends {attempt}\\n".encode())
    if kind == "fails":
        raise ValueError("as it should")
"""
_PRINTED = 2000
_STATES = {"completes": "COMPLETED", "fails": "FAILED", "dies": "COMPLETED", "prints": "COMPLETED"}
#: The ledger's expected lines for a run of each kind: no attempt ran twice, none was lost.
_LINES = {kind: ["begins 1", "begins 2", "ends 2"] if kind == "dies" else ["begins 1", "ends 1"] for kind in KINDS}
_LONGEST_FLOW_SECONDS = 2.0
#: How often the server is killed at that point; the other kills happen while it serves.
_WHILE_IT_STARTS = 0.25
_WHILE_RUNS_ARE_CREATED = 0.3


class KilledServer:
    """A server and `runs` flow runs; `seed` decides what each does and when the server is killed."""

    def __init__(self, folder: Path, runs: int, seed: int) -> None:
        self.server = LocalServer(folder / "home")
        self.ledger = folder / "ledger"
        self.random = random.Random(seed)
        self.kinds = {f"run-{number}": KINDS[number % len(KINDS)] for number in range(runs)}
        self._port = free_port()
        self._process: subprocess.Popen[str] | None = None

    def deploy(self) -> None:
        """Store the flow; the server runs."""
        source = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": "chaos"},
            "data": {"flow.py": _FLOW.replace("PRINTED", str(_PRINTED))},
        }
        spec = {
            "entrypoint": "flow.py:main",
            "source": {"configMap": {"name": "chaos"}},
            "retries": {"onFailure": {"limit": 0}, "onCrash": {"limit": 1, "backoff": {"delaySeconds": 0}}},
            "history": {"limit": 10000},  # a finished run that left would be created again under its name
        }
        deployment = {"apiVersion": "mintaka.dev/v1alpha1", "kind": "FlowDeployment", "metadata": {"name": "chaos"}, "spec": spec}
        self.server.apply(source, deployment)

    def start(self) -> None:
        """Start the server without waiting for it."""
        log = (self.server.home.parent / "log").open("a")
        with log:
            self._process = self.server.foreground("--port", str(self._port), stdout=log, stderr=log)

    def kill(self) -> None:
        """Kill it, regardless of what it is doing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def listens(self) -> bool:
        """Whether the server that was started last listens."""
        found = running_server(self.server.home)
        return found is not None and self._process is not None and found.pid == self._process.pid

    def create_runs(self) -> None:
        """Create those runs that have not been created; a server that dies in between is not an error."""
        for name, kind in self.kinds.items():
            parameters = {"kind": kind, "seconds": round(self.random.uniform(0, _LONGEST_FLOW_SECONDS), 2), "ledger": str(self.ledger)}
            document = {
                "apiVersion": "mintaka.dev/v1alpha1",
                "kind": "FlowRun",
                "metadata": {"name": name},
                "spec": {"deployment": "chaos", "parameters": parameters},
            }
            self._request("POST", "/api/v1/documents", json=document)

    def states(self) -> dict[str, str]:
        """The state of each run that exists on the server."""
        found: dict[str, str] = {}
        cursor: dict[str, str] = {}
        while True:
            page = self.server.get("/flow-runs", limit=200, kind="deployed", **cursor)
            found |= {run["name"]: run["state"]["type"] for run in page["items"]}
            if not page["next"]:
                return found
            cursor = {"cursor": page["next"]}

    def settle(self, seconds: float) -> None:
        """Start the server a last time and wait until every run has ended."""
        self.start()
        wait_until(self.listens, "the server listens")
        self.create_runs()
        over = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        wait_until(lambda: sum(state in over for state in self.states().values()) == len(self.kinds), "every run has ended", seconds)

    def kill_at_random(self, times: int, longest_seconds: float) -> None:
        """Kill the server `times` times: while it starts, serves, or creates runs."""
        for _ in range(times):
            self.start()
            if self.random.random() < _WHILE_IT_STARTS:
                time.sleep(self.random.uniform(0, longest_seconds))
            else:
                wait_until(self.listens, "the server listens")
                if self.random.random() < _WHILE_RUNS_ARE_CREATED:
                    self.create_runs()
                else:
                    time.sleep(self.random.uniform(0, longest_seconds))
            self.kill()

    def _transitions_of(self, name: str) -> list[str]:
        """The states of a run, with their times, for a failure's message."""
        run = next(run for run in self.server.get("/flow-runs", limit=200, kind="deployed", name=name)["items"] if run["name"] == name)
        items = self.server.get(f"/flow-runs/{run['uid']}/transitions")["items"]
        return [f"{item['time']} {item['to']} {item['reason']} attempt {item['attempt']}" for item in items]

    def judge(self) -> None:
        """Each run ended once, in the right state, according to the server and to the ledger."""
        assert self.states() == {name: _STATES[kind] for name, kind in self.kinds.items()}
        lines: dict[str, list[str]] = {name: [] for name in self.kinds}
        for line in self.ledger.read_text().splitlines():
            name, _, what = line.partition(" ")
            lines[name].append(what)
        wrong = {name: lines[name] for name, kind in self.kinds.items() if lines[name] != _LINES[kind]}
        assert wrong == {}, {name: (self.kinds[name], self._transitions_of(name)) for name in wrong}
        for run in self.server.get("/flow-runs", limit=200, kind="deployed")["items"]:
            ends = Counter(item["to"] for item in self.server.get(f"/flow-runs/{run['uid']}/transitions")["items"])
            assert ends[run["state"]["type"]] == 1, (run["name"], ends)
            assert run["crashes"] == (self.kinds[run["name"]] == "dies"), run
            if self.kinds[run["name"]] == "prints":
                wait_until(partial(self._has_last_line, run["uid"], run["name"]), f"the log of {run['name']}")

    def left_processes(self) -> list[str]:
        """The folders that processes have left after every end is recorded; soon none."""
        folder = self.server.home / "processes"
        return sorted(str(path.relative_to(folder)) for path in folder.glob("*/*"))

    def _has_last_line(self, uid: str, name: str) -> bool:
        """Whether the log of a run is complete, if necessary from the output that its process left on disk."""
        line = f"line {_PRINTED - 1} of {name}"
        return any(item["message"] == line for item in self.server.get(f"/flow-runs/{uid}/logs", q=line)["items"])

    def _request(self, method: str, path: str, **options: Any) -> None:
        try:
            response = self.server.request(method, path, **options)
        except (httpx.HTTPError, AssertionError):
            return
        assert response.is_success or response.status_code == 409, response.text

    def stop(self) -> None:
        """End the server and all processes it has started."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait(30)


def run_killed_server(folder: Path, *, runs: int, kills: int, seed: int, seconds: float) -> None:
    """Run the flow runs to their ends while the server is killed at random, and check them."""
    story = KilledServer(folder, runs, seed)
    print(f"seed {seed}: {runs} runs, {kills} kills; {os.cpu_count()} cores")
    try:
        story.start()
        wait_until(story.listens, "the server listens")
        story.deploy()
        story.create_runs()
        story.kill()
        story.kill_at_random(kills, longest_seconds=4.0)
        story.settle(seconds)
        story.judge()
        wait_until(lambda: not story.left_processes(), "the folders of ended attempts are removed")
    finally:
        story.stop()
