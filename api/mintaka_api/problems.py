"""Translates errors to RFC 9457 problem documents. Errors of a cluster are in `cluster_problems`; no other module translates."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from mintaka_core.errors import MintakaError
from mintaka_core.names import GROUP
from mintaka_core.wire_versions import WIRE_VERSION
from mintaka_history.database import DatabaseAway, DatabaseRefusal

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request

logger = logging.getLogger("mintaka.api")

MEDIA_TYPE = "application/problem+json"
TYPE_PREFIX = f"https://{GROUP}/problems/"
_RETRY_AFTER_SECONDS = "2"
_ERRORS_SHOWN = 20
#: Headers that a status requires; RFC 9110, sections 15.5.2 and 15.5.22, for 401 and 426.
_HEADERS = {
    401: {"WWW-Authenticate": "Bearer"},
    503: {"Retry-After": _RETRY_AFTER_SECONDS},
    426: {"Upgrade": f"mintaka/{WIRE_VERSION}", "Connection": "Upgrade"},
}

#: Every problem by the last part of its type: HTTP status and title.
PROBLEMS: dict[str, tuple[int, str]] = {
    "invalid-parameter": (400, "A query parameter is not valid"),
    "invalid-cursor": (400, "The cursor does not belong to this question"),
    "unauthenticated": (401, "Not authenticated"),
    "forbidden": (403, "Not allowed"),
    "not-found": (404, "Not found"),
    "method-not-allowed": (405, "Method not allowed"),
    "too-slow": (408, "The request did not arrive in time"),
    "already-exists": (409, "Already exists"),
    "already-ended": (409, "The flow run has already ended"),
    "not-paused": (409, "The flow run does not wait"),
    "conflict": (409, "The object changed meanwhile"),
    "invalid-resource": (409, "The object in the cluster is not valid"),
    "left-the-cluster": (409, "The flow run is no longer in the cluster"),
    "of-a-script": (409, "The flow run belongs to a script"),
    "called": (409, "The flow run was called by another one"),
    "stale-attempt": (409, "The attempt was replaced by a newer one"),
    "unknown-attempt": (409, "The flow run is not known to be in that attempt yet"),
    "too-large": (413, "Too large"),
    "unsupported-encoding": (415, "Content-Encoding is not supported"),
    "misdirected": (421, "The request is for another server"),
    "malformed": (422, "The document is malformed"),
    "invalid-document": (422, "A document is not valid"),
    "invalid-parameters": (422, "The parameters do not obey the flow deployment's schema"),
    "invalid-input": (422, "The input is not what the flow run waits for"),
    "refused-by-cluster": (422, "Kubernetes refused the object"),
    "unserved-version": (426, "The wire version is not served"),
    "overloaded": (503, "Too much is being processed"),
    "database-away": (503, "The database is away"),
    "validation-unavailable": (503, "JSON Schemas cannot be checked at the moment"),
    "cluster-away": (503, "Kubernetes is away"),
    "internal": (500, "Internal error"),
}


class Problem(MintakaError):
    """An error answer: a key of `PROBLEMS`, a sentence about this case, and members of its own."""

    def __init__(self, name: str, detail: str, **members: Any) -> None:
        """`members` are added to the document as they are."""
        super().__init__(detail)
        self.name = name
        self.detail = detail
        self.members = members

    def response(self) -> Response:
        """The problem as an HTTP response."""
        status, title = PROBLEMS[self.name]
        document = {"type": TYPE_PREFIX + self.name, "title": title, "status": status, "detail": self.detail, **self.members}
        headers = _HEADERS.get(status, {})
        return Response(msgspec.json.encode(document), status_code=status, headers=headers, media_type=MEDIA_TYPE)


def install(app: FastAPI) -> None:
    """Make `app` answer every error with a problem document."""
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(DatabaseAway, _database_away)
    app.add_exception_handler(DatabaseRefusal, _database_refusal)
    app.add_exception_handler(Exception, _internal)


async def _problem(_request: Request, problem: Exception) -> Response:
    if not isinstance(problem, Problem):
        raise problem
    return problem.response()


async def _invalid(_request: Request, invalid: Exception) -> Response:
    """Translate validation errors: 400 with the parameter's name for the query, 422 for everything else."""
    errors = invalid.errors() if isinstance(invalid, RequestValidationError) else []
    shown = [{"path": ".".join(str(part) for part in error["loc"][1:]), "message": error["msg"]} for error in errors[:_ERRORS_SHOWN]]
    in_query = any(error["loc"][0] == "query" for error in errors)
    detail = "; ".join(f"{error['path'] or 'the body'}: {error['message']}" for error in shown)
    unknown = [error["loc"][-1] for error in errors if error["type"] == "extra_forbidden"]
    if unknown and in_query:
        detail = f"unknown query parameter: {', '.join(map(str, unknown))}"
    return Problem("invalid-parameter" if in_query else "malformed", detail, errors=shown).response()


async def _http(_request: Request, error: Exception) -> Response:
    """Translate errors of the framework: unknown paths and methods."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    detail = str(error.detail) if isinstance(error, HTTPException) else ""
    names = {404: "not-found", 405: "method-not-allowed", 413: "too-large"}
    return Problem(names.get(status, "malformed"), detail).response()


async def _database_away(_request: Request, error: Exception) -> Response:
    logger.warning("%s", error)
    return Problem("database-away", "the database did not answer in time; nothing was written, try again").response()


async def _database_refusal(_request: Request, error: Exception) -> Response:
    logger.warning("%s", error)
    return Problem("malformed", "the database does not take one of these values").response()


async def _internal(_request: Request, _error: Exception) -> Response:
    return Problem("internal", "this is our mistake; the API's log has the details").response()
