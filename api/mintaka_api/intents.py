"""What users want of flow runs: create, cancel, suspend, resume, run again, delete.

The API never writes `status`: the operator acts on the intent. `RunControl` is the port; in a cluster its adapter is
`kubernetes_intents`, local mode gets another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from mintaka_core.stop_reasons import StopReason
    from mintaka_history.queries.flow_runs import RunKey


@dataclass(frozen=True, slots=True)
class RunWish:
    """One run to be created; `name` None for a generated one, `scheduled_time` None for at once.

    `resume_from` names a run whose finished tasks it takes over.
    """

    parameters: dict[str, Any]
    name: str | None
    scheduled_time: datetime | None
    tags: tuple[str, ...]
    resume_from: str | None = None


class RunControl(Protocol):
    """The port through which flow runs are controlled."""

    async def create(self, namespace: str, deployment: str, wish: RunWish) -> dict[str, Any]:
        """Create a run of a deployment; the manifest as it was stored."""

    async def cancel(self, run: RunKey) -> None:
        """Ask for the run to be stopped for good."""

    async def suspend(self, run: RunKey) -> None:
        """Ask for the run to be held back."""

    async def resume(self, run: RunKey, *, suspended_in: int | None = None) -> bool:
        """Ask for a run that is held back, suspended itself or is over to go on; False where it was asked to already.

        `suspended_in` is the attempt in which it suspended itself, or is about to; None where that is not known.
        """

    async def rerun(self, run: RunKey) -> None:
        """Ask for the run to start again once it is over."""

    async def delete(self, run: RunKey) -> None:
        """Ask for the run to be stopped and to leave the cluster."""

    async def stop_reason(self, run: RunKey, attempt: int) -> StopReason:
        """Why the process of an attempt is asked to stop, by what the run says now."""
