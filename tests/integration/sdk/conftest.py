"""A stand-in for the API: a real HTTP server that speaks the contract and fails on request."""

from __future__ import annotations

import gzip
import json
import threading
import uuid
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import sharing
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.stopping import STOP
from mintaka_history.batches import LINE_STEP
from real_api import RealApi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture(autouse=True)
def nobody_asked_to_stop() -> Iterator[None]:
    """Each test begins in a process that nobody asked to stop."""
    STOP.clear()
    yield
    STOP.clear()


@dataclass
class StandIn:
    """What arrived, and how the next requests are treated.

    `faults` are taken one per report: a status to answer with, "drop" (close without an answer, nothing stored), "forget"
    (stored, then closed without an answer), or a number of seconds as a float to wait before storing. `stop_reason` is what is
    answered to a process that is asked to stop, "" for nothing.
    """

    faults: list[Any] = field(default_factory=list)
    problem: str = "about:blank"
    members: dict[str, Any] = field(default_factory=dict)
    fault_forever: Any = None
    stop_reason: str = "Outside"
    tasks: dict[int, dict[str, Any]] = field(default_factory=dict)
    logs: dict[int, dict[str, Any]] = field(default_factory=dict)
    reports: list[dict[str, Any]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    port: int = 0
    server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def final(self) -> bool:
        return any(report["final"] for report in self.reports)

    def start(self) -> None:
        """Listen, on the same port as before."""
        stand_in = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                stand_in._post(self)

            def do_GET(self) -> None:
                asked = self.path.endswith("/stop-reason")
                status = 503 if asked and not stand_in.stop_reason else 200
                stand_in._answer(self, status, {"reason": stand_in.stop_reason} if asked else {"uid": "uid", "state": {"type": "RUNNING"}})

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            connections: list[Any] = []  # noqa: RUF012 - one per server class

            def process_request(self, request: Any, client_address: Any) -> None:
                self.connections.append(request)
                super().process_request(request, client_address)

            def handle_error(self, request: Any, client_address: Any) -> None:
                """A connection that breaks is part of the game."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def stop(self) -> None:
        """Stop listening and break every connection, as a killed process does."""
        server, self.server = self.server, None
        if server is None:
            return
        server.shutdown()
        server.server_close()
        for connection in server.connections:  # type: ignore[attr-defined]
            try:
                connection.shutdown(2)
            except OSError:
                continue

    def _post(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        if handler.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        with self.lock:
            fault = self.faults.pop(0) if self.faults else self.fault_forever
        if isinstance(fault, float):
            sleep(fault)
        elif isinstance(fault, int):
            self._answer(
                handler, fault, {"type": "https://mintaka.dev/problems/stale-attempt" if fault == 409 else self.problem} | self.members
            )
            return
        if fault == "drop":
            handler.close_connection = True
            return
        report = json.loads(body)
        with self.lock:
            self._take(report, len(body))
        if fault == "forget":
            handler.close_connection = True
            return
        self._answer(handler, 200, {"report": report["report"]})

    def _take(self, report: dict[str, Any], size: int) -> None:
        """Store a report as the contract says, and note whatever it does not allow."""
        if size > 4 * 1024 * 1024 or len(report["tasks"]) + len(report["logs"]) > 5000:
            self.problems.append(f"report {report['report']} is too large")
        if self.final and report["report"] > max(other["report"] for other in self.reports):
            self.problems.append("a report came after the final one")
        self.reports.append(report)
        for row in report["tasks"]:
            known = self.tasks.get(row["n"])
            if known is None or known["seq"] < row["seq"]:
                self.tasks[row["n"]] = row
            elif known["seq"] == row["seq"] and known != row:
                self.problems.append(f"two different rows for {row['n']}, {row['seq']}")
        for line in report["logs"]:
            if self.logs.setdefault(line["seq"], line) != line:
                self.problems.append(f"two different lines {line['seq']}")

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, body: Any) -> None:
        text = json.dumps(body).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)

    def assert_complete(self, tasks: int, logs: int | None = None) -> None:
        """Everything is there, each once, and the last report said so."""
        assert self.problems == []
        assert sorted(self.tasks) == list(range(tasks))
        assert all(row["state"] == row["history"][-1][0] and row["seq"] == len(row["history"]) for row in self.tasks.values())
        if logs is not None:
            assert sorted(self.logs) == list(range(LINE_STEP, (logs + 1) * LINE_STEP, LINE_STEP))
        assert self.final
        last = max(self.reports, key=lambda report: report["report"])
        assert last["final"]
        counts: dict[str, int] = {}
        for row in self.tasks.values():
            counts[row["state"]] = counts.get(row["state"], 0) + 1
        assert last["counts"] == counts


@pytest.fixture
def api() -> Iterator[StandIn]:
    """A running stand-in."""
    stand_in = StandIn()
    stand_in.start()
    yield stand_in
    stand_in.stop()


@pytest.fixture
def real_api(database_url: str) -> Iterator[RealApi]:
    """A running API on an empty database."""
    real = RealApi(database_url)
    real.start()
    yield real
    real.kill()


@pytest.fixture(params=["script", "sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where variables and limits are: in a script's file, or at an API with either database."""
    monkeypatch.setenv("MINTAKA_HISTORY", "on")
    monkeypatch.setenv("MINTAKA_HOME", str(tmp_path / "home"))
    return str(request.param)


@pytest.fixture(scope="module")
def place_apis(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], RealApi]]:
    """The APIs of places, started when the first test of a module needs them."""
    started: dict[str, RealApi] = {}
    name = f"test_{uuid.uuid4().hex[:12]}"

    def of(place: str) -> RealApi:
        if place not in started:
            sqlite = f"sqlite:///{tmp_path_factory.mktemp('api') / 'api.db'}"
            started[place] = RealApi(request.getfixturevalue("postgres").create_database(name) if place == "postgresql" else sqlite)
        if started[place].process is None:
            started[place].start()
        return started[place]

    yield of
    for real in started.values():
        real.kill()
    if "postgresql" in started:
        request.getfixturevalue("postgres").drop_database(name)


@pytest.fixture
def reached(place: str, place_apis: Callable[[str], RealApi], monkeypatch: pytest.MonkeyPatch) -> RealApi | None:
    """The environment leads there, where nothing is yet; the API, if it is one."""
    if place == "script":
        return None
    real = place_apis(place)
    monkeypatch.setenv("MINTAKA_API_URL", real.url)
    for variable in sharing.shared().variables():
        sharing.shared().remove_variable(variable.name)
    for limit in sharing.shared().limits():
        for lease in limit.leases:
            sharing.shared().release(lease.id)
        sharing.shared().remove_limit(limit.name)
    return real


@pytest.fixture(autouse=True)
def nothing_stays_open() -> Iterator[None]:
    """Connections to databases and APIs that are gone are closed."""
    yield
    sharing.close()


@pytest.fixture(autouse=True)
def this_process_is_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A command that a test calls here does not end what this process has started, as it does in its own."""
    monkeypatch.setattr(CHILD_PROCESSES, "dedicate", lambda: None)
