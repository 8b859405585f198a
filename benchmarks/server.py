"""What the local server costs and how fast it is: start, idle, the start of a run, many runs, many schedules.

Each part uses a server of its own on a new file, on loopback, and stops it. `runs` compares trivial flows at the server with the same
script run by `subprocess`, as many at a time as there are cores, and with `serve` of Prefect, whose server uses SQLite by default.

    python benchmarks/server.py [--part ready|idle|start|runs|schedules ...] [--runs 1000] [--prefect-runs 40] [--schedules 10000]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, Self

sys.path.insert(0, str(Path(__file__).parent / "sdk"))

import httpx
import psutil
from places import PrefectServer, clean_environment, free_port

from shared.figures import percentile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PARTS = ("ready", "idle", "start", "runs", "schedules")
_API_VERSION = "mintaka.dev/v1alpha1"
_FLOW = "from {library} import flow\n\n\n@flow\ndef nothing(number: int = 0) -> int:\n    return number\n"
_SERVE = "\n\nif __name__ == '__main__':\n    nothing.serve(name='nothing', limit={limit})\n"
_TERMINAL = ["COMPLETED", "FAILED", "CRASHED", "CANCELLED"]
_PATIENCE_SECONDS = 900
#: How long nothing is requested of the server after a run was created whose start is measured.
_UNDISTURBED_SECONDS = 0.2


class LocalServer:
    """A `mintaka server` on the home `folder`."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder, self._options = folder, options
        self.port = free_port()
        self._environment = clean_environment() | {"MINTAKA_HOME": str(folder)}

    def __enter__(self) -> Self:
        self.took = self._start()
        self.client = httpx.Client(
            base_url=f"http://127.0.0.1:{self.port}/api/v1",
            headers={"Authorization": f"Bearer {(self.folder / 'server.token').read_text(encoding='utf-8').strip()}"},
            timeout=120,
        )
        return self

    def _start(self) -> float:
        """Start it; the seconds until it is ready."""
        command = [sys.executable, "-P", "-m", "mintaka_api.local", "--home", str(self.folder), "--port", str(self.port)]
        self.folder.mkdir(mode=0o700, exist_ok=True)
        with (self.folder / "output").open("ab") as output:
            began = time.perf_counter()
            self.process = subprocess.Popen([*command, *self._options], env=self._environment, stdout=output, stderr=output)
        while True:
            try:
                if httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5).status_code == httpx.codes.OK:
                    return time.perf_counter() - began
            except httpx.TransportError:
                if self.process.poll() is not None:
                    raise SystemExit((self.folder / "output").read_text(encoding="utf-8")) from None
            time.sleep(0.005)

    def __exit__(self, *_: object) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(timeout=60)

    def apply(self, *documents: dict[str, Any]) -> None:
        """Apply documents, a hundred at a time."""
        for first in range(0, len(documents), 100):
            self.client.put("/documents", json={"documents": documents[first : first + 100]}).raise_for_status()

    def run(self, deployment: str) -> str:
        """Create a run; its uid."""
        answer = self.client.post(f"/namespaces/local/flow-deployments/{deployment}/runs")
        answer.raise_for_status()
        uid: str = answer.json()["uid"]
        return uid

    def list(self, **query: Any) -> Iterator[dict[str, Any]]:
        """Flow runs, page by page."""
        cursor = None
        while cursor != "":
            answer = self.client.get("/flow-runs", params={"limit": 200, **query} | ({"cursor": cursor} if cursor else {}))
            answer.raise_for_status()
            page = answer.json()
            yield from page["items"]
            cursor = page["next"] or ""

    def wait(self, uids: set[str]) -> dict[str, Any]:
        """The runs once all have ended."""
        deadline, ended = time.monotonic() + _PATIENCE_SECONDS, {}
        while not uids <= ended.keys():
            if time.monotonic() > deadline:
                message = f"{len(uids - ended.keys())} runs have not ended"
                raise SystemExit(message)
            ended = {run["uid"]: run for run in self.list(state=_TERMINAL)}
            time.sleep(0.2)
        return ended


def deployment(name: str, **spec: Any) -> dict[str, Any]:
    """A FlowDeployment."""
    return {"apiVersion": _API_VERSION, "kind": "FlowDeployment", "metadata": {"name": name}, "spec": spec}


def container(*command: str) -> dict[str, Any]:
    """The template of a run that is a program."""
    return {"podTemplate": {"spec": {"containers": [{"name": "flow", "command": list(command)}]}}}


def measure_ready(folder: Path, given: argparse.Namespace) -> None:
    """Seconds until it is ready, on a new and on an existing file."""
    del given
    with LocalServer(folder / "home") as server:
        new = server.took
    again = []
    for _ in range(7):
        with LocalServer(folder / "home") as server:
            again.append(server.took)
    print(f"ready: on a new file {new:.2f} s; on an existing one {median(again):.2f} s ({min(again):.2f} to {max(again):.2f})")


def measure_idle(folder: Path, given: argparse.Namespace) -> None:
    """Memory and CPU of a server with ten deployments and nothing to do, for a minute."""
    del given
    with LocalServer(folder / "home") as server:
        server.apply(*(deployment(f"idle-{number}", **container("true")) for number in range(10)))
        time.sleep(20)
        process = psutil.Process(server.process.pid)
        everything = [process, *process.children(recursive=True)]
        before = sum(sum(each.cpu_times()[:2]) for each in everything)
        time.sleep(60)
        used = sum(sum(each.cpu_times()[:2]) for each in everything) - before
        memory = process.memory_full_info()
        print(f"idle: {memory.rss / 2**20:.1f} MiB resident, {memory.uss / 2**20:.1f} MiB its own; {used / 60 * 100:.2f} % of a core")


def measure_start(folder: Path, given: argparse.Namespace) -> None:
    """Milliseconds from a run's creation to the first instruction of its program, a hundred times, one after the other."""
    del given
    moments = folder / "moments"
    with LocalServer(folder / "home") as server:
        server.apply(deployment("moment", **container("sh", "-c", f"date +%s.%N >> {moments}")))
        began, uids = [], set()
        for _ in range(100):
            began.append(time.time())
            uid = server.run("moment")
            uids.add(uid)
            time.sleep(_UNDISTURBED_SECONDS)
            server.wait({uid})
        started = [float(line) for line in moments.read_text(encoding="utf-8").split()]
    took = [(there - here) * 1e3 for here, there in zip(began, started, strict=True)]
    print(f"start: run created -> its program runs: p50 {median(took):.1f} ms, p95 {percentile(took, 0.95):.1f} ms (sh itself included)")


def measure_runs(folder: Path, given: argparse.Namespace) -> None:
    """Trivial flows per second, start and stop of the servers included."""
    (folder / "nothing.py").write_text(_FLOW.format(library="mintaka"), encoding="utf-8")
    cores = os.cpu_count() or 1

    def at_the_server() -> int:
        with LocalServer(folder / "home") as server:
            server.apply(deployment("nothing", entrypoint=f"{folder / 'nothing.py'}:nothing"))
            uids = {server.run("nothing") for _ in range(given.runs)}
            ended = server.wait(uids)
            if others := {ended[uid]["state"]["name"] for uid in uids} - {"Completed"}:
                message = f"some ended {others}"
                raise SystemExit(message)
        return int(given.runs)

    def by_subprocess() -> int:
        script = "import sys; sys.path.insert(0, sys.argv[1]); from nothing import nothing; nothing()"
        environment = clean_environment() | {"MINTAKA_HOME": str(folder / "scripts")}
        with ThreadPoolExecutor(cores) as pool:
            command = [sys.executable, "-c", script, str(folder)]
            list(pool.map(lambda _: subprocess.run(command, env=environment, capture_output=True, check=True), range(given.runs)))
        return int(given.runs)

    _report("runs: mintaka server", at_the_server)
    _report("runs: bare subprocess, history in a file", by_subprocess)
    if given.prefect_runs:
        _report("runs: Prefect's server and serve", lambda: _under_prefect(folder, given.prefect_runs, cores))


def _report(title: str, work: Callable[[], int]) -> None:
    began = time.perf_counter()
    count = work()
    seconds = time.perf_counter() - began
    print(f"{title}: {count} in {seconds:.1f} s, {count / seconds:.1f}/s", flush=True)


def _under_prefect(folder: Path, runs: int, limit: int) -> int:
    (folder / "prefect").mkdir()
    file = folder / "prefect" / "served.py"
    file.write_text(_FLOW.format(library="prefect") + _SERVE.format(limit=limit), encoding="utf-8")
    with PrefectServer(folder / "prefect", {}) as server:
        environment = clean_environment() | dict(server.environment())
        serving = subprocess.Popen([server.python, str(file)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            found: list[dict[str, Any]] = []
            while not found:
                found = json.loads(server.request("POST", "/api/deployments/filter", {})[1])
                time.sleep(0.2)
            for _ in range(runs):
                server.request("POST", f"/api/deployments/{found[0]['id']}/create_flow_run", {"state": {"type": "SCHEDULED"}})
            wanted = {"flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
            while int(server.request("POST", "/api/flow_runs/count", wanted)[1]) < runs:
                time.sleep(0.2)
        finally:
            serving.terminate()
            serving.wait(timeout=60)
    return runs


def measure_schedules(folder: Path, given: argparse.Namespace) -> None:
    """How late runs are created when many schedules are due within one minute; the server has one core, runs wait."""
    count: int = given.schedules
    with LocalServer(folder / "home", "--max-processes", "1") as server:
        psutil.Process(server.process.pid).cpu_affinity([0])
        first = datetime.now(UTC) + timedelta(seconds=60 + count / 50)
        documents = []
        for number in range(count):
            due = first + timedelta(seconds=60 * number / count)
            schedule = {"name": "once", "interval": "24h", "anchor": due.isoformat()}
            documents.append(deployment(f"due-{number}", schedules=[schedule], **container("sleep", "600")))
        began = time.perf_counter()
        server.apply(*documents)
        print(f"schedules: {count:,} deployments applied in {time.perf_counter() - began:.0f} s", flush=True)
        time.sleep(max(0.0, (first - datetime.now(UTC)).total_seconds()) + 75)
        late = []
        for run in server.list(fields="created,scheduled"):
            made, due = (datetime.fromisoformat(run[field]) for field in ("created", "scheduled"))
            late.append((made - due).total_seconds())
        print(
            f"schedules: {len(late):,} of {count:,} fired; late p50 {median(late):.2f} s, p99 {percentile(late, 0.99):.2f}, most {max(late):.2f}"
        )


def main() -> None:
    """Print the figures of the chosen parts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only these")
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--prefect-runs", type=int, default=40, help="0: without Prefect")
    parser.add_argument("--schedules", type=int, default=10_000)
    given = parser.parse_args()
    measures = dict(zip(PARTS, (measure_ready, measure_idle, measure_start, measure_runs, measure_schedules), strict=True))
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    for part in given.part or PARTS:
        with tempfile.TemporaryDirectory() as folder:
            measures[part](Path(folder), given)


if __name__ == "__main__":
    main()
