"""One call of `run_deployment`: the request, and the run that makes it."""

from __future__ import annotations

import http.client
import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import UUID

from mintaka.calling.dependencies import resolved
from mintaka.context import CURRENT
from mintaka.exceptions import InvalidSettingError, ParameterTypeError, RunRequestError
from mintaka.remote_runs.api_requests import Deployment, ask, find_deployment, place, repeat
from mintaka.remote_runs.call_keys import call_key, tries_of
from mintaka.remote_runs.job_variables import overrides_of
from mintaka.remote_runs.run_views import CalledFlowRun, view_of
from mintaka_core.states import TERMINAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_logger = logging.getLogger("mintaka")

#: How long a call waits for an API that is away before it fails, unless its own timeout is shorter.
_PATIENCE_SECONDS = 300.0
_RUNS_AGAIN = 202
_TERMINAL = frozenset(state.value for state in TERMINAL)


@dataclass(frozen=True, slots=True)
class Requested:
    """A run that was requested: its document at that time, and the `sequence` above which its end counts."""

    document: dict[str, Any]
    after: int


@dataclass(frozen=True, slots=True)
class RunCall:
    """One call. `name` is as the user wrote it; `body` is for the API, without the identity of the call."""

    name: str
    body: dict[str, Any]
    url: str
    namespace: str
    timeout_seconds: float | None
    caller: Caller | None
    job_variables: dict[str, Any]

    def request(self) -> tuple[Deployment, Requested]:
        """Look up the deployment and request the run; while the API is away, this is repeated if the repetition requests the same run.

        Raises:
            DeploymentNotFound, RunRequestError: why there is no run.
        """
        patience = _PATIENCE_SECONDS if self.timeout_seconds is None else min(self.timeout_seconds, _PATIENCE_SECONDS)
        if self.caller is None and self.body.get("idempotency_key") is None:
            patience = 0.0
        where = place()._replace(url=self.url, namespace=self.namespace)
        deployment = repeat(lambda: find_deployment(where, self.name), patience)
        body = self.body if self.caller is None else {**self.body, "called_by": self.caller.document}
        return deployment, repeat(lambda: self._post(deployment, body), patience)

    def _post(self, deployment: Deployment, body: dict[str, Any]) -> Requested:
        status, document = ask(self.url, "POST", deployment.path, body)
        if status == http.client.NOT_FOUND:
            message = f"flow deployment {deployment.namespace}/{deployment.name} was deleted: {document.get('detail')}"
            raise RunRequestError(message)
        done = {http.client.CREATED: "was created", _RUNS_AGAIN: "of an earlier try runs again"}.get(status, "exists already")
        _logger.info("flow run %s of deployment %s %s", document["name"], deployment.name, done)
        if status != http.client.CREATED and self._differs(document):
            _logger.warning(
                "flow run %s, which this call of deployment %s created in an earlier try, has other parameters than the call has now: "
                "%s; give idempotency_key if it is another call",
                document["name"],
                deployment.name,
                sorted(document["parameters"]),
            )
        return Requested(document, _sequence_before_the_end(status, document))

    def _differs(self, document: Mapping[str, Any]) -> bool:
        """Whether an existing run has other parameters; secret ones cannot be compared."""
        known = {name: value for name, value in document["parameters"].items() if "**" not in str(value)}
        return any(self.body["parameters"].get(name) != value for name, value in known.items())

    def read(self, requested: Requested) -> dict[str, Any]:
        """The current run, or the requested one if the API does not have it yet. Raises RunRequestError."""
        status, document = ask(self.url, "GET", f"/flow-runs/{quote(requested.document['uid'], safe='')}")
        return requested.document if status == http.client.NOT_FOUND else document

    def view(self, document: Mapping[str, Any], deployment: Deployment) -> CalledFlowRun:
        """The run as `run_deployment` returns it."""
        parent = self.caller if self.caller is not None and not self.caller.document["detached"] else None
        return view_of(
            document,
            deployment.storage_url,
            parent_flow_run_id=parent.flow_run if parent else None,
            parent_task_run_id=parent.task_run if parent else None,
            idempotency_key=self.body.get("idempotency_key"),
            job_variables=self.job_variables,
        )


@dataclass(frozen=True, slots=True)
class Caller:
    """The run that makes the call; `document` identifies the call for the API, `flow_run` and `task_run` are its ids."""

    document: dict[str, Any]
    flow_run: UUID
    task_run: UUID | None


def next_call(name: str, *, detached: bool) -> Caller | None:
    """The caller, with the next call of the deployment `name`; None outside of flow runs.

    Calls are numbered when this is called, so code that makes several at a time has to do it in the order of the calls.
    """
    context = CURRENT.get()
    flow = context.flow if context is not None else None
    if context is None or flow is None:
        return None
    launch = flow.launch
    uid = launch.flow_run_id or str(flow.ledger.ids.flow_run)
    document = {
        "uid": uid,
        "name": launch.name or flow.run.name,
        "flow_run": flow.id if flow.id != uid else None,
        "attempt": launch.attempt,
        "tries": tries_of(context),
        "task_run": None if context.task is None else context.run.n,
        "detached": detached,
        "call": call_key(context, name),
    }
    return Caller(document, flow.uid, None if context.task is None else flow.ledger.ids.of(context.run.n))


def call_of(
    name: str,
    caller: Caller | None,
    parameters: Mapping[str, Any] | None,
    scheduled_time: datetime | None,
    flow_run_name: str | None,
    timeout_seconds: float | None,
    tags: Iterable[str] | None,
    idempotency_key: str | None,
    job_variables: Mapping[str, Any] | None,
) -> RunCall:
    """The call with these arguments by the running code; waits for futures among its parameters.

    Raises:
        InvalidSettingError, ParameterTypeError: an argument has no meaning.
        ConfigurationError: there is no API.
    """
    if timeout_seconds is not None and timeout_seconds < 0:
        message = f"timeout of run_deployment cannot be negative: {timeout_seconds}"
        raise InvalidSettingError(message)
    body: dict[str, Any] = {"parameters": _json_of(parameters or {})}
    if scheduled_time is not None:
        aware = scheduled_time if scheduled_time.tzinfo is not None else scheduled_time.replace(tzinfo=UTC)
        body["scheduled_time"] = aware.isoformat()
    if flow_run_name:
        body["flow_run_name"] = str(flow_run_name)
    if tags:
        body["tags"] = list(dict.fromkeys(tags))
    if idempotency_key is not None:
        body["idempotency_key"] = str(idempotency_key)
    if (overrides := overrides_of(job_variables)) is not None:
        body["overrides"] = overrides
    where = place()
    return RunCall(name, body, where.url, where.namespace, timeout_seconds, caller, dict(job_variables or {}))


def _sequence_before_the_end(status: int, document: Mapping[str, Any]) -> int:
    """The `sequence` above which the run's end counts. History may be behind the answer, with an end that a rerun has replaced."""
    sequence: int = document["sequence"]
    has_ended = document["state"]["type"] in _TERMINAL and status != _RUNS_AGAIN
    return sequence - 1 if has_ended else sequence


def _json_of(parameters: Mapping[str, Any]) -> Any:
    """Parameters as JSON values, with results instead of futures."""
    from pydantic_core import PydanticSerializationError, to_jsonable_python  # noqa: PLC0415 - start-up time

    given = {str(name): resolved(value, lambda passed: passed.result()) for name, value in parameters.items()}
    try:
        return to_jsonable_python(given)
    except (PydanticSerializationError, ValueError) as error:
        message = f"the parameters of a deployment are sent as JSON, and these cannot be: {error}"
        raise ParameterTypeError(message) from error
