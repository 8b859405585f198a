"""Known resources as models, read again if their content is not cached any more.

A run that the API server accepted but our models refuse becomes a problem of the run, never an exception.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from pydantic import ValidationError

from mintaka_controller.deployment_cache import invalid_fields
from mintaka_controller.ports import Missing, ObjectProblem, Unavailable
from mintaka_core.errors import InvalidResource
from mintaka_core.resources import FlowRun

if TYPE_CHECKING:
    from mintaka_controller.context import Context
    from mintaka_controller.ports import Name
    from mintaka_controller.run_cache import RunEntry
    from mintaka_core.resources import FlowDeployment


async def read_run(context: Context, key: Name, entry: RunEntry) -> tuple[FlowRun, ObjectProblem | None] | None:
    """A known run, and why it cannot be processed as it is (None: it can); None if it is gone. Raises InvalidResource, PortError."""
    raw = context.runs.raw(key)
    if raw is None:
        try:
            context.observe_run(await context.ports.resources.read_run(key))
        except Missing:
            context.runs.remove(key, entry.uid)
            return None
        raw = context.runs.raw(key)
        if raw is None:  # an older version than the known one: a replica of the API server lags
            message = f"FlowRun {'/'.join(key)} was read in an older version than the known one"
            raise Unavailable(message)
        entry = context.runs.get(key) or entry
    run, problem = parse_run(raw)
    return run, entry.problem or problem


async def read_deployment(context: Context, key: Name) -> tuple[FlowDeployment, ObjectProblem | None] | None:
    """A deployment, and why it cannot be run (None: it can); None if there is none. Raises PortError."""
    deployment = context.deployments.deployment(key)
    if deployment is None:
        known = context.deployments.get(key)
        try:
            context.observe_deployment(await context.ports.resources.read_deployment(key))
        except Missing:
            context.deployments.remove(key, known.uid if known else None)
            return None
        deployment = context.deployments.deployment(key)
    entry = context.deployments.get(key)
    if deployment is None or entry is None:  # an older version than the known one, or it was deleted meanwhile
        message = f"FlowDeployment {'/'.join(key)} was read in an older version than the known one"
        raise Unavailable(message)
    return deployment, entry.problem


def parse_run(raw: bytes) -> tuple[FlowRun, ObjectProblem | None]:
    """The run, without the invalid parts of its spec. Raises InvalidResource if even its metadata or status is not valid."""
    try:
        return FlowRun.model_validate_json(raw), None
    except ValidationError as error:
        problem = ObjectProblem("InvalidResource", f"not a valid FlowRun: {invalid_fields(error)}")
        invalid = {
            each["loc"][1]
            for each in error.errors(include_url=False, include_input=False)
            if each["loc"][:1] == ("spec",) and each["loc"][1:]
        }
    document = orjson.loads(raw)
    spec, status = document.get("spec"), document.get("status") or {}
    # Requests to cancel, suspend or rerun it still count.
    plain = {name: value for name, value in (spec or {}).items() if name not in invalid and not isinstance(value, dict | list)}
    try:
        return FlowRun.model_validate({"metadata": document["metadata"], "spec": plain, "status": status}), problem
    except ValidationError as error:
        name = f"{document['metadata'].get('namespace')}/{document['metadata'].get('name')}"
        message = f"FlowRun {name} cannot be read, a newer release may have written it: {invalid_fields(error)}"
        raise InvalidResource(message) from error
