"""Queries for flow deployments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy import select

from mintaka_api.queries.deployment_history import last_runs
from mintaka_api.response_models import FlowDeploymentAnswer
from mintaka_history.enum_codes import NameKind
from mintaka_history.paging import Part
from mintaka_history.queries import pages
from mintaka_history.queries.dialects import contains_text
from mintaka_history.tables import flow_deployments
from mintaka_history.timestamps import from_microseconds, optional_datetime

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

    from mintaka_api.response_models import LastRunAnswer
    from mintaka_history.paging import Page
    from mintaka_history.queries.names import Names

_d = flow_deployments.c
ORDERS = {"name": (_d.name, _d.uid), "created": (_d.created, _d.uid)}
KEY_TYPES: dict[str, tuple[type, ...]] = {"name": (str, str), "created": (int, str)}
_SCHEDULE_MEMBERS = {
    "name": "name",
    "cron": "cron",
    "interval": "interval",
    "rrule": "rrule",
    "anchor": "anchor",
    "time_zone": "timeZone",
    "parameters": "parameters",
    "suspend": "suspend",
    "starting_deadline_seconds": "startingDeadlineSeconds",
    "catch_up": "catchUp",
    "catch_up_limit": "catchUpLimit",
}


@dataclass(frozen=True, slots=True)
class FlowDeploymentFilter:
    """Filters flow deployments; empty or None means any. `name` is a prefix; a deployment must have all `tags`."""

    namespaces: tuple[str, ...] = ()
    name: str | None = None
    tags: tuple[str, ...] = ()


def page(
    connection: Connection, names: Names, wanted: FlowDeploymentFilter, order: str, page: Page, fields: frozenset[str] | None = None
) -> Part[FlowDeploymentAnswer]:
    """A page of the flow deployments that are in the cluster; `fields` (None: all) are the members that the answer includes."""
    query = select(flow_deployments).where(_d.deleted.is_(None))
    choices = []
    if wanted.namespaces:
        ids = [names.known(connection, NameKind.NAMESPACE, namespace) for namespace in wanted.namespaces]
        choices.append(pages.Choice(_d.ns, tuple(number for number in ids if number is not None)))
        if not choices[0].values:
            return Part([], None)
    if wanted.name is not None:
        query = query.where(*pages.begins_with(_d.name, wanted.name))
    for tag in wanted.tags:
        query = query.where(contains_text(connection, _d.tags, msgspec.json.encode(tag).decode()))
    rows, ends = pages.fetch(connection, query, ORDERS[order], page, choices)
    words = names.values(connection, [row.ns for row in rows])
    runs = last_runs(connection, names, [(row.ns, row.name) for row in rows]) if fields is None or "last_runs" in fields else {}
    return pages.part(rows, ends, lambda row: _answer(row, words, runs.get((row.ns, row.name), [])))


def one(connection: Connection, names: Names, namespace: str, name: str) -> FlowDeploymentAnswer | None:
    """The flow deployment of this name, or the last one that had it."""
    number = names.known(connection, NameKind.NAMESPACE, namespace)
    if number is None:
        return None
    query = select(flow_deployments).where(_d.name == name, _d.ns == number)
    row = connection.execute(query.order_by(_d.deleted.is_(None).desc(), _d.created.desc(), _d.uid).limit(1)).first()
    if row is None:
        return None
    runs = last_runs(connection, names, [(number, name)])
    return _answer(row, {number: namespace}, runs.get((number, name), []))


def last_schema(connection: Connection, names: Names, namespace: str, name: str) -> Any:
    """The parameterSchema of the last deployment of this name, {} if it had none; None if there was no such deployment."""
    number = names.known(connection, NameKind.NAMESPACE, namespace)
    query = select(_d.spec).where(_d.name == name, _d.ns == number).order_by(_d.created.desc(), _d.uid).limit(1)
    spec = None if number is None else connection.scalar(query)
    return None if spec is None else msgspec.json.decode(spec).get("parameterSchema") or {}


def _answer(row: Row[Any], words: dict[int, str], runs: list[LastRunAnswer]) -> FlowDeploymentAnswer:
    spec: dict[str, Any] = msgspec.json.decode(row.spec)
    status: dict[str, Any] = msgspec.json.decode(row.status)
    entries = {schedule["name"]: schedule for schedule in status.get("schedules") or ()}
    ready = next((condition for condition in status.get("conditions") or () if condition["type"] == "Ready"), None)
    schedules = [
        {member: schedule.get(key) for member, key in _SCHEDULE_MEMBERS.items()}
        | {
            "last_time": entries.get(schedule["name"], {}).get("lastTime"),
            "next_time": entries.get(schedule["name"], {}).get("nextTime"),
            "next_times": entries.get(schedule["name"], {}).get("nextTimes") or [],
        }
        for schedule in spec.get("schedules") or ()
    ]
    return FlowDeploymentAnswer(
        uid=row.uid,
        namespace=words[row.ns],
        name=row.name,
        entrypoint=spec.get("entrypoint"),
        image=spec.get("image"),
        version=spec.get("version"),
        description=spec.get("description"),
        tags=list(spec.get("tags") or ()),
        parameters=spec.get("parameters") or {},
        parameter_schema=spec.get("parameterSchema"),
        result_storage=(spec.get("resultStorage") or {}).get("url"),
        suspend=bool(spec.get("suspend")),
        schedules=schedules,
        ready={"status": ready["status"], "reason": ready["reason"], "message": ready.get("message", "")} if ready else None,
        active_runs=status.get("activeRuns") or 0,
        last_schedule_time=status.get("lastScheduleTime"),
        next_schedule_time=status.get("nextScheduleTime"),
        generation=row.generation,
        created=from_microseconds(row.created),
        deleted=optional_datetime(row.deleted),
        revision=row.revision,
        last_runs=runs,
    )
