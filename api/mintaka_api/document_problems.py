"""Errors of the document store as problem documents. Separate from `problems`: an API in a cluster stores no documents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mintaka_api.problems import Problem
from mintaka_controller.ports import Conflict, Exists, Missing, PortError, Rejected, Unavailable
from mintaka_validation import InvalidDocument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

_NAMES: tuple[tuple[type[PortError], str], ...] = (
    (Missing, "not-found"),
    (Exists, "already-exists"),
    (Conflict, "conflict"),
    (Rejected, "malformed"),
    (Unavailable, "database-away"),
)


def install(app: FastAPI) -> None:
    """Make `app` answer errors of the document store with problem documents."""
    for kind in (*(kind for kind, _ in _NAMES), InvalidDocument):
        app.add_exception_handler(kind, _answer)


def problem_of(error: Exception) -> Problem | None:
    """An error of the document store as a Problem; None for another error."""
    if isinstance(error, InvalidDocument):
        return of_invalid_documents([(0, error)])
    return next((Problem(name, str(error)) for kind, name in _NAMES if isinstance(error, kind)), None)


def of_invalid_documents(refused: Sequence[tuple[int, InvalidDocument]]) -> Problem:
    """All errors in the documents of a request, each with the position of its document."""
    errors = [
        {
            "document": str(position),
            "kind": invalid.kind,
            "name": invalid.name,
            "path": error.path,
            "message": error.message,
            "reason": error.reason,
        }
        for position, invalid in refused
        for error in invalid.errors
    ]
    return Problem("invalid-document", "\n".join(str(invalid) for _, invalid in refused), errors=errors)


async def _answer(_request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    return problem.response()
