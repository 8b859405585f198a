"""Writes warnings about flow runs as their events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import Text, bindparam, literal, select
from sqlalchemy.types import Uuid

from mintaka_history.json_text import encode_storable
from mintaka_history.queries.dialects import insert
from mintaka_history.tables import Big, events, flow_runs

if TYPE_CHECKING:
    from sqlalchemy import Connection

_COLUMNS = ("flow_run", "ns", "at", "id", "name", "resource", "payload")


def record_warning(connection: Connection, uid: str, identity: str, now: int, event: tuple[str, str, str]) -> None:
    """Record `event` (name, resource, message) of the flow run `uid`, unless one with the UUID `identity` is recorded already."""
    name, resource, message = event
    values = (
        bindparam(None, now, type_=Big),
        bindparam(None, identity, type_=Uuid(as_uuid=False)),
        *(literal(text, Text) for text in (name, resource, encode_storable({"type": "Warning", "message": message}))),
    )
    chosen = select(flow_runs.c.no, flow_runs.c.ns, *values).where(flow_runs.c.uid == uid)
    connection.execute(insert(connection, events).from_select(_COLUMNS, chosen).on_conflict_do_nothing())
