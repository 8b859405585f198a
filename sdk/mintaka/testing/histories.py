"""For tests of flows and tasks: run them with their history at hand, without a server.

with recorded() as history:
    my_flow()
assert history.states_of("clean-0") == ["Pending", "Running", "Completed"]
"""

from __future__ import annotations

import json
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from mintaka.context import LAUNCH, Launch
from mintaka.recording.recorder import Delivery
from mintaka.recording.wire import LogLine, called_run, encode, task_record

if TYPE_CHECKING:
    from collections.abc import Iterator
    from uuid import UUID

    from mintaka.artifacts import ArtifactVersion
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent


class MemoryRecorder:
    """Keeps every run and line of a flow run in memory."""

    def __init__(self) -> None:
        self.runs: dict[int, Run] = {}
        self.lines: list[LogLine] = []
        self.artifacts: dict[UUID, ArtifactVersion] = {}
        self.events: list[EmittedEvent] = []

    def changed(self, run: Run) -> None:
        """Keep `run`; the flow run itself has no row."""
        if run.n >= 0:
            self.runs[run.n] = run

    def log(self, level: int, logger: str, n: int | None, message: str, called: Run | None = None) -> None:
        """Keep one line; its time is not recorded."""
        self.lines.append(LogLine(len(self.lines), 0, level, logger, n, message, called))

    def keep(self, artifact: ArtifactVersion) -> None:
        """Keep the newest version of an artifact."""
        self.artifacts[artifact.id] = artifact

    def emit(self, event: EmittedEvent) -> None:
        """Store an event."""
        self.events.append(event)

    def close(self, deadline: float) -> Delivery:  # noqa: ARG002 - the protocol's signature
        """Everything is here."""
        return Delivery()

    @property
    def called(self) -> list[Run]:
        """The flow runs that were called in it, however deep, in the order of their calls."""
        return [run for _, run in sorted(self.runs.items()) if run.called is not None]

    def runs_of(self, name: str) -> list[Run]:
        """The task runs of the called flow run of that name, its calls of other flows among them.

        Raises:
            LookupError: there is none.
        """
        owner = self.run(name)
        return [run for _, run in sorted(self.runs.items()) if run.owner is owner]

    def run(self, name: str) -> Run:
        """The run of that name. Called flow runs are also found by the name of the function and their number, as in `clean-0`: the
        names that they get without `flow_run_name` end in a part of their ids.

        Raises:
            LookupError: there is none; the message has those that there are.
        """
        for run in self.runs.values():
            if name in (run.name, f"{run.task.rpartition('.')[2]}-{run.n}" if run.kind == "subflow" else ""):
                return run
        message = f"no run was called {name!r}; there are: {', '.join(run.name for run in self.runs.values()) or 'none'}"
        raise LookupError(message)

    def row(self, name: str) -> dict[str, Any]:
        """The run of that name as the API would get it; of a called flow run, the task run that stands for it."""
        row: dict[str, Any] = json.loads(encode(task_record(self.run(name))))
        return row

    def flow_run(self, name: str) -> dict[str, Any]:
        """The called flow run of that name as the API would get it: `uid`, `parameters`, `tags`, `transitions` and more.

        Raises:
            LookupError: there is none.
        """
        run = self.run(name)
        if run.called is None:
            message = f"{name!r} is not a flow run that was called; these are: {', '.join(run.name for run in self.called) or 'none'}"
            raise LookupError(message)
        counts = Counter(other.state.type._value_ for other in self.runs_of(name))
        document: dict[str, Any] = json.loads(encode(called_run(run, run.called, counts, moved=True)))
        return document

    def states_of(self, name: str) -> list[str]:
        """The names of the states that the run entered, in order."""
        return [entry.name for entry in self.run(name).history if not (entry.refused or entry.waits)]

    def upstream_of(self, name: str) -> set[str]:
        """The names of the runs whose results went into that run."""
        return {self.runs[n].name for n in self.run(name).upstream}

    def inputs_of(self, name: str) -> dict[str, set[str]]:
        """The same by the parameter that they came in through; `wait_for` for those that were only waited for."""
        found: dict[str, set[str]] = {}
        for parameter, n in self.run(name).inputs:
            found.setdefault(parameter, set()).add(self.runs[n].name)
        return found


@contextmanager
def recorded(**launch: Any) -> Iterator[MemoryRecorder]:
    """Run the next flow with its history kept in memory; `launch` are fields of `mintaka.context.Launch`."""
    recorder = MemoryRecorder()
    token = LAUNCH.set(Launch(recorder=recorder, **launch))
    try:
        yield recorder
    finally:
        LAUNCH.reset(token)
