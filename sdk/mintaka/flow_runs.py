"""What can be done to a flow run that is under way: pause it, from inside, and resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, overload

from mintaka.context import current_run
from mintaka.loops import loop_is_running
from mintaka.pausing import pause_of, resume, wait_async, wait_blocking

if TYPE_CHECKING:
    from mintaka.runs import Run  # noqa: F401 - in a docstring


@overload
def pause_flow_run[T](wait_for_input: type[T], timeout: float | None = 3600, poll_interval: float = 10, key: str | None = None) -> T: ...
@overload
def pause_flow_run(
    wait_for_input: None = None, timeout: float | None = 3600, poll_interval: float = 10, key: str | None = None
) -> None: ...
def pause_flow_run(wait_for_input: Any = None, timeout: float | None = 3600, poll_interval: float = 10, key: str | None = None) -> Any:
    """Wait in the flow's body until somebody resumes the run; it is PAUSED meanwhile, and its process goes on running.

    In an event loop this gives a coroutine of the same.

    Args:
        wait_for_input: what the one who resumes has to give, such as `str`, a dataclass or a pydantic model
            (`mintaka.input.RunInput`); checked and coerced.
        timeout: seconds until the wait fails; None: never.
        poll_interval: how often those outside of this process are asked, in seconds.
        key: where a flow that is tried again comes here a second time, it goes on at once with the input it got then.

    Returns:
        The input; None where none was asked for.

    Raises:
        FlowPauseTimeout: nobody resumed it in time; it ends FAILED unless the flow catches this.
        MissingContextError: outside of a flow's body.
    """
    context = current_run("pause_flow_run()")
    pause = pause_of(context, wait_for_input, timeout, key)
    known = None if key is None else pause.flow.answers.get(key)
    if loop_is_running():
        return _known(known.value) if known is not None else wait_async(pause, poll_interval)
    return known.value if known is not None else wait_blocking(pause, poll_interval)


async def _known(value: Any) -> Any:
    return value


def resume_flow_run(flow_run_id: str, run_input: Any = None) -> None:
    """End the oldest pause of a flow run of this process; call it from any thread.

    Args:
        flow_run_id: `runtime.flow_run.id` of the run.
        run_input: what it waits for: an instance, or what makes one, such as a dict.

    Raises:
        NotPausedError: no such run is paused here.
        ParameterTypeError: this is not the input it waits for; it goes on waiting.
    """
    resume(flow_run_id, run_input)


__all__ = ["pause_flow_run", "resume_flow_run"]
