"""What an intent changes in the spec of a flow run, the manifest of a requested one, and its secrets. Pure; both adapters of `RunControl` use it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka_api.problems import Problem
from mintaka_api.row_mapping import read_deployment
from mintaka_core import limits
from mintaka_core.errors import InvalidResource
from mintaka_core.instants import format_time
from mintaka_core.names import (
    ANNOTATION_CALLED_IN,
    ANNOTATION_RUN_NAME,
    API_VERSION,
    LABEL_CALLED_BY,
    LABEL_DEPLOYMENT,
    MIRROR_FINALIZER,
    label_value,
)
from mintaka_core.secret_parameters import UNKNOWN, SecretParameters
from mintaka_core.states import SUSPENDED_ITSELF

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka_api.intents import RunRequest
    from mintaka_core.resources import FlowRun
    from mintaka_history.queries.flow_runs import RunKey

LEFT = "left-the-cluster"


class Change(NamedTuple):
    """A field of the spec that is set to `value` if it still has the value `before` (None: unconditionally)."""

    field: str
    value: bool | int
    before: int | None = None


CANCEL = Change("cancel", value=True)
SUSPEND = Change("suspend", value=True)


def require_unfinished(run: RunKey, current: FlowRun) -> None:
    """Raise a Problem if the run has ended."""
    if current.status.is_terminal:
        raise Problem("already-ended", f"flow run {run.namespace}/{run.name} has already ended")


def changes_to_resume(run: RunKey, current: FlowRun, suspended_in: int | None) -> list[Change]:
    """End the suspension, request another start, or both; nothing if this was done before.

    Raises:
        Problem: the run is neither suspended nor over, or it is cancelled for good.
    """
    state, held = current.status.state, current.spec.suspend
    waits = state is not None and (state.type.is_terminal or state.reason == SUSPENDED_ITSELF)
    if not waits and not held and suspended_in is None:
        detail = f"flow run {run.namespace}/{run.name} is {state.name if state else 'new'}: it is neither suspended nor over"
        raise Problem("not-paused", detail)
    requested = current.rerun_wanted or (suspended_in is not None and current.status.attempt > suspended_in)
    changes = [Change("suspend", value=False)] if held else []
    if (waits or suspended_in is not None) and not requested:
        changes.append(change_to_rerun(run, current))
    return changes


def change_to_rerun(run: RunKey, current: FlowRun) -> Change:
    """Request another start. Raises a Problem if the run is cancelled for good."""
    if current.spec.cancel:
        detail = f"flow run {run.namespace}/{run.name} is cancelled for good: create another run that resumes from it"
        raise Problem("already-ended", detail)
    reruns = current.spec.reruns
    return Change("reruns", reruns + 1, before=reruns)


def check_size(request: RunRequest) -> None:
    """Raise a Problem if the parameters are not JSON, or too large."""
    if (excess := limits.check_parameters(request.parameters)) is not None:
        raise Problem("malformed" if excess.reason == "NotJson" else "too-large", excess.message, reason=excess.reason)


def run_manifest(namespace: str, deployment: str, deployment_uid: str, request: RunRequest) -> dict[str, Any]:
    """The manifest of the requested FlowRun, owned by its deployment; the mirror's finalizer keeps it until its end is recorded."""
    labels, annotations = {LABEL_DEPLOYMENT: label_value(deployment)}, dict[str, str]()
    spec: dict[str, Any] = {"deployment": deployment}
    if request.parameters:
        spec["parameters"] = request.parameters
    if request.scheduled_time is not None:
        spec["scheduledTime"] = format_time(request.scheduled_time)
    if request.resume_from is not None:
        spec["resumeFrom"] = request.resume_from
    if request.tags:
        spec["tags"] = list(request.tags)
    if request.overrides is not None:
        spec["overrides"] = request.overrides.to_wire()
    if request.called_by is not None:
        spec["calledBy"] = request.called_by.to_wire()
        labels[LABEL_CALLED_BY] = request.called_by.uid
        annotations[ANNOTATION_CALLED_IN] = request.called_in
    if request.flow_run_name:
        annotations[ANNOTATION_RUN_NAME] = request.flow_run_name
    owner = {"apiVersion": API_VERSION, "kind": "FlowDeployment", "name": deployment, "uid": deployment_uid, "controller": True}
    return {
        "apiVersion": API_VERSION,
        "kind": "FlowRun",
        "metadata": {
            "name": request.name,
            "namespace": namespace,
            "labels": labels,
            **({"annotations": annotations} if annotations else {}),
            "finalizers": [MIRROR_FINALIZER],
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def deployment_of(run: Mapping[str, Any]) -> str | None:
    """The name of the flow deployment of a run's document; None if there is none, or if the spec cannot be read."""
    spec = run.get("spec")
    name = spec.get("deployment") if isinstance(spec, dict) else None
    return name if isinstance(name, str) and name else None


def secrets_of(deployment: Mapping[str, Any] | None) -> SecretParameters:
    """The parameters that are secret in the runs of a deployment: all of them if its document is missing or cannot be read."""
    if deployment is None:
        return UNKNOWN
    try:
        return SecretParameters(read_deployment(dict(deployment)).spec.parameter_schema)
    except InvalidResource:
        return UNKNOWN


def left_problem(run: RunKey) -> Problem:
    """The run was deleted; only its history is left."""
    return Problem(LEFT, f"flow run {run.namespace}/{run.name} is no longer in the cluster; only its history is left")
