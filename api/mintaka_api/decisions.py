"""The decisions and attempts in a flow run's status, decoded from its JSON several times faster than by the models. Pure.

A status has up to 32 transitions, and all of them arrive with every change of the run. What these types do not accept, the models may
(times beyond the calendar, for instance): then their result is decoded.
"""

from __future__ import annotations

from datetime import datetime  # noqa: TC003 - msgspec reads the annotations
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Raw, Struct

from mintaka_history.enum_codes import StateWord  # noqa: TC001 - msgspec reads the annotations

if TYPE_CHECKING:
    from mintaka_core.resources import FlowRun

_NO_FACTS = frozenset({b"", b"null", b"{}"})


class Opinion(Struct, frozen=True):
    """`mintaka_core.resources.runs.OpinionStatus`."""

    rule: str
    verdict: str
    reason: str = ""


class Decision(Struct, frozen=True, rename={"from_type": "from"}):
    """`mintaka_core.resources.runs.TransitionStatus`; `facts` are the JSON as it is."""

    sequence: Annotated[int, Meta(ge=1)]
    to: StateWord
    name: str
    proposed: StateWord
    verdict: str
    attempt: Annotated[int, Meta(ge=0)]
    time: datetime
    from_type: StateWord | None = None
    rule: str = ""
    trail: tuple[Opinion, ...] = ()
    facts: Raw = Raw()
    until: datetime | None = None
    reason: str = ""
    message: str = ""

    @property
    def facts_json(self) -> bytes | None:
        """The facts as JSON; None without any."""
        text = bytes(self.facts)
        return None if text in _NO_FACTS else text


class Attempt(Struct, frozen=True, rename="camel"):
    """`mintaka_core.resources.runs.AttemptStatus`."""

    number: Annotated[int, Meta(ge=1)]
    pod_name: str = ""
    pod_uid: str = ""
    node: str = ""
    created: datetime | None = None
    started: datetime | None = None
    ended: datetime | None = None
    exit_code: int | None = None
    state: StateWord | None = None
    reason: str = ""
    diagnosis: str = ""
    log_tail: str = ""
    revision: str = ""


class Decisions(Struct, frozen=True):
    """The parts of a status that are lists of decisions."""

    transitions: tuple[Decision, ...] = ()
    attempts: tuple[Attempt, ...] = ()


_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode = msgspec.json.Decoder(Decisions).decode
_encode = msgspec.json.Encoder().encode


def divide(raw: bytes) -> tuple[Decisions, bytes]:
    """The decisions in the JSON of a flow run, and the JSON without them, which the models read in a third of the time.

    Raises msgspec.DecodeError: the models must read all of it.
    """
    document = _members(raw)
    if "status" not in document:
        return Decisions(), raw
    decisions, status = _decode(document["status"]), _members(document["status"])
    for name in Decisions.__struct_fields__:
        status.pop(name, None)
    document["status"] = Raw(_encode(status))
    return decisions, _encode(document)


def decisions_of(run: FlowRun) -> Decisions:
    """The decisions in the status of a flow run that the models have read."""
    return _decode(run.status.model_dump_json(by_alias=True, include=set(Decisions.__struct_fields__)))
