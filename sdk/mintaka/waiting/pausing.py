"""A flow that waits to be resumed, in its process: PAUSED meanwhile, RUNNING again with the input it was given.

Who resumes it may be a thread of the same process (`resume_flow_run`), or anybody whom the launch's mailbox reaches, which
is asked every few seconds. The pause itself knows neither threads nor event loops: whoever waits (`mintaka.waiting.drivers`)
brings a way to be woken.
"""

from __future__ import annotations

import itertools
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from mintaka.engine.decisions import decide_run
from mintaka.engine.entries import now_micros
from mintaka.exceptions import (
    ConfigurationError,
    FlowPauseTimeout,
    Halted,
    InvalidNameError,
    InvalidSettingError,
    MissingContextError,
    NotPausedError,
    ParameterTypeError,
)
from mintaka.states import Paused, State
from mintaka_core.durations import LONGEST_SECONDS
from mintaka_core.states import PENDING, RUNNING, SCHEDULED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pydantic import TypeAdapter

    from mintaka.context import FlowContext, Launch, RunContext

#: How long a wait goes on before it looks whether its run was ended from outside.
_SLICE_SECONDS = 0.25
#: No answer is asked for more often than so, whatever the flow says: its deadline has to be looked at too.
_LEAST_POLL_SECONDS = 0.01
#: What resources, the API's paths and the database keep of a key without cutting it short.
_KEY_BYTES = 200


class Answer(NamedTuple):
    """Somebody resumed the run, with `value` as its input (None: none)."""

    value: Any = None


class Mailbox(Protocol):
    """Where those outside of this process learn of a pause, and end it."""

    def paused(self, pause: Pause) -> None:
        """`pause` has begun; `pause.schema()` says what input it wants."""

    def answer(self, pause: Pause) -> Answer | None:
        """What somebody answered; None while nobody did. Not checked yet."""

    def refused(self, pause: Pause, why: str) -> None:
        """The answer was not what the pause wants; it goes on."""

    def over(self, pause: Pause) -> None:
        """The pause has ended, by an answer or otherwise."""


class Pause:
    """One wait of the flow run in `context`, for at most `timeout_seconds` (None: for ever), for an `input_type` (None: any).

    `name` is what it is known by outside of the process: its `key`, where it has one. `suspends` says that the process does not wait.
    """

    def __init__(self, context: RunContext, flow: FlowContext, input_type: Any, timeout_seconds: float | None, key: str | None) -> None:
        self.context = context
        self.flow = flow
        self.input_type = input_type
        self._adapter = None if input_type is None else _adapter(input_type, flow.run.name)
        self.timeout_seconds = timeout_seconds
        self.key = key
        self.name = key or f"attempt {flow.launch.attempt}, pause {next(_NUMBERS)}"
        self.suspends = False
        self.deadline: float | None = None
        self.deadline_micros: int | None = None
        self.start_clock()
        self._answer: Answer | None = None
        self._wake: Callable[[], object] = lambda: None

    def start_clock(self) -> None:
        """It begins now."""
        if self.timeout_seconds is not None:
            self.deadline = monotonic() + self.timeout_seconds
            self.deadline_micros = now_micros() + int(self.timeout_seconds * 1_000_000)

    @property
    def answered(self) -> Answer:
        """What ended it."""
        return self._answer or Answer()

    @property
    def is_answered(self) -> bool:
        """True where somebody resumed the run; it may also be over because its time is."""
        return self._answer is not None

    @property
    def value(self) -> Any:
        """The input that ended it."""
        return self.answered.value

    @property
    def flow_run_id(self) -> str:
        """The id of the flow run it belongs to."""
        return self.flow.launch.flow_run_id

    def schema(self) -> dict[str, Any] | None:
        """JSON Schema of the input; None where it wants none."""
        return None if self._adapter is None else self._adapter.json_schema()

    def give(self, value: Any) -> None:
        """End it with `value` as the input.

        Raises:
            ParameterTypeError: it is not what the pause waits for, which goes on.
        """
        if self._adapter is not None:
            from pydantic import ValidationError  # noqa: PLC0415 - start-up time

            try:
                value = self._adapter.validate_python({} if value is None and hasattr(self.input_type, "model_fields") else value)
            except ValidationError as error:
                problems = "; ".join(".".join(map(str, each["loc"])) + ": " + each["msg"] for each in error.errors())
                message = f"not the input that flow run {self.flow.run.name} waits for: {problems}"
                raise ParameterTypeError(message) from error
        self._answer = Answer(value)
        self._wake()

    def steps(self, wake: Callable[[], object], poll_seconds: float) -> Iterator[float]:
        """Yield how long to wait for `wake` each time, until the pause is over.

        Raises:
            FlowPauseTimeout: nobody ended it in time.
            Halted: the run was ended from outside.
        """
        self._wake = wake
        poll_seconds = max(poll_seconds, _LEAST_POLL_SECONDS)
        mailbox = _mailbox_of(self.flow.launch)
        next_poll = monotonic()
        while self._answer is None:
            if self.flow.run.is_over or self.context.run.is_over:
                message = "the run was ended while it was paused"
                raise Halted(message)
            if mailbox is not None and monotonic() >= next_poll:
                self._take(mailbox)
                next_poll = monotonic() + poll_seconds  # from now on: asking may have taken longer than that
            elif self.deadline is not None and monotonic() >= self.deadline:
                message = f"flow run {self.flow.run.name} was paused and nobody resumed it within {self.timeout_seconds:g} s"
                raise FlowPauseTimeout(message)
            else:
                yield min(_SLICE_SECONDS, poll_seconds, *([] if self.deadline is None else [max(self.deadline - monotonic(), 0)]))

    def _take(self, mailbox: Mailbox) -> None:
        answer = mailbox.answer(self)
        if answer is not None:
            try:
                self.give(answer.value)
            except ParameterTypeError as error:
                mailbox.refused(self, str(error))

    def begin(self) -> None:
        """RUNNING → PAUSED, unless another pause of the same run, in one of its tasks, is under way."""
        with _LOCK:
            waiting = _PAUSES.setdefault(self.flow_run_id, [])
            try:
                if all(other.flow is not self.flow for other in waiting):
                    self._enter(Paused(message="waits to be resumed"))
                waiting.append(self)
            finally:
                if not waiting:
                    del _PAUSES[self.flow_run_id]

    def announce(self) -> None:
        """Tell those outside of the process that it has begun; may take as long as asking them does."""
        if (mailbox := _mailbox_of(self.flow.launch)) is not None:
            mailbox.paused(self)

    def end(self, why: str) -> None:
        """Back to RUNNING, by the way that every run takes, unless another pause of the same run is under way."""
        with _LOCK:
            waiting = _PAUSES[self.flow_run_id]
            waiting.remove(self)
            if not waiting:
                del _PAUSES[self.flow_run_id]
            if not self.flow.run.is_over and all(other.flow is not self.flow for other in waiting):
                self._enter(State(SCHEDULED, "Resuming", message=why))
                self._enter(State(PENDING))
                self._enter(State(RUNNING))
        if self._answer is not None and self.key is not None:
            self.flow.answers[self.key] = self._answer

    def announce_end(self) -> None:
        """Tell those outside of the process that it is over; may take as long as asking them does."""
        if (mailbox := _mailbox_of(self.flow.launch)) is not None:
            mailbox.over(self)

    def _enter(self, proposed: State) -> None:
        """Propose one transition to the policy."""
        run = self.flow.run
        decision = decide_run(run, proposed)
        if decision.state is None:
            self.flow.ledger.stay(run, decision)
            raise Halted(decision.reason)
        self.flow.ledger.enter(run, decision)


def _adapter(input_type: Any, waiting: str) -> TypeAdapter[Any]:
    from pydantic import PydanticSchemaGenerationError, TypeAdapter  # noqa: PLC0415 - start-up time

    try:
        return TypeAdapter(input_type)
    except PydanticSchemaGenerationError as error:
        message = f"flow run {waiting} cannot wait for {input_type!r}: give a type, such as int or a class derived from RunInput"
        raise ConfigurationError(message) from error


_LOCK = threading.Lock()
_GIVING = threading.Lock()
_NUMBERS = itertools.count(1)
#: The pauses of this process by id of their flow run.
_PAUSES: dict[str, list[Pause]] = {}


def pause_of(context: RunContext, input_type: Any, timeout_seconds: float | None, key: str | None, use: str = "pause_flow_run") -> Pause:
    """A pause of the flow around the code in `context`; `use` is the function that was called.

    Raises:
        MissingContextError: there is none, or the code runs in a worker process.
        InvalidNameError: a pause cannot be called so.
        InvalidSettingError: `timeout_seconds` are none.
    """
    check_seconds(f"timeout of {use}", timeout_seconds)
    if key is not None and not (key.isprintable() and "/" not in key and 0 < len(key.encode()) <= _KEY_BYTES):
        message = f"{use}(key=…) takes 1 to {_KEY_BYTES} bytes, none of them / or invisible, not {key!r:.300}"
        raise InvalidNameError(message)
    if context.flow is None:
        message = f"only a flow run can be paused: call {use}() in a flow, or in a task that a flow calls"
        raise MissingContextError(message)
    if context.flow.launch.run is None:
        message = (
            f"{use}() does not work in a worker process, which the flow run's end and answers do not reach: call it in the flow's body, "
            "or run the task in the flow's process (ThreadPoolTaskRunner)"
        )
        raise MissingContextError(message)
    return Pause(context, context.flow, input_type, timeout_seconds, key)


def check_seconds(what: str, seconds: float | None) -> None:
    """Look whether somebody can wait for so long.

    Raises:
        InvalidSettingError: nobody can.
    """
    if seconds is not None and not (isinstance(seconds, (int, float)) and 0 <= seconds <= LONGEST_SECONDS):
        message = f"{what} is a number of seconds, 0 to {LONGEST_SECONDS:g} (None: no end), not {seconds!r}"
        raise InvalidSettingError(message)


def _mailbox_of(launch: Launch) -> Mailbox | None:
    from mintaka.waiting.mailboxes import mailbox_of  # noqa: PLC0415 - start-up time, and would be a cycle

    return mailbox_of(launch)


def resume(flow_run_id: str, value: Any) -> None:
    """End the oldest pause of that flow run; see `mintaka.flow_runs.resume_flow_run`."""
    with _GIVING:  # of two who resume a run at once, each ends a pause of its own
        with _LOCK:
            waiting = _PAUSES.get(flow_run_id) or [pause for each in _PAUSES.values() for pause in each if pause.flow.id == flow_run_id]
            left = [pause for pause in waiting if not pause.is_answered]
        if not left:
            message = f"flow run {flow_run_id} is not paused in this process"
            raise NotPausedError(message)
        left[0].give(value)
