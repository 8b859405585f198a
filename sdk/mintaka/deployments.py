"""`run_deployment("flow/deployment")`: run deployments from a script, a flow or a task; each run has a process or pod of its own.

    from mintaka.deployments import run_deployment

    run = run_deployment("clean/nightly", parameters={"day": "2026-11-21"})
    print(run.state.result())

The API creates the run and knows when it is over: that of a cluster (MINTAKA_API_URL, which pods have), or the server of this machine.
"""

from __future__ import annotations

from concurrent.futures import TimeoutError as WaitTimeout
from time import monotonic
from typing import TYPE_CHECKING, Any

from mintaka.calling.dual_functions import dual
from mintaka.engine.stopping import STOP
from mintaka.exceptions import RunRequestAway
from mintaka.executing.pool import slot_handed_over
from mintaka.remote_runs.end_watch import watch_of
from mintaka.remote_runs.run_requests import call_of, next_call
from mintaka.waiting.drivers import apart
from mintaka.waiting.pausing import check_seconds

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from uuid import UUID

    from mintaka.remote_runs.api_requests import Deployment
    from mintaka.remote_runs.end_watch import Awaited
    from mintaka.remote_runs.run_requests import Requested, RunCall
    from mintaka.remote_runs.run_views import CalledFlowRun

#: How often a blocking wait checks whether its run was cancelled or its process has to stop.
_SLICE_SECONDS = 0.5


async def arun_deployment(
    name: str | UUID,
    client: object = None,  # noqa: ARG001 - Prefect's
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - Prefect's name for it
    poll_interval: float | None = 5,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,  # noqa: ARG001 - Prefect's
    as_subflow: bool | None = True,
    job_variables: Mapping[str, Any] | None = None,
) -> CalledFlowRun:
    """`run_deployment` for `await`."""
    import asyncio  # noqa: PLC0415 - start-up time

    begun = monotonic()
    check_seconds("poll_interval of run_deployment", poll_interval or 5)
    caller = next_call(str(name), detached=as_subflow is False)  # before anything is awaited, so that calls are numbered in their order
    call = await apart(
        lambda: call_of(str(name), caller, parameters, scheduled_time, flow_run_name, timeout, tags, idempotency_key, job_variables)
    )
    deployment, requested = await apart(call.request)
    if timeout == 0:
        return call.view(requested.document, deployment)
    awaited = _end_of(call, requested)
    left = None if timeout is None else max(timeout - (monotonic() - begun), 0)
    try:
        document = await asyncio.wait_for(asyncio.wrap_future(awaited), left)
    except TimeoutError:
        return await apart(lambda: _unfinished(call, deployment, requested))
    finally:
        awaited.cancel()
    return call.view(document, deployment)


@dual(arun_deployment)
def run_deployment(
    name: str | UUID,
    client: object = None,  # noqa: ARG001 - Prefect's
    parameters: Mapping[str, Any] | None = None,
    scheduled_time: datetime | None = None,
    flow_run_name: str | None = None,
    timeout: float | None = None,
    poll_interval: float | None = 5,
    tags: Iterable[str] | None = None,
    idempotency_key: str | None = None,
    work_queue_name: str | None = None,  # noqa: ARG001 - Prefect's
    as_subflow: bool | None = True,
    job_variables: Mapping[str, Any] | None = None,
) -> CalledFlowRun:
    """Create a flow run of a deployment, and wait until it is over.

    Called in a flow or task, the run belongs to that flow run: it is listed below it, and is cancelled along with it. If the flow run is
    tried again, after a crash or a failure, this call finds the run that it created before: one that is over is returned at once
    (one that FAILED or CRASHED is run again first), one that runs is waited for. In async code this is awaited
    (`mintaka.calling.dual_functions`).

    Args:
        name: `deployment`, `flow/deployment` (the flow's function) or `namespace/deployment`.
        client: not used.
        parameters: override those of the deployment; futures among them are awaited.
        scheduled_time: when it is to start (None: at once).
        flow_run_name: the run's name begins with it. It should be the same in each try of the caller; else give `idempotency_key`.
        timeout: how many seconds to wait for its end; 0: do not wait. The run continues.
        poll_interval: not used: the API reports when the run is over.
        tags: tags of the run, in addition to those of the deployment.
        idempotency_key: calls with the same key, in one flow run or outside of all, get the same run, however it ended.
        work_queue_name: not used: there are no work queues.
        as_subflow: False: the run has no parent; it continues if the flow run is cancelled.
        job_variables: what differs from the deployment: `image`, `env`, `resources` and so on, also as `env.NAME`.

    Returns:
        The run: over, or as it was when `timeout` passed. `.state.result()` is its result if that is persisted, and raises
        the exception for its final state if it did not complete.

    Raises:
        DeploymentNotFound: there is no such deployment.
        RunRequestError: the API refused, for example because of the parameters, does not answer, or has lost the run.
        ConfigurationError: there is no API.
        InvalidSettingError, ParameterTypeError: an argument has no meaning.
    """
    begun = monotonic()
    check_seconds("poll_interval of run_deployment", poll_interval or 5)
    caller = next_call(str(name), detached=as_subflow is False)
    call = call_of(str(name), caller, parameters, scheduled_time, flow_run_name, timeout, tags, idempotency_key, job_variables)
    deployment, requested = call.request()
    if timeout == 0:
        return call.view(requested.document, deployment)
    awaited = _end_of(call, requested)
    try:
        with slot_handed_over():
            document = _wait(awaited, None if timeout is None else begun + timeout)
    finally:
        awaited.cancel()
    return _unfinished(call, deployment, requested) if document is None else call.view(document, deployment)


def _end_of(call: RunCall, requested: Requested) -> Awaited:
    """A future of the end of a run."""
    run = requested.document
    return watch_of(call.url).wait_for(run["uid"], requested.after, namespace=run["namespace"], name=run["name"])


def _wait(awaited: Awaited, until: float | None) -> dict[str, Any] | None:
    """The document of a run that is over; None if the time is up, or if this process has to stop."""
    while not STOP.requested:
        left = _SLICE_SECONDS if until is None else min(_SLICE_SECONDS, until - monotonic())
        try:
            return awaited.result(max(left, 0))
        except WaitTimeout:
            if until is not None and monotonic() >= until:
                return None
    return None


def _unfinished(call: RunCall, deployment: Deployment, requested: Requested) -> CalledFlowRun:
    """The run as it is when the wait ends early."""
    try:
        document = call.read(requested)
    except RunRequestAway:
        document = requested.document
    return call.view(document, deployment)


__all__ = ["arun_deployment", "run_deployment"]
