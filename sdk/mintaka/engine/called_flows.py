"""The identity of a flow run that another one calls in its process.

Its id is computed from the id of the flow run that calls it, the flow, the arguments as history shows them, and how many calls like it
there were before. So a further attempt of the outermost flow run calls the same flow runs again, whatever the order of its calls.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Any
from uuid import uuid5

if TYPE_CHECKING:
    from uuid import UUID


class CallNumbers:
    """Counts the calls of flows within one flow run; equal calls share a count.

    A worker process counts by itself: `mark` ("": none) distinguishes its calls from those of other processes.
    """

    __slots__ = ("_counts", "_lock", "_mark")

    def __init__(self, mark: str = "") -> None:
        self._counts: Counter[UUID] = Counter()
        self._lock = threading.Lock()
        self._mark = mark

    def identify(self, called: CalledFlow) -> UUID:
        """The id of `called`, assigned once."""
        from msgspec import json  # noqa: PLC0415 - start-up time

        with self._lock:
            if called.given is None:
                arguments = json.encode(called.parameters, order="sorted").decode()
                first = uuid5(called.caller, f"{self._mark}{called.key} {arguments}")
                number = self._counts[first]
                self._counts[first] = number + 1
                called.given = uuid5(first, str(number)) if number else first
            return called.given


class CalledFlow:
    """What the record of a called flow run (`mintaka.engine.runs.Run`) does not contain.

    `caller` is the id of the flow run that called it, `nested` is true if that one was called too. `flow` is the flow's name, `key`
    identifies its function across processes. `parameters` are the arguments as JSON values, set before the id is first requested; {}
    if they were not valid.
    """

    __slots__ = ("_numbers", "caller", "counts", "flow", "given", "key", "nested", "parameters")

    def __init__(self, flow: str, key: str, caller: UUID, numbers: CallNumbers, *, nested: bool) -> None:
        self.flow = flow
        self.key = key
        self.caller = caller
        self.nested = nested
        self.parameters: dict[str, Any] = {}
        self._numbers = numbers
        #: Its id, once that has been computed.
        self.given: UUID | None = None
        #: Owned by the recorder: how many of its task runs are in which state.
        self.counts: Any = None

    @property
    def uid(self) -> UUID:
        """Its id."""
        return self._numbers.identify(self) if self.given is None else self.given

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (self.flow, self.key, self.caller, self.nested, self.parameters, self.uid)


def _restored(flow: str, key: str, caller: UUID, nested: bool, parameters: dict[str, Any], uid: UUID) -> CalledFlow:
    called = CalledFlow(flow, key, caller, CallNumbers(), nested=nested)
    called.parameters, called.given = parameters, uid
    return called
