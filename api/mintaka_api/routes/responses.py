"""Responses: msgspec encodes the documents; `documented_responses` describes them in the OpenAPI document."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.responses import Response

from mintaka_api.examples import EXAMPLES
from mintaka_api.paging import encode_cursor
from mintaka_api.problems import MEDIA_TYPE, PROBLEMS, Problem
from mintaka_history.queries import flow_runs

if TYPE_CHECKING:
    from mintaka_api.services import Services
    from mintaka_history.paging import Part
    from mintaka_history.queries.flow_runs import RunKey

_encode = msgspec.json.Encoder().encode
#: The problems of every route that reads a body.
_PROBLEMS_OF_BODIES = ("too-large", "too-slow", "unsupported-encoding", "overloaded")


def json_response(document: Any, status: int = 200) -> Response:
    """`document` as JSON."""
    return Response(_encode(document), status_code=status, media_type="application/json")


def page_response(part: Part[Any], question: Any, fields: frozenset[str] | None) -> Response:
    """A page as JSON, its items reduced to `fields` (None: all members)."""
    items: list[Any] = part.items
    if fields is not None:
        kept = sorted(fields)
        items = [{field: getattr(item, field) for field in kept} for item in items]
    previous = encode_cursor(question, part.first, backwards=True)
    partial = {"partial": True} if part.partial else {}
    return json_response({"items": items, "next": encode_cursor(question, part.last), "previous": previous, **partial})


def documented_responses(kind: type[msgspec.Struct] | None, *problems: str, status: int = 200) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that answers with `kind` (None: without a body), or with one of `problems` (keys of `PROBLEMS`)."""
    responses: dict[int | str, dict[str, Any]] = {status: {"description": "Done"}}
    if kind is not None:
        content = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}, "example": EXAMPLES[kind.__name__]}
        responses[status]["content"] = {"application/json": content}
    received = _PROBLEMS_OF_BODIES if "malformed" in problems else ()
    for name in dict.fromkeys((*problems, *received, "database-away")):
        code, title = PROBLEMS[name]
        example = EXAMPLES["ProblemAnswer"] | {"type": f"https://mintaka.dev/problems/{name}", "title": title, "status": code}
        problem = {"schema": {"$ref": "#/components/schemas/ProblemAnswer"}, "example": example}
        if code in responses:
            responses[code]["description"] += f"; {title}"
        else:
            responses[code] = {"description": title, "content": {MEDIA_TYPE: problem}}
    return responses


def canonical_uid(uid: str) -> str:
    """A uid in canonical spelling. Raises a Problem if it is not a uid, since then nothing can be found by it."""
    try:
        return str(uuid.UUID(uid))
    except ValueError as error:
        raise Problem("not-found", f"{uid[:100]!r} is not the uid of a flow run") from error


async def known_run(services: Services, uid: str) -> RunKey:
    """The key of the flow run with this uid. Raises a Problem if it is unknown."""
    run = await services.database.read(flow_runs.key, services.names, canonical_uid(uid))
    if run is None:
        raise Problem("not-found", f"there is no flow run with uid {uid}")
    return run


def current_attempt(run: RunKey, asked: int | None) -> int:
    """The requested attempt, by default the run's current one."""
    return asked if asked is not None else max(run.attempt, run.reported_attempt, 1)
