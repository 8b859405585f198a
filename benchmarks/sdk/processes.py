"""A flow's process of its own, and what it measures, round by round."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from places import clean_environment

if TYPE_CHECKING:
    from places import Place

_ONE = Path(__file__).with_name("one.py")


class Round(NamedTuple):
    """One call of a flow of `n` tasks: seconds of wall clock and CPU in its process, and what it returned."""

    n: int
    wall: float
    cpu: float
    result: float
    #: Task runs on record when the call returned, in the end, and how many seconds after the return that was.
    at_return: int
    recorded: int
    drained: float
    #: Seconds of CPU that a server took from the call to that end.
    server_cpu: float

    @property
    def micros(self) -> float:
        """µs of wall clock per task, as who called the flow waits."""
        return self.wall / self.n * 1e6

    @property
    def cpu_micros(self) -> float:
        """µs of CPU per task, in all processes."""
        return (self.cpu + self.server_cpu) / self.n * 1e6


class FlowProcess:
    """A process that calls the flow of `case` with `n` tasks when it is told to."""

    def __init__(self, place: Place, case: str, n: int, drain_seconds: float) -> None:
        self._place, self._n, self._drain_seconds = place, n, drain_seconds
        self._command = [place.python, str(_ONE), place.library, case, str(n)]
        environment = {**clean_environment(), **place.environment()}
        self._process = subprocess.Popen(self._command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._answer()

    def round(self) -> Round:
        """One call, and what becomes of its history within the time there is."""
        base, cpu = self._settled(), self._place.server_cpu()
        figures = self._ask()
        began = time.perf_counter()
        at_return = self._place.recorded() - base
        recorded = at_return
        while recorded < self._n and time.perf_counter() - began < self._drain_seconds:
            time.sleep(0.1)
            recorded = self._place.recorded() - base
        drained = 0.0 if recorded == at_return else time.perf_counter() - began
        server_cpu = self._place.server_cpu() - cpu
        return Round(self._n, figures["wall"], figures["cpu"], figures["result"], at_return, recorded, drained, server_cpu)

    def _settled(self) -> int:
        """How many task runs are on record once no more are coming in."""
        counted, before = self._place.recorded(), -1
        while counted != before and self._place.library != "mintaka":
            time.sleep(3)
            counted, before = self._place.recorded(), counted
        return counted

    def _ask(self) -> dict[str, Any]:
        if self._process.stdin is not None:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline() if self._process.stdout is not None else ""
        if not line:
            message = f"{' '.join(self._command)} ended with {self._process.wait()}"
            raise RuntimeError(message)
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()
