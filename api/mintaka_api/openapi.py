"""The OpenAPI document: FastAPI's, with the schemas of the answers that msgspec encodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.openapi.utils import get_openapi

from mintaka_api import response_models
from mintaka_api.examples import EXAMPLES
from mintaka_history import coordination_responses, history_responses, run_responses
from mintaka_history.batches import HistoryBatch

if TYPE_CHECKING:
    from fastapi import FastAPI

#: The modules whose structures are the schemas of answers.
_ANSWERS = (run_responses, coordination_responses, history_responses, response_models)
_DESCRIPTION = """Flow runs, task runs and logs for querying, and intents passed on to Kubernetes.

Lists are pages by keyset: pass `next` back as `cursor`. Errors are RFC 9457 problem documents. Instants are RFC 3339 in UTC."""


def document(app: FastAPI) -> dict[str, Any]:
    """The document of `app`, generated once."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, description=_DESCRIPTION, routes=app.routes, tags=app.openapi_tags)
        _, schemas = msgspec.json.schema_components(_kinds(), ref_template="#/components/schemas/{name}")
        made.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
        for operations in made["paths"].values():
            for operation in operations.values():
                _restore_examples(operation)
        app.openapi_schema = made
    return app.openapi_schema


def _restore_examples(operation: dict[str, Any]) -> None:
    """Restore the examples: FastAPI drops every null in them."""
    for part in (operation.get("requestBody", {}), *operation["responses"].values()):
        content = part.get("content", {}).get("application/json", {})
        name = content.get("schema", {}).get("$ref", "").rsplit("/", 1)[-1]
        if name in EXAMPLES:
            content["example"] = EXAMPLES[name]


def _kinds() -> list[type[msgspec.Struct]]:
    from mintaka_api.routes.attempts import NewAttempt  # noqa: PLC0415 - the routes import this module
    from mintaka_api.routes.concurrency import NewLease, NewLimit, NewReservation, Renewal  # noqa: PLC0415 - likewise
    from mintaka_api.routes.container_logs import ContainerLog  # noqa: PLC0415 - likewise
    from mintaka_api.routes.new_runs import AwaitedRuns, NewFlowRun  # noqa: PLC0415 - likewise
    from mintaka_api.routes.pauses import NewAnswer, NewPause  # noqa: PLC0415 - likewise
    from mintaka_api.routes.resources import NewDocument, NewDocuments  # noqa: PLC0415 - likewise
    from mintaka_api.routes.rules import RuleDryRun  # noqa: PLC0415 - likewise
    from mintaka_api.routes.variables import NewVariable  # noqa: PLC0415 - likewise

    structs = (
        kind
        for kind in {id(kind): kind for module in _ANSWERS for kind in vars(module).values()}.values()
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind is not msgspec.Struct
    )
    bodies = (
        NewFlowRun,
        AwaitedRuns,
        NewVariable,
        NewLimit,
        NewLease,
        Renewal,
        NewReservation,
        NewPause,
        NewAnswer,
        NewAttempt,
        ContainerLog,
        NewDocument,
        NewDocuments,
        RuleDryRun,
    )
    return [*structs, HistoryBatch, *bodies]
