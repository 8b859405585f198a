"""What users request of flow runs: create, cancel, suspend, resume, run again, delete.

The API never writes `status`: the operator acts on the intent. `RunControl` is the port; `kubernetes_intents` is its
adapter in a cluster, local mode has another.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

from mintaka_core.resources.runs import CalledBy, RunOverrides

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun
    from mintaka_core.stop_reasons import StopReason
    from mintaka_history.queries.flow_runs import RunKey


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run to create; `name` None means that `mintaka_api.called_runs` chooses it, `scheduled_time` None means at once.

    `resume_from` names a run whose finished tasks it reuses. `called_by` is the run whose code called it, `call` identifies the call
    in that run ("": any), `called_in` the attempt and try that called, `ATTEMPT.TRY`. `idempotency_key` replaces `call`, also outside of
    runs. `flow_run_name` is the name that the user chose. `overrides` replaces parts of the deployment's template.
    """

    parameters: dict[str, Any]
    name: str | None
    scheduled_time: datetime | None
    tags: tuple[str, ...]
    resume_from: str | None = None
    called_by: CalledBy | None = None
    call: str = ""
    called_in: str = ""
    idempotency_key: str | None = None
    flow_run_name: str = ""
    overrides: RunOverrides | None = None


class RunControl(Protocol):
    """The port through which flow runs are controlled."""

    async def create(self, namespace: str, deployment: str, request: RunRequest) -> dict[str, Any]:
        """Create a run of a deployment, named as the request says; return its document as stored, with secret parameters masked."""

    async def read(self, namespace: str, name: str) -> dict[str, Any] | None:
        """The current document of a run, with secret parameters masked; None if there is no run of that name."""

    async def run_again(self, run: FlowRun, called_in: str) -> None:
        """Request that a finished run start again for the caller's try `called_in`, if it was not requested since it was read."""

    async def cancel(self, run: RunKey) -> None:
        """Request that the run be stopped for good."""

    async def suspend(self, run: RunKey) -> None:
        """Request that the run be suspended."""

    async def resume(self, run: RunKey, *, suspended_in: int | None = None) -> bool:
        """Request that a suspended or finished run continue; False if this was requested before.

        `suspended_in` is the attempt in which the run suspended itself, or is about to; None if that is not known.
        """

    async def rerun(self, run: RunKey) -> None:
        """Request that the run start again once it is over."""

    async def delete(self, run: RunKey) -> None:
        """Request that the run be stopped and deleted from the cluster."""

    async def stop_reason(self, run: RunKey, attempt: int) -> StopReason:
        """The reason why the process of an attempt is requested to stop, according to the run's current state."""
