"""The documents about variables, limits and their leases that queries return, ready to be encoded as JSON."""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations

import msgspec


class VariableAnswer(msgspec.Struct):
    """A variable of a namespace: a name and any JSON value."""

    namespace: str
    name: str
    value: msgspec.Raw
    tags: list[str]
    created: datetime
    updated: datetime


class VariablePage(msgspec.Struct):
    """A page of variables, by namespace and name."""

    items: list[VariableAnswer]
    next: str | None


class HoldingAnswer(msgspec.Struct):
    """A holder of `slots` of a limit, or a waiting request (`granted` null), until `expires` unless it is renewed."""

    id: str
    slots: int
    who: str
    asked: datetime
    granted: datetime | None
    expires: datetime


class LeasePage(msgspec.Struct):
    """A page of the holders and waiting requests of a limit, in the order in which they arrived."""

    items: list[HoldingAnswer]
    next: str | None
    previous: str | None = None


class LimitAnswer(msgspec.Struct):
    """A concurrency limit of a namespace. With `decay_per_second` it is a rate: this many slots are freed each second.

    `held` is the number of slots held now (of a rate: taken and not freed yet), `waiting` the number of waiting runs, counted up to 200.
    `leases` are the holders and waiting requests in the order in which they arrived, at most 100.
    """

    namespace: str
    name: str
    slots: int
    decay_per_second: float
    held: float
    waiting: int
    leases: list[HoldingAnswer]
    created: datetime
    updated: datetime


class LimitPage(msgspec.Struct):
    """A page of concurrency limits, by namespace and name."""

    items: list[LimitAnswer]
    next: str | None


class SlotDecisionAnswer(msgspec.Struct):
    """The result of a request for slots: `granted`, or waiting while earlier requests use all slots for this many `turns`.

    `missing` are names without a limit, `rates` those whose slots are to be reserved instead; neither blocks the request.
    `small` are limits that never have so many slots, `blocked` those it waits for, with the number of their held slots.
    """

    id: str
    granted: bool
    turns: int
    missing: list[str]
    rates: list[str]
    small: list[str]
    blocked: dict[str, int]


class LeasesAnswer(msgspec.Struct):
    """The ids of leases."""

    leases: list[str]


class ReservationAnswer(msgspec.Struct):
    """Slots of rates: `granted`, for use `seconds` from now, or not reserved because that is too long."""

    granted: bool
    seconds: float
