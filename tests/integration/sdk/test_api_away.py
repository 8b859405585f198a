"""The API is away at the start, in the middle, at the end: no script and no pod fails or hangs for it, and nothing is lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from mintaka_core.reports import decode_report

if TYPE_CHECKING:
    from collections.abc import Callable

FLOW = """
import time
from pathlib import Path
from mintaka import flow, task

HERE = Path(__file__).parent

def pause(word):
    (HERE / f"at-{word}").touch()
    while not (HERE / f"go-{word}").exists():
        time.sleep(0.01)

@task
def add(a, b=1):
    return a + b

@flow
def work():
    total = sum(add.map(range(200)).result())
    time.sleep(0.6)  # one flush
    pause("first")
    total += sum(add.map(range(200)).result())
    time.sleep(0.6)
    pause("second")
    total += sum(add.map(range(200)).result())
    (HERE / "total").write_text(str(total))

if __name__ == "__main__":
    work()
"""


class Worker:
    """A script or a pod's process that runs the flow."""

    def __init__(self, kind: str, folder: Path, url: str, grace_seconds: float) -> None:
        self.kind, self.folder = kind, folder
        (folder / "flow.py").write_text(FLOW)
        variables = {"MINTAKA_API_URL": url, "MINTAKA_HISTORY": "on", "MINTAKA_HISTORY_GRACE_SECONDS": str(grace_seconds)}
        self.home = {"MINTAKA_HOME": str(folder / "home"), **variables}
        if kind == "pod":
            variables |= {
                "MINTAKA_ENTRYPOINT": "flow.py:work",
                "MINTAKA_SOURCE_DIR": str(folder),
                "MINTAKA_FLOW_RUN": "work-1",
                "MINTAKA_FLOW_RUN_UID": "0190f5fe-0000-7000-8000-000000000021",
                "MINTAKA_NAMESPACE": "team",
                "MINTAKA_TERMINATION_MESSAGE_PATH": str(folder / "report"),
                "MINTAKA_SPOOL_DIR": str(folder / "home" / "spool"),
            }
        else:
            variables = self.home
        command = [sys.executable, "-m", "mintaka.runner"] if kind == "pod" else [sys.executable, str(folder / "flow.py")]
        self.process = subprocess.Popen(command, env=os.environ | variables, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def wait_at(self, word: str) -> None:
        deadline = time.monotonic() + 30
        while not (self.folder / f"at-{word}").exists():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def go(self, word: str) -> None:
        (self.folder / f"go-{word}").touch()

    def ended(self) -> str:
        """What it said; the flow itself has come to its end, whatever became of its history."""
        said, _ = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, said
        assert (self.folder / "total").read_text() == str(3 * sum(range(1, 201)))
        return said

    def left(self, said: str) -> str:
        """Where it says that the rest of its history is; "" where it says that there is none."""
        if self.kind == "pod":
            report = decode_report((self.folder / "report").read_text())
            assert report is not None
            assert (report.state.type, report.history_complete) == ("COMPLETED", not report.spool)
            return report.spool
        return said.partition("is not delivered yet: it is in ")[2].partition(";")[0]

    def deliver(self, place: str) -> dict[str, int]:
        command = [str(Path(sys.executable).with_name("mintaka")), "deliver", "--json", place]
        done = subprocess.run(command, env=os.environ | self.home, text=True, capture_output=True, check=False)
        ends: dict[str, int] = json.loads(done.stdout)
        return ends


@pytest.fixture(params=["script", "pod"])
def starting(request: pytest.FixtureRequest, tmp_path: Path, api: Any) -> Any:
    """Starts a worker; it is gone when the test is over."""
    started = []

    def start(grace_seconds: float = 20) -> Worker:
        started.append(Worker(request.param, tmp_path, api.url, grace_seconds))
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.communicate()


def at_the_start(api: Any, start: Callable[..., Worker]) -> Worker:
    api.stop()
    worker = start()
    worker.wait_at("first")
    api.start()
    worker.go("first")
    worker.wait_at("second")
    worker.go("second")
    return worker


def in_the_middle(api: Any, start: Callable[..., Worker]) -> Worker:
    worker = start()
    worker.wait_at("first")
    api.stop()
    worker.go("first")
    worker.wait_at("second")
    api.start()
    worker.go("second")
    return worker


def at_the_end(api: Any, start: Callable[..., Worker]) -> Worker:
    worker = start()
    worker.wait_at("first")
    worker.go("first")
    worker.wait_at("second")
    api.stop()
    worker.go("second")
    while not (worker.folder / "total").exists():
        time.sleep(0.01)
    time.sleep(0.5)
    api.start()
    return worker


@pytest.mark.parametrize("away", [at_the_start, in_the_middle, at_the_end], ids=lambda away: away.__name__.replace("_", " "))
def test_an_api_that_comes_back_gets_everything(api: Any, starting: Any, away: Callable[..., Worker]) -> None:
    worker = away(api, starting)
    said = worker.ended()
    assert worker.left(said) == ""
    assert "does not take history, which is kept on disk meanwhile" in said
    api.assert_complete(600)


@pytest.mark.parametrize("fault", ["away", "hanging", "in trouble"])
def test_an_api_that_stays_away_gets_everything_from_the_spool_later(api: Any, starting: Any, fault: str) -> None:
    worker = starting(1.0)
    worker.wait_at("first")
    if fault == "away":
        api.stop()
    else:
        api.fault_forever = 30.0 if fault == "hanging" else 503
    worker.go("first")
    worker.wait_at("second")
    worker.go("second")
    began = time.monotonic()
    said = worker.ended()
    assert time.monotonic() - began < 15
    place = worker.left(said)
    assert place.startswith(str(worker.folder / "home" / "spool"))
    api.fault_forever = None
    if fault == "away":
        api.start()
    assert worker.deliver(place) == {"delivered": 1}
    deadline = time.monotonic() + 35  # what hung is stored at last, as the server's threads wake up
    while len(api.tasks) < 600 and time.monotonic() < deadline:
        time.sleep(0.05)
    api.assert_complete(600)
