"""A flow run of this process, followed while it goes on, at next to no cost for the flow.

The recorder is wrapped: each run that changes is noted, and whoever shows it looks at what was noted now and then, in a
thread of its own. What waits to begin is read off the ledger of live runs.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from mintaka.cli.tally import Tally
from mintaka.engine.bookkeeping import uninterrupted

if TYPE_CHECKING:
    from mintaka.artifacts import ArtifactVersion
    from mintaka.context import Launch
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent
    from mintaka.recording.recorder import Delivery, Recorder


class FollowedRecorder:
    """Hands everything on to `recorder`, and notes what changed."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.changes: deque[Run] = deque()

    @uninterrupted
    def changed(self, run: Run) -> None:
        """Note `run`."""
        self.changes.append(run)
        self._recorder.changed(run)

    def log(self, level: int, logger: str, n: int | None, message: str, called: Run | None = None) -> None:
        """Hand a line on."""
        self._recorder.log(level, logger, n, message, called)

    def keep(self, artifact: ArtifactVersion) -> None:
        """Hand an artifact on."""
        self._recorder.keep(artifact)

    def emit(self, event: EmittedEvent) -> None:
        """Hand an event on."""
        self._recorder.emit(event)

    def close(self, deadline: float) -> Delivery:
        """Close the recorder."""
        return self._recorder.close(deadline)


class Followed:
    """The flow run of `launch`, whose recorder is wrapped from now on."""

    def __init__(self, launch: Launch) -> None:
        self.launch = launch
        self.tally = Tally()
        self._recorder = FollowedRecorder(launch.recorder)
        launch.recorder = self._recorder

    def look(self) -> Tally:
        """The tally, with what changed since the last look. For one thread at a time."""
        changes = self._recorder.changes
        noted = [changes.popleft() for _ in range(len(changes))]
        live = self.launch.ledger.live.copy().values() if self.launch.ledger is not None else ()
        self.tally.take(dict.fromkeys(noted))  # once each, in order: a parent before what it called
        self.tally.wait(live)
        return self.tally
