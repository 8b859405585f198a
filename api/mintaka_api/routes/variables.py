"""Variables: named JSON values that the runs of a namespace share."""

from __future__ import annotations

import json
from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import Namespace, NoQuery, Text, VariableQuery
from mintaka_api.routes.responses import documented_responses, json_response, page_response
from mintaka_api.services import Here
from mintaka_core.names import checked_namespace
from mintaka_history.coordination_responses import VariableAnswer, VariablePage
from mintaka_history.queries import variables as queries
from mintaka_history.sharing import variables

router = APIRouter(prefix=PREFIX, tags=["variables"], dependencies=GUARDED)
VariableQuery.key_types = {"namespace": (str, str)}
_PATH = "/namespaces/{namespace}/variables/{name}"


class NewVariable(msgspec.Struct, forbid_unknown_fields=True):
    """A variable's value and tags; with `overwrite` false, an existing variable is not changed."""

    value: msgspec.Raw
    tags: list[str] = []
    overwrite: bool = False


@router.get("/variables", responses=documented_responses(VariablePage, "invalid-parameter"))
async def list_variables(query: Annotated[VariableQuery, Query()], here: Here) -> Response:
    """The variables of all namespaces, or of some, by namespace and name."""
    part = await here.database.read(queries.page, query.namespace, query.name or "", query.page())
    return page_response(part, query.question(), None)


@router.get(_PATH, responses=documented_responses(VariableAnswer, "invalid-parameter", "not-found"))
async def get_variable(namespace: Namespace, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """One variable."""
    return json_response(_require_found(await here.database.read(queries.one, namespace, name), namespace, name))


@router.put(
    _PATH,
    responses=documented_responses(VariableAnswer, "invalid-parameter", "already-exists", "too-large", "malformed"),
    openapi_extra=json_body(NewVariable),
)
async def put_variable(namespace: Namespace, name: Text, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Create or change a variable."""
    new = await read_document(request, NewVariable)
    try:
        checked_namespace(namespace)
        variables.checked_name(name)
        value, tags = variables.encoded_value(json.loads(bytes(new.value))), variables.encoded_tags(new.tags)
    except (ValueError, RecursionError) as error:  # invalid names and values, and numbers that Python cannot read: 4,301 digits
        raise Problem("malformed", str(error)) from error
    stored = await here.database.write(queries.put, namespace, name, value, tags, overwrite=new.overwrite)
    if stored is None:
        raise Problem("already-exists", f"variable {name!r} exists already in namespace {namespace}: send overwrite to change it")
    return json_response(stored)


@router.delete(_PATH, responses=documented_responses(VariableAnswer, "invalid-parameter", "not-found"))
async def delete_variable(namespace: Namespace, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Delete a variable; the answer is its last state."""
    return json_response(_require_found(await here.database.write(queries.remove, namespace, name), namespace, name))


def _require_found(found: VariableAnswer | None, namespace: str, name: str) -> VariableAnswer:
    if found is None:
        raise Problem("not-found", f"there is no variable {name!r} in namespace {namespace!r}")
    return found
