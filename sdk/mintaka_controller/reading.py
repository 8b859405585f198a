"""Runs as models: what the API server admitted and our models refuse becomes a problem of the run, never an exception."""

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


async def read_run(context: Context, key: Name, entry: RunEntry) -> tuple[FlowRun, ObjectProblem | None] | None:
    """A known run, and why it cannot be processed as it is (None: it can); None if it is gone. Raises InvalidResource, PortError."""
    raw = context.runs.raw(key)
    if raw is None:
        try:
            context.runs.put(await context.ports.resources.read_run(key))
        except Missing:
            context.runs.remove(key, entry.uid)
            return None
        raw = context.runs.raw(key)
        if raw is None:  # an older version than the known one: a replica of the API server lags
            message = f"FlowRun {'/'.join(key)} was read in an older version than the known one"
            raise Unavailable(message)
    run, problem = parse_run(raw)
    return run, entry.problem or problem


def parse_run(raw: bytes) -> tuple[FlowRun, ObjectProblem | None]:
    """The run, without its spec if that is not valid. Raises InvalidResource if even its metadata or status is not."""
    try:
        return FlowRun.model_validate_json(raw), None
    except ValidationError as error:
        problem = ObjectProblem("InvalidResource", f"not a valid FlowRun: {invalid_fields(error)}")
    document = orjson.loads(raw)
    try:
        return FlowRun.model_validate({"metadata": document["metadata"], "spec": {}, "status": document.get("status") or {}}), problem
    except ValidationError as error:
        name = f"{document['metadata'].get('namespace')}/{document['metadata'].get('name')}"
        message = f"FlowRun {name} cannot be read, a newer release may have written it: {invalid_fields(error)}"
        raise InvalidResource(message) from error
