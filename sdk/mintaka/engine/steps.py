"""What a run asks of its driver, one step at a time: call the body, wait, sleep, tell.

The engine, and what it hands a part of a run to (results, caching, transactions), yield these; the drivers do them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from mintaka.engine.outcomes import Outcome
    from mintaka.engine.runs import Run
    from mintaka.states import State


class Call:
    """Call the body; send what it returns, or throw what it raises."""


class Awaited(Protocol):
    """Something that will be done, such as a future."""

    def wait(self) -> None:
        """Block until it is done."""

    async def wait_async(self) -> None:
        """Wait without blocking the event loop."""


class Await(NamedTuple):
    """Wait until all of `futures` are done."""

    futures: tuple[Awaited, ...]


class Sleep(NamedTuple):
    """Wait for `seconds`, less where the process is asked to stop."""

    seconds: float


class RunHooks(NamedTuple):
    """Call the hooks with the definition, the run and `state`; what they raise is logged, no more."""

    hooks: tuple[Callable[..., Any], ...]
    state: State


class Halt(NamedTuple):
    """Tell the threads that work on `runs`, which are over, to end."""

    runs: list[Run]
    message: str


class Judge(NamedTuple):
    """Send what `error`, which interrupted the whole flow run, amounts to (`Interrupted`)."""

    error: BaseException


class Do(NamedTuple):
    """Call `work`, which may take its time over input or output but does not raise; send what it returns."""

    work: Callable[[], Any]


class Consult(NamedTuple):
    """Call `function`, which is the user's and may be async: then it is awaited. Send what came of it (`Consulted`)."""

    function: Callable[[], Any]


class Report(NamedTuple):
    """Tell the reader of the log about a failure or retry."""

    level: int
    message: str
    error: BaseException | None = None


type Step = Call | Await | Sleep | RunHooks | Halt | Judge | Do | Consult | Report
type RunProtocol = Generator[Step, Any, Outcome]

#: The one call.
CALL = Call()
