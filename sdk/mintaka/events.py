r"""Events: that something happened to a resource of any kind, stored with the history of the run that reports it.

    from mintaka.events import emit_event

    emit_event("file.arrived", "s3://landing/orders.csv", {"rows": 1200})

Each belongs to the flow run that emits it; the API lists them (`GET /api/v1/events`).
"""

from __future__ import annotations

import json
import uuid
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from mintaka.context import CURRENT
from mintaka.engine.entries import now_micros
from mintaka_core.reports import storable
from mintaka_history.json_numbers import storable_integer

if TYPE_CHECKING:
    from uuid import UUID

    from mintaka.engine.runs import Run

_NAME_LIMIT, _RESOURCE_LIMIT = 200, 500
#: The limit of a report (`mintaka_history.batch_checks`).
_PAYLOAD_LIMIT_BYTES = 8192
#: The key of the id in Prefect's resources.
_RESOURCE_ID = "prefect.resource.id"
#: A warning points to the user's line that called this module.
_HERE = str(Path(__file__).parent)


class EmittedEvent(NamedTuple):
    """An event; `time` in µs since the epoch, `payload` is JSON, `called` the flow run that emitted it (None: the outermost one)."""

    id: UUID
    name: str
    resource: str
    time: int
    payload: bytes
    called: Run | None = None

    def adopted(self, runs: Mapping[int, Run], task_run: Run) -> EmittedEvent:
        """The same event in the main process: a worker that ran `task_run` emitted it; `runs` are the runs of that worker by its own numbers."""
        return self._replace(called=task_run.owner if self.called is None else runs.get(self.called.n, task_run.owner))


def emit_event(event: str, resource: str | Mapping[str, str], payload: Any = None) -> UUID:
    """Record that `event` happened to `resource`; returns the id of the event. It is written with the rest of the history.

    Outside of a flow run it is not stored, and a warning is issued. Safe to call in async code, because it does not block.

    Args:
        event: what happened, such as "file.arrived"; 1 to 200 characters.
        resource: what it happened to, 1 to 500 characters; or a mapping with that as `prefect.resource.id`.
        payload: anything more, as JSON of at most 8 KiB; values that JSON cannot express are stored as text, NaN as null.

    Raises:
        ValueError: one of them is empty, or too long.
    """
    if isinstance(resource, Mapping):
        if _RESOURCE_ID not in resource:
            message = f"a resource is a text, or a mapping with {_RESOURCE_ID!r}, not {dict(resource)!r}"
            raise ValueError(message)
        resource = resource[_RESOURCE_ID]
    for what, text, limit in (("the name of an event", event, _NAME_LIMIT), ("the resource of an event", resource, _RESOURCE_LIMIT)):
        if not isinstance(text, str) or not 1 <= len(text) <= limit:
            message = f"{what} is a text of 1 to {limit} characters, not {text!r:.100}"
            raise ValueError(message)
    data = json.dumps(_plain(payload), default=lambda other: storable(str(other)), separators=(",", ":"), ensure_ascii=False).encode()
    if len(data) > _PAYLOAD_LIMIT_BYTES:
        message = f"the payload of an event may have {_PAYLOAD_LIMIT_BYTES} bytes as JSON, not {len(data)}: store it elsewhere and pass its location"
        raise ValueError(message)
    context = CURRENT.get()
    called = None if context is None else context.place[1]
    emitted = EmittedEvent(uuid.uuid4(), storable(event), storable(resource), now_micros(), data, called)
    if context is not None and context.flow is not None:
        context.ledger.recorder.emit(emitted)
    else:
        message = f"event {event} is not stored, because it was emitted outside of a flow run: emit it in a function under @flow, or in a task that a flow calls"
        warnings.warn(message, skip_file_prefixes=(_HERE,))
    return emitted.id


def _plain(value: Any) -> Any:
    """`value` in a form that databases accept."""
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, float):
        return value if value - value == 0 else None  # neither NaN nor infinite
    if isinstance(value, Mapping):
        return {storable(str(key)): _plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return storable_integer(value) if isinstance(value, int) else value


__all__ = ["EmittedEvent", "emit_event"]
