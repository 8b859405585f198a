"""`emit_event`: which events are stored, and which are refused."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from mintaka import flow
from mintaka.events import emit_event
from mintaka.testing import recorded

if TYPE_CHECKING:
    from uuid import UUID


def test_an_event_has_what_was_given() -> None:
    ids: list[UUID] = []

    @flow
    async def main() -> None:
        ids.append(
            emit_event("file.arrived", "s3://landing/orders.csv", {"rows": 12, "mean": float("nan"), "by": ValueError("x"), "é": "\0"})
        )
        await asyncio.sleep(0)

    with recorded() as history:
        asyncio.run(main())
    (event,) = history.events
    assert (event.id, event.name, event.resource) == (ids[0], "file.arrived", "s3://landing/orders.csv")
    assert event.payload.decode() == '{"rows":12,"mean":null,"by":"x","é":"\N{REPLACEMENT CHARACTER}"}'


REFUSED: dict[str, tuple[Any, Any, Any, str]] = {
    "no name": ("", "r", None, "the name of an event is a text of 1 to 200"),
    "a long name": ("x" * 201, "r", None, "the name of an event"),
    "no resource": ("e", "", None, "the resource of an event is a text of 1 to 500"),
    "a resource without an id": ("e", {"name": "r"}, None, "prefect.resource.id"),
    "a large payload": ("e", "r", "x" * 8191, "8192 bytes as JSON, not 8193"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_an_event_is_refused(case: str) -> None:
    event, resource, payload, message = REFUSED[case]
    with pytest.raises(ValueError, match=message):
        emit_event(event, resource, payload)


def test_outside_of_a_flow_run_a_warning_says_that_it_is_not_stored() -> None:
    with pytest.warns(UserWarning, match="event e is not stored"):
        emit_event("e", "r")
