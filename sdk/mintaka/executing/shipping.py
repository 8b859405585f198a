"""What crosses the border to another process: the body of a task with its inputs there, the result and the logs back.

Everything is made bytes here, by cloudpickle, before an executor gets it: what cannot be pickled is found where there is
still a run to tell it to, and executors have nothing to do but to carry bytes. The function is pickled by value, once for
each flow run, so the worker need not be able to import the flow's file; globals it reads are those of that moment.
"""

from __future__ import annotations

import logging
import pickle
from typing import TYPE_CHECKING, Any, NamedTuple

import cloudpickle

from mintaka.concurrency.holdings import HELD
from mintaka.exceptions import SerializationError, message_of
from mintaka.recording.homes import home

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from uuid import UUID

    from mintaka.artifacts import ArtifactVersion
    from mintaka.context import FlowContext, RunContext
    from mintaka.engine.invocations import Invocation
    from mintaka.engine.runs import Run
    from mintaka.events import EmittedEvent
    from mintaka.tasks import Task

#: What needs no cloudpickle, which takes five times as long.
_PLAIN = frozenset({int, float, complex, bool, str, bytes, type(None)})


class Surroundings(NamedTuple):
    """The flow run that a task run is part of, as far as the running code may ask about it, what the logs let pass, and at
    which API variables and limits are ("": where the worker's own environment says).
    """

    flow_run_id: str
    name: str
    namespace: str
    deployment: str
    attempt: int
    tags: tuple[str, ...]
    flow_name: str
    flow_version: str | None
    flow_run: Run
    parent: UUID | None
    scheduled_time: datetime | None
    parameters: bytes
    root_level: int
    level: int
    api_url: str
    semantics: str


class Shared(NamedTuple):
    """What the tries of a task in one flow run have in common; `function` and `surroundings` are pickles themselves."""

    function: bytes
    surroundings: bytes
    task_name: str
    task_version: str | None
    is_async: bool
    log_prints: bool
    timeout_seconds: float | None


class Parcel(NamedTuple):
    """One try of a task, as it is sent: a pickled `Shared`, the same bytes for many parcels, and a pickle of (arguments, run,
    slots held) with the arguments as a pickle of (args, kwargs).
    """

    shared: bytes
    own: bytes


class Returned(NamedTuple):
    """What became of one try: a pickled value or, if not `ok`, what `load_error` reads, and everything that was recorded in the worker. Sent as a tuple.

    `late` says that the exception is the task's own timeout; `seconds` is how long the body took.
    """

    ok: bool
    pickled: bytes
    late: bool
    seconds: float
    logs: list[dict[str, Any]]
    runs: list[Run]
    artifacts: list[ArtifactVersion]
    events: list[EmittedEvent]


def pickled(value: Any, what: Callable[[], str], sent: str = "sent to another process") -> bytes:
    """`value` as bytes.

    Raises:
        SerializationError: it cannot be pickled; `what` says what it is, `sent` what cannot be done with it.
    """
    try:
        data: bytes = pickle.dumps(value) if type(value) in _PLAIN else cloudpickle.dumps(value)
    except (Exception, SystemExit) as error:
        message = f"{what()} cannot be {sent}: {type(error).__name__}: {message_of(error)}"
        raise SerializationError(message) from error
    return data


class Packer:
    """Makes parcels of the tries of one flow run; what they share is pickled once."""

    def __init__(self) -> None:
        self._shared: dict[tuple[int, int, bool], tuple[Any, bytes]] = {}
        self._functions: dict[int, tuple[Any, bytes]] = {}
        self._flows: dict[int, bytes] = {}

    def pack(self, invocation: Invocation) -> Parcel:
        """One try of `invocation`, its inputs in place.

        Raises:
            SerializationError: the function or an argument cannot be pickled.
        """
        context = invocation.context
        if context.flow is None or context.task is None:
            message = "only tasks within a flow run are sent to other processes"
            raise SerializationError(message)
        shared = self._shared_part(invocation, context.task, context.flow)
        arguments = pickled((invocation.args, invocation.kwargs), lambda: _told(invocation))
        return Parcel(shared, pickle.dumps((arguments, invocation.run, _held_around(context)), pickle.HIGHEST_PROTOCOL))

    def _shared_part(self, invocation: Invocation, task: Task[..., Any], flow: FlowContext) -> bytes:
        key = id(task), flow.run.n, invocation.context.log_prints
        known = self._shared.get(key)
        if known is not None and known[0] is task:
            return known[1]
        shared = Shared(
            self._function(task.body, invocation.run.name),
            self._surroundings(flow),
            task.name,
            task.version,
            task.is_async,
            invocation.context.log_prints,
            task.timeout_seconds,
        )
        data = pickle.dumps(tuple(shared), pickle.HIGHEST_PROTOCOL)
        if getattr(task.body, "__self__", None) is None:  # a bound method is made anew for each call
            self._shared[key] = task, data
        return data

    def _function(self, body: Any, name: str) -> bytes:
        known = self._functions.get(id(body))
        if known is not None and known[0] is body:
            return known[1]
        data = pickled(body, lambda: f"the function of task run {name}")
        if getattr(body, "__self__", None) is None:
            self._functions[id(body)] = (body, data)
        return data

    def _surroundings(self, flow: FlowContext) -> bytes:
        known = self._flows.get(flow.run.n)
        if known is None:
            launch = flow.launch
            try:
                parameters = cloudpickle.dumps(flow.parameters)
            except (Exception, SystemExit):  # noqa: BLE001 - whatever makes a parameter refuse; only runtime.flow_run.parameters lacks them
                parameters = pickle.dumps({})
            known = pickle.dumps(
                Surroundings(
                    launch.flow_run_id or str(flow.ledger.ids.flow_run),
                    launch.name,
                    launch.namespace,
                    launch.deployment,
                    launch.attempt,
                    launch.tags,
                    flow.flow.name,
                    flow.flow.version,
                    flow.run,
                    flow.parent,
                    launch.scheduled_time,
                    parameters,
                    logging.getLogger().getEffectiveLevel(),
                    min(logging.getLogger("mintaka").getEffectiveLevel(), logging.INFO),
                    home().api_url,
                    flow.semantics.name,
                ),
                pickle.HIGHEST_PROTOCOL,
            )
            self._flows[flow.run.n] = known
        return known


def _held_around(context: RunContext) -> tuple[tuple[tuple[str, ...], int, bool], ...]:
    """The limits that are held around the body, as (names, slots, whether the run itself holds them, so that it may lend them)."""
    own = context.holding
    held = [holding for holding in (own, *HELD.get()) if holding is not None]
    return tuple((tuple(sorted(holding.names)), holding.slots, holding is own) for holding in dict.fromkeys(held))


def _told(invocation: Invocation) -> str:
    """Which argument of `invocation` it is that cannot be pickled."""
    named = [(f"argument {index}", value) for index, value in enumerate(invocation.args)]
    named += [(f"argument {name!r}", value) for name, value in invocation.kwargs.items()]
    for name, value in named:
        try:
            cloudpickle.dumps(value)
        except (Exception, SystemExit):  # noqa: BLE001 - that is the one
            return f"{name} of task run {invocation.run.name}, a {type(value).__name__},"
    return f"the arguments of task run {invocation.run.name}"
