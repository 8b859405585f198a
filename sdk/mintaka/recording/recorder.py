"""Where history goes: a recorder takes every change of a run, every line of a log and every artifact.

It never raises into a flow and never asks it to wait for a server or a disk, only, at most, for room in a queue. The real
one (`mintaka.recording.delivery`) hands everything on to a sink: the API, or a SQLite file. The null one keeps nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from mintaka_core.history_reasons import HistoryReason

if TYPE_CHECKING:
    from mintaka.artifacts import ArtifactVersion
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the history in the end.

    `complete` is True where all of it was acknowledged. `spool` is the folder with what was not ("" where nothing is
    left); `lost` counts task runs, lines and artifacts that fitted nowhere; `reason` says why, if it is a special reason.
    """

    complete: bool = True
    spool: str = ""
    lost: int = 0
    reason: HistoryReason | None = None


class Recorder(Protocol):
    """Takes history; called from every thread that runs tasks."""

    def changed(self, run: Run) -> None:
        """`run` (a task run, a called flow run, or the flow run itself, whose `n` is -1) entered another state."""

    def log(self, level: int, logger: str, n: int | None, message: str, called: Run | None = None) -> None:
        """A line was logged in task run `n` (None: in none) of the flow run `called` (None: of the outermost one)."""

    def keep(self, artifact: ArtifactVersion) -> None:
        """An artifact was made, or has a new version."""

    def emit(self, event: EmittedEvent) -> None:
        """An event was emitted."""

    def close(self, deadline: float) -> Delivery:
        """Deliver what is left until `deadline` (`time.monotonic()`), then stop."""


class NullRecorder:
    """Keeps nothing: for tasks outside of flows, and where history is switched off."""

    def changed(self, run: Run) -> None:
        """Nothing to do."""

    def log(self, level: int, logger: str, n: int | None, message: str, called: Run | None = None) -> None:
        """Nothing to do."""

    def keep(self, artifact: ArtifactVersion) -> None:
        """Nothing to do."""

    def emit(self, event: EmittedEvent) -> None:
        """Nothing to do."""

    def close(self, deadline: float) -> Delivery:  # noqa: ARG002 - the protocol's signature
        """Nothing is left because nothing was kept."""
        return Delivery()
