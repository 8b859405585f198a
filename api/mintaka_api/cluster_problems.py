"""Cluster errors as problem documents. Separate from `problems`, so that a server without a cluster starts faster."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from mintaka_api.problems import Problem
from mintaka_core.errors import InvalidResource
from mintaka_kubernetes import ClusterAway, ClusterRefusal, NoCluster

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

logger = logging.getLogger("mintaka.api")


def install(app: FastAPI) -> None:
    """Make `app` answer cluster errors with problem documents."""
    app.add_exception_handler(ClusterAway, _cluster_away)
    app.add_exception_handler(NoCluster, _cluster_away)
    app.add_exception_handler(ClusterRefusal, _cluster_refusal)
    app.add_exception_handler(InvalidResource, _invalid_resource)


def of_refusal(refusal: ClusterRefusal) -> Problem:
    """Translate a refusal by the kube-apiserver; its message is passed on, since CEL messages are written for people."""
    members: dict[str, Any] = {"reason": refusal.reason}
    if refusal.causes:
        members["errors"] = [{"path": cause.get("field", ""), "message": cause.get("message", "")} for cause in refusal.causes]
    match refusal.code:
        case 403:
            name = "forbidden"
        case 404:
            name = "not-found"
        case 409:
            name = "already-exists" if refusal.reason == "AlreadyExists" else "conflict"
        case 413:
            name = "too-large"
        case 400 | 422:
            name = "refused-by-cluster"
        case _:
            name = "cluster-away"
    return Problem(name, refusal.message, **members)


async def _cluster_away(_request: Request, error: Exception) -> Response:
    logger.warning("%s", error)
    return Problem("cluster-away", "the kube-apiserver did not answer; try again").response()


async def _invalid_resource(_request: Request, error: Exception) -> Response:
    """Translate an object that the CRD's schema accepts but that is not valid."""
    return Problem("invalid-resource", f"{error}; correct it, or create another").response()


async def _cluster_refusal(_request: Request, error: Exception) -> Response:
    if not isinstance(error, ClusterRefusal):
        raise error
    return of_refusal(error).response()
