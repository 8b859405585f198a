"""Concurrency limits of a namespace, and the leases of their slots that its runs hold."""

from __future__ import annotations

from typing import Annotated

import msgspec
from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from mintaka_api.permissions import GUARDED, PREFIX
from mintaka_api.problems import Problem
from mintaka_api.routes.documents import json_body, read_document
from mintaka_api.routes.query_parameters import LeaseQuery, LimitQuery, Namespace, NoQuery, Text
from mintaka_api.routes.responses import canonical_uid, documented_responses, json_response, page_response
from mintaka_api.services import Here
from mintaka_core.errors import InvalidNameError
from mintaka_core.names import checked_namespace
from mintaka_history.coordination_responses import LeasePage, LeasesAnswer, LimitAnswer, LimitPage, ReservationAnswer, SlotDecisionAnswer
from mintaka_history.queries import limits as queries
from mintaka_history.sharing import limits
from mintaka_history.sharing.leases import SlotRequest

router = APIRouter(prefix=PREFIX, tags=["concurrency limits"], dependencies=GUARDED)
LimitQuery.key_types = {"namespace": (str, str)}
LeaseQuery.key_types = {"": queries.LEASE_KEY_TYPES}
_LIMITS, _LEASES = "/namespaces/{namespace}/concurrency-limits", "/namespaces/{namespace}/concurrency-leases"

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Names = Annotated[list[Name], msgspec.Meta(min_length=1, max_length=100)]
Slots = Annotated[int, msgspec.Meta(ge=1, le=limits.SLOTS_LIMIT)]
Seconds = Annotated[float, msgspec.Meta(ge=1, le=86400)]
LeaseId = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{32}$")]


class NewLimit(msgspec.Struct, forbid_unknown_fields=True):
    """A limit's slots; with `decay_per_second` it is a rate. With `overwrite` false, an existing limit is not changed."""

    slots: Annotated[int, msgspec.Meta(ge=0, le=limits.SLOTS_LIMIT)]
    decay_per_second: Annotated[float, msgspec.Meta(ge=0, le=limits.SLOTS_LIMIT)] = 0.0
    overwrite: bool = False


class NewLease(msgspec.Struct, forbid_unknown_fields=True):
    """A request for `slots` of each of `names`, for `seconds` at a time; the client chooses `id` and repeats the request with it.

    `flow_run` and `attempt` identify the run: when it is over, its slots are freed. `who` is for people to read.
    """

    id: LeaseId
    names: Names
    slots: Slots = 1
    seconds: Seconds = 60.0
    flow_run: str | None = None
    attempt: Annotated[int, msgspec.Meta(ge=1, le=32767)] = 1
    who: Annotated[str, msgspec.Meta(max_length=500)] = ""


class Renewal(msgspec.Struct, forbid_unknown_fields=True):
    """Leases to extend to `seconds` from now."""

    leases: Annotated[list[LeaseId], msgspec.Meta(max_length=1000)]
    seconds: Seconds = 60.0


class NewReservation(msgspec.Struct, forbid_unknown_fields=True):
    """A request for `slots` of each of the rates `names`, waiting at most `longest_seconds` (null: without limit)."""

    names: Names
    slots: Slots = 1
    longest_seconds: Annotated[float, msgspec.Meta(ge=0)] | None = None


@router.get("/concurrency-limits", responses=documented_responses(LimitPage, "invalid-parameter"))
async def list_limits(query: Annotated[LimitQuery, Query()], here: Here) -> Response:
    """The concurrency limits of all namespaces, or of some, by namespace and name."""
    part = await here.database.read(queries.page, query.namespace, query.name or "", query.page())
    return page_response(part, query.question(), None)


@router.get(_LIMITS + "/{name}", responses=documented_responses(LimitAnswer, "invalid-parameter", "not-found"))
async def get_limit(namespace: Namespace, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """One concurrency limit, with its holders and waiting requests."""
    return json_response(_require_found(await here.database.read(queries.one, namespace, name), namespace, name))


@router.get(_LIMITS + "/{name}/leases", responses=documented_responses(LeasePage, "invalid-parameter", "invalid-cursor"))
async def list_leases(namespace: Namespace, name: Text, query: Annotated[LeaseQuery, Query()], here: Here) -> Response:
    """The holders of a limit's slots and the requests that wait for them, in the order in which they arrived."""
    part = await here.database.page(queries.leases_page, namespace, name, query.page(namespace, name))
    return page_response(part, query.question(namespace, name), None)


@router.put(
    _LIMITS + "/{name}",
    responses=documented_responses(LimitAnswer, "invalid-parameter", "already-exists", "too-large", "malformed"),
    openapi_extra=json_body(NewLimit),
)
async def put_limit(namespace: Namespace, name: Text, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Create or change a concurrency limit; holders retain their slots."""
    new = await read_document(request, NewLimit)
    try:
        checked_namespace(namespace)
        limits.checked_name(name)
    except InvalidNameError as error:
        raise Problem("malformed", str(error)) from error
    stored = await here.database.write(queries.put, namespace, name, new.slots, new.decay_per_second, overwrite=new.overwrite)
    if stored is None:
        raise Problem("already-exists", f"limit {name!r} exists already in namespace {namespace}: send overwrite to change it")
    return json_response(stored)


@router.delete(_LIMITS + "/{name}", responses=documented_responses(LimitAnswer, "invalid-parameter", "not-found"))
async def delete_limit(namespace: Namespace, name: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Delete a concurrency limit: no request waits for it any more. The answer is its last state."""
    return json_response(_require_found(await here.database.write(queries.remove, namespace, name), namespace, name))


@router.post(
    _LIMITS + "/reservations",
    responses=documented_responses(ReservationAnswer, "invalid-parameter", "too-large", "malformed"),
    openapi_extra=json_body(NewReservation),
)
async def reserve_slots(namespace: Namespace, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Reserve slots of rates for use after the delay in the answer; they are freed automatically."""
    new = await read_document(request, NewReservation)
    return json_response(await here.database.write(queries.reserve, namespace, _unique(new.names), new.slots, new.longest_seconds))


@router.post(
    _LEASES,
    responses=documented_responses(SlotDecisionAnswer, "invalid-parameter", "too-large", "malformed"),
    openapi_extra=json_body(NewLease),
)
async def ask_for_slots(namespace: Namespace, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Request slots, or check whether they are free now; requests are served in order of arrival. Safe to repeat."""
    new = await read_document(request, NewLease)
    flow_run = None if new.flow_run is None else canonical_uid(new.flow_run)
    names, who = tuple(_unique(new.names)), new.who.replace("\0", "")
    wanted = SlotRequest(new.id, namespace, names, new.slots, new.seconds, flow_run, new.attempt, None, who)
    decision = await here.database.read(queries.peek, wanted) or await here.database.write(queries.request, here.names, wanted)
    if decision is None:
        raise Problem("malformed", f"flow run {flow_run} does not belong to namespace {namespace}: request slots in its own")
    return json_response(decision)


@router.post(
    _LEASES + "/renewals",
    responses=documented_responses(LeasesAnswer, "invalid-parameter", "too-large", "malformed"),
    openapi_extra=json_body(Renewal),
)
async def renew_leases(namespace: Namespace, request: Request, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Renew leases; the answer names those that still exist."""
    new = await read_document(request, Renewal)
    return json_response(await here.database.write(queries.renew, namespace, _unique(new.leases), new.seconds))


@router.delete(_LEASES + "/{lease}", responses=documented_responses(LeasesAnswer, "invalid-parameter"))
async def release_lease(namespace: Namespace, lease: Text, _query: Annotated[NoQuery, Query()], here: Here) -> Response:
    """Release slots, or leave the queue for them. Safe to repeat."""
    return json_response(await here.database.write(queries.release, namespace, lease))


def _require_found(found: LimitAnswer | None, namespace: str, name: str) -> LimitAnswer:
    if found is None:
        raise Problem("not-found", f"there is no limit {name!r} in namespace {namespace!r}")
    return found


def _unique(names: list[str]) -> list[str]:
    """Each name once. Raises a Problem if the database could not store one."""
    if any("\0" in name for name in names):
        raise Problem("malformed", "a name has the character NUL in it")
    return list(dict.fromkeys(names))
