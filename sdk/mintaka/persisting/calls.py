"""Which call of an earlier attempt is which call of this one.

A call is known by its task or subflow, the fingerprint of its inputs, and how many calls there were before it with the same
task and inputs in the same flow or subflow run. Its place among other calls does not matter, so a flow that is resumed may
submit its tasks in another order, or call one more in between, and still finds what was finished.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING

from mintaka.calling.task_identity import lasting_key
from mintaka.persisting.fingerprints import fingerprint

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mintaka.context import FlowContext


class CallIndex:
    """The calls of one try of one flow or subflow run."""

    __slots__ = ("_counts", "_lock", "path")

    def __init__(self, path: str) -> None:
        self.path = path
        self._counts: Counter[tuple[str, str]] = Counter()
        self._lock = threading.Lock()

    def of_next_try(self) -> CallIndex:
        """An index for another try of the same run: its calls are counted from the beginning."""
        return CallIndex(self.path)

    def identify(self, task: str, inputs: Mapping[str, object]) -> str:
        """The identity of the next call of `task` with `inputs`, fit for a path.

        Raises:
            NoFingerprint: the inputs have none.
        """
        inside = fingerprint(dict(inputs))
        with self._lock:
            count = self._counts[task, inside]
            self._counts[task, inside] += 1
        return f"{task.rpartition('.')[2]}-{fingerprint(self.path, task, inside, count)[:32]}"


def _inputs(flow: FlowContext) -> dict[str, object]:
    """The parameters of a subflow, with the instance if it is a method: calls of two instances are different calls."""
    instance = getattr(flow.flow.fn, "__self__", None)
    return dict(flow.parameters) if instance is None else {"self": instance, **flow.parameters}


def calls_of(flow: FlowContext) -> CallIndex:
    """The index of the flow run that `flow` is in this try of it.

    Raises:
        NoFingerprint: it is a subflow, and its parameters have none.
    """
    if flow.calls is None:
        path = "" if flow.outer is None else calls_of(flow.outer).identify(lasting_key(flow.flow.key), _inputs(flow))
        with flow.lock:
            if flow.calls is None:
                flow.calls = CallIndex(path)
    return flow.calls
