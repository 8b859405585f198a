"""Pauses of flow runs: announced by the run's process, answered by anyone who may resume the run."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.json_schema_checks import check_input
from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.response_models import PausePage
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import NoQuery, Text
from mintaka_api.routes.responses import canonical_uid, documented_responses, json_response, known_run
from mintaka_api.services import Here, Services
from mintaka_core import json_schema
from mintaka_core.errors import InvalidNameError
from mintaka_core.names import checked_namespace
from mintaka_history.queries import flow_runs, pauses
from mintaka_history.run_responses import PauseAnswer
from mintaka_history.timestamps import LATEST_MICROSECONDS
from mintaka_history.writing.pauses import KEY_LIMIT, TEXT_LIMIT

if TYPE_CHECKING:
    from mintaka_history.queries.flow_runs import RunKey

router = APIRouter(prefix=PREFIX, tags=["pauses"], dependencies=GUARDED)


class NewPause(msgspec.Struct, forbid_unknown_fields=True):
    """An announcement by a run's process about one of its pauses; `deadline` in microseconds since the epoch, null for none.

    `namespace` is that of the run, required until history knows the run.
    `over` true: it no longer waits; with `answered`, because it was given `answer` locally. `refusal`: why the last answer
    was refused.
    """

    attempt: Annotated[int, msgspec.Meta(ge=1, le=2**15 - 1)]
    namespace: str | None = None
    suspended: bool = False
    deadline: Annotated[int, msgspec.Meta(ge=0, le=LATEST_MICROSECONDS)] | None = None
    schema: dict[str, Any] | None = None
    refusal: Annotated[str, msgspec.Meta(max_length=TEXT_LIMIT)] | None = None
    over: bool = False
    answered: bool = False
    answer: Any = None


class NewAnswer(msgspec.Struct, forbid_unknown_fields=True):
    """The answer to a flow run that waits; omitted if it waits for no input."""

    input: Any = None


@router.get("/flow-runs/{uid}/pauses", responses=documented_responses(PausePage, "invalid-parameter", "not-found"))
async def list_pauses(uid: str, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """The pauses in which a flow run waits, oldest first, with the JSON Schema of the input."""
    run = await known_run(here, uid)
    return json_response(PausePage(await here.database.read(pauses.open_of_run, run.uid), None))


@router.get("/flow-runs/{uid}/pauses/{key}", responses=documented_responses(PauseAnswer, "invalid-parameter", "not-found"))
async def get_pause(uid: str, key: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """One pause, open or not; the run's process polls this for the answer."""
    found = await here.database.read(pauses.one, canonical_uid(uid), key)
    if found is None:
        raise _unknown(uid, key)
    return json_response(found)


@router.put(
    "/flow-runs/{uid}/pauses/{key}",
    responses=documented_responses(PauseAnswer, "invalid-parameter", "not-found", "too-large", "malformed"),
    openapi_extra=json_body(NewPause),
)
async def put_pause(uid: str, key: Text, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Announce a pause or update its state; called by the SDK. Safe to repeat."""
    if not key or len(key) > KEY_LIMIT:
        raise Problem("malformed", f"a key has 1 to {KEY_LIMIT} characters", errors=[{"path": "key", "message": "too long"}])
    new = await read_document(request, NewPause)
    number = canonical_uid(uid)
    said = pauses.Announcement(
        *(
            await _namespace_of(here, number, new.namespace),
            new.attempt,
            new.suspended,
            new.deadline,
            None if new.schema is None else _text(new.schema),
        ),
        *(
            None if new.refusal is None else new.refusal.replace("\0", ""),
            new.over,
            new.answered,
            None if new.answer is None else _text(new.answer),
        ),
    )
    found = await here.database.write(pauses.store_announcement, number, key, said)
    if found is None:
        raise _unknown(uid, key)
    return json_response(found)


@router.post(
    "/flow-runs/{uid}/pauses/{key}/answer",
    responses=documented_responses(
        PauseAnswer,
        "invalid-parameter",
        "not-found",
        "not-paused",
        "conflict",
        "too-large",
        "malformed",
        "invalid-input",
        "validation-unavailable",
        "cluster-away",
    ),
    openapi_extra=json_body(NewAnswer, required=False),
)
async def answer_pause(uid: str, key: Text, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """End a pause with input that is valid for its schema. A suspended run starts again."""
    run = await known_run(here, uid)
    given = await read_document(request, NewAnswer)
    found = await here.database.read(pauses.one, run.uid, key)
    if found is None:
        raise _unknown(uid, key)
    await settle(here, run, found, given.input)
    return json_response(await here.database.read(pauses.one, run.uid, key))


async def settle(here: Services, run: RunKey, pause: PauseAnswer, value: Any) -> None:
    """Store a valid answer and have the cluster start a suspended run again: both, or neither.

    If this process dies between the two, sending the same answer again completes the rest.
    """
    if pause.schema is not None:
        value = json_schema.with_default(pause.schema, value)
    text = None if value is None else _text(value)
    if pause.schema is not None:
        await check_input(here.validator, pause.schema, value, run.namespace)
    cluster = here.runs if pause.suspended and not run.deleted else None
    called = f"pause {pause.key!r} of flow run {run.namespace}/{run.name}"
    if not pause.open:
        same = pause.answered is not None and pause.answer == value
        if same and cluster is not None and not run.terminal and await cluster.resume(run, suspended_in=pause.attempt):
            return
        raise Problem("not-paused", f"{called} {'has been answered' if pause.answered else 'is over'} already")
    answered = await here.database.write(pauses.answer, run.uid, pause.key, text)
    if answered is None:
        raise Problem("not-paused", f"{called} has been answered already")
    if cluster is not None:
        async with AsyncExitStack() as undo:
            undo.push_async_callback(here.database.write, pauses.revert_answer, run.uid, pause.key, answered)
            await cluster.resume(run, suspended_in=pause.attempt)
            undo.pop_all()


async def _namespace_of(here: Services, uid: str, stated: str | None) -> str:
    """The namespace of a run, as history knows it or else as its process states it."""
    run = await here.database.read(flow_runs.key, here.names, uid)
    if run is not None and stated not in (None, run.namespace):
        raise Problem("malformed", f"flow run {uid} belongs to another namespace than {stated!r:.100}")
    if run is not None:
        return run.namespace
    if stated is None:
        raise Problem("malformed", f"flow run {uid} is not known yet: state its namespace")
    try:
        return checked_namespace(stated)
    except InvalidNameError as error:
        raise Problem("malformed", str(error)) from error


def _text(value: Any) -> str:
    """Encode as JSON, which escapes NUL: PostgreSQL cannot store it."""
    text = msgspec.json.encode(value).decode()
    if len(text) > TEXT_LIMIT:
        raise Problem("too-large", f"a schema or an input has at most {TEXT_LIMIT} characters of JSON")
    return text


def _unknown(uid: str, key: str) -> Problem:
    return Problem("not-found", f"flow run {uid} has no pause {key[:KEY_LIMIT]!r}")
