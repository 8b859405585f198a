"""Checks values against users' JSON Schemas without blocking the event loop, whatever the schema.

A check runs in a separate process that is killed when it takes too much CPU time or memory. Two lanes, each with one worker, keep
tenants apart:

- In the first, namespaces take turns and a check has 0.2 s of CPU time; an ordinary one takes less than a millisecond.
- A namespace whose check did not fit is served by the second lane for a minute, at a lower priority, with 2 s for a check. A
  namespace has one check at a time there; further ones are refused as unavailable, to be retried later.

A tenant's worst schema therefore costs the others 0.2 s a minute. A schema that does not fit into the second lane either counts as
invalid in its namespace for five minutes without another try.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self

from mintaka_controller.schema_lane import CheckUnavailable, Lane, Penalties
from mintaka_controller.schema_process import RequestTooCostly
from mintaka_controller.schema_protocol import encode, encode_request
from mintaka_core.json_schema import InvalidSchema, Violation
from mintaka_core.limits import DEPTH_LIMIT

if TYPE_CHECKING:
    from types import TracebackType

__all__ = ["CheckTooCostly", "CheckUnavailable", "InvalidSchema", "SchemaValidator", "Violation"]

_PENALTY_SECONDS: Final = 60.0
_REMEMBERED_SECONDS: Final = 300.0
_REMEMBERED: Final = 1000
_WAITING_IN_SECOND_LANE: Final = 8


class CheckTooCostly(InvalidSchema):
    """Checking against the schema takes more time or memory than any check gets."""


class SchemaValidator:
    """Checks values against JSON Schemas in its own processes; `close` it, or use it as an asynchronous context manager."""

    def __init__(self, *, quick_seconds: float = 0.2, deadline_seconds: float = 2.0, idle_seconds: float = 60.0) -> None:
        """Prepare; processes start with the first check and end after `idle_seconds` without one."""
        self._slow = Penalties(_PENALTY_SECONDS)
        self._quick = Lane(deadline_seconds=quick_seconds, idle_seconds=idle_seconds, penalties=self._slow)
        self._patient = Lane(deadline_seconds=deadline_seconds, idle_seconds=idle_seconds, niceness=10)
        self._in_second_lane: set[str] = set()
        self._too_costly: dict[tuple[str, bytes], tuple[float, str]] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """End the processes; checks in progress end with CheckUnavailable."""
        await asyncio.gather(self._quick.close(), self._patient.close())

    @property
    def process_ids(self) -> tuple[int, ...]:
        """The process ids of the running workers."""
        return tuple(pid for lane in (self._quick, self._patient) if (pid := lane.process_id) is not None)

    @property
    def restarts(self) -> int:
        """The number of workers started so far."""
        return self._quick.restarts + self._patient.restarts

    async def violations(self, schema: Any, value: Any, name: str, *, namespace: str) -> list[Violation]:
        """The first 20 places of `value`, called `name`, that are not valid for `schema`, in order. Both are JSON.

        `namespace` owns the schema: slow schemas only delay checks of the same namespace.

        Raises:
            InvalidSchema: the schema cannot be used; the message is the end of a sentence about it. CheckTooCostly: because of
                the time or memory that a check takes.
            CheckUnavailable: it could not be checked now; try again later.
        """
        fault = f"is nested more than {DEPTH_LIMIT} levels deep, or is not JSON"
        try:
            encoded = encode(schema)
        except ValueError as error:
            message = f"it {fault}"
            raise InvalidSchema(message) from error
        try:
            frame = encode_request(encoded, encode(value), name)
        except ValueError:
            return [Violation(path=name, message=f"{name} {fault}")]
        identity = (namespace, hashlib.sha256(encoded).digest())
        self._refuse_known(identity)
        if namespace not in self._slow:
            with suppress(RequestTooCostly):
                return _found(await self._quick.submit(namespace, frame))
        try:
            return _found(await self._in_turn(namespace, frame))
        except RequestTooCostly as error:
            message = f"checking {name} against it {error}: simplify it, above all references that double at every step"
            self._remember(identity, message)
            raise CheckTooCostly(message) from error

    async def _in_turn(self, namespace: str, frame: bytes) -> dict[str, Any]:
        """The answer of the second lane, in which a namespace has one check at a time."""
        if namespace in self._in_second_lane or len(self._in_second_lane) >= _WAITING_IN_SECOND_LANE:
            message = (
                f"another slow JSON Schema of namespace {namespace!r} is being checked"
                if namespace in self._in_second_lane
                else (f"slow JSON Schemas of {_WAITING_IN_SECOND_LANE} namespaces are being checked")
            )
            raise CheckUnavailable(message)
        self._in_second_lane.add(namespace)
        try:
            return await self._patient.submit(namespace, frame)
        finally:
            self._in_second_lane.discard(namespace)

    def _refuse_known(self, identity: tuple[str, bytes]) -> None:
        until, message = self._too_costly.get(identity, (0.0, ""))
        if time.monotonic() < until:
            raise CheckTooCostly(message)

    def _remember(self, identity: tuple[str, bytes], message: str) -> None:
        self._too_costly.pop(identity, None)
        self._too_costly[identity] = (time.monotonic() + _REMEMBERED_SECONDS, message)
        if len(self._too_costly) > _REMEMBERED:
            del self._too_costly[next(iter(self._too_costly))]


def _found(answer: dict[str, Any]) -> list[Violation]:
    """The violations of an answer, or its InvalidSchema."""
    if "invalid" in answer:
        raise InvalidSchema(answer["invalid"])
    violations: list[Violation] = answer["violations"]
    return violations
