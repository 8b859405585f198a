"""Where history goes: a recorder takes every change of a run and every line of a log.

It never raises into a flow and never asks it to wait for a server, only, at most, for room in a queue. The one for pods
(`mintaka.delivery`) sends to the API; a script that just calls a flow has the null one and keeps no history.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from mintaka.runs import Run


@dataclass(frozen=True, slots=True)
class Delivery:
    """What became of the history in the end.

    `complete` is True where all of it was acknowledged. `spool` is the folder with what was not ("" where nothing is
    left); `lost` counts task runs and lines that fitted nowhere.
    """

    complete: bool = True
    spool: str = ""
    lost: int = 0


class Recorder(Protocol):
    """Takes history; called from every thread that runs tasks."""

    def changed(self, run: Run) -> None:
        """`run` entered another state."""

    def log(self, level: int, logger: str, n: int | None, message: str) -> None:
        """A line was logged; `n` is the run it belongs to (None: the flow run)."""

    def close(self, deadline: float) -> Delivery:
        """Deliver what is left until `deadline` (`time.monotonic()`), then stop."""


class NullRecorder:
    """Keeps nothing: for scripts without a server."""

    def changed(self, run: Run) -> None:
        """Nothing to do."""

    def log(self, level: int, logger: str, n: int | None, message: str) -> None:
        """Nothing to do."""

    def close(self, deadline: float) -> Delivery:  # noqa: ARG002 - the protocol's signature
        """Nothing is left because nothing was kept."""
        return Delivery()
