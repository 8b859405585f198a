"""What can be done to a flow run that is under way: pause it, from inside, and resume it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, overload

from mintaka.calling.dual_functions import dual
from mintaka.context import CURRENT, current_run
from mintaka.exceptions import NotPausedError
from mintaka.waiting.drivers import apart, wait_async, wait_blocking
from mintaka.waiting.pausing import check_seconds, pause_of, resume

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from mintaka.waiting.pausing import Pause


async def apause_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = 3600,  # noqa: ASYNC109 - Prefect's name for it
    poll_interval: float = 1,
    key: str | None = None,
) -> Any:
    """`pause_flow_run` for `await`."""
    return await wait_async(_pause(wait_for_input, timeout, poll_interval, key), poll_interval)


@overload
def pause_flow_run[T](
    wait_for_input: type[T],
    timeout: float | None = 3600,
    poll_interval: float = 1,
    key: str | None = None,
    *,
    _sync: Literal[True] | None = None,
) -> T: ...
@overload
def pause_flow_run(
    wait_for_input: None = None,
    timeout: float | None = 3600,
    poll_interval: float = 1,
    key: str | None = None,
    *,
    _sync: Literal[True] | None = None,
) -> None: ...
@overload
def pause_flow_run(
    wait_for_input: Any = None,
    timeout: float | None = 3600,
    poll_interval: float = 1,
    key: str | None = None,
    *,
    _sync: Literal[False],
) -> Coroutine[Any, Any, Any]: ...
@dual(apause_flow_run)
def pause_flow_run(wait_for_input: Any = None, timeout: float | None = 3600, poll_interval: float = 1, key: str | None = None) -> Any:
    """Wait until the flow run is resumed; it is PAUSED meanwhile, and its process continues to run.

    In a task, the task waits and its flow run is PAUSED; other tasks, and the flow's body, go on. Of several pauses of one run at a
    time, the oldest is ended first, and the run goes on when none is left. In async code it is awaited
    (`mintaka.calling.dual_functions`), and the event loop goes on meanwhile.

    Args:
        wait_for_input: what the one who resumes has to give, such as `str`, a dataclass or a pydantic model
            (`mintaka.input.RunInput`); checked and coerced.
        timeout: seconds until the wait fails; None: never.
        poll_interval: how often those outside of this process are asked, in seconds.
        key: where a flow that is tried again comes here a second time, it goes on at once with the input it got then.

    Returns:
        The input; None where none was asked for.

    Raises:
        FlowPauseTimeout: it was not resumed in time; it ends FAILED unless the flow, or the task, catches this.
        MissingContextError: outside of a flow, or in a worker process (`ProcessPoolTaskRunner`, `DaskTaskRunner`, …).
        InvalidNameError: `key` is too long (200 bytes), or has a / or something invisible in it.
    """
    return wait_blocking(_pause(wait_for_input, timeout, poll_interval, key), poll_interval)


def _pause(input_type: Any, timeout_seconds: float | None, poll_seconds: float, key: str | None) -> Pause:
    context = current_run("pause_flow_run()")
    check_seconds("poll_interval of pause_flow_run", poll_seconds)
    return pause_of(context, input_type, timeout_seconds, key)


async def asuspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: str | None = None,
    timeout: float | None = None,  # noqa: ASYNC109 - Prefect's name for it
    key: str | None = None,
) -> Any:
    """`suspend_flow_run` for `await`."""
    from mintaka.waiting import suspending  # noqa: PLC0415 - start-up time

    if _is_another(flow_run_id):
        from mintaka.waiting.intents import suspend  # noqa: PLC0415 - start-up time

        return await apart(lambda: suspend(str(flow_run_id)))
    return await suspending.suspend_async(current_run("suspend_flow_run()"), wait_for_input, timeout, key)


@overload
def suspend_flow_run[T](
    wait_for_input: type[T],
    flow_run_id: str | None = None,
    timeout: float | None = None,
    key: str | None = None,
    *,
    _sync: Literal[True] | None = None,
) -> T: ...
@overload
def suspend_flow_run(
    wait_for_input: None = None,
    flow_run_id: str | None = None,
    timeout: float | None = None,
    key: str | None = None,
    *,
    _sync: Literal[True] | None = None,
) -> None: ...
@overload
def suspend_flow_run(
    wait_for_input: Any = None,
    flow_run_id: str | None = None,
    timeout: float | None = None,
    key: str | None = None,
    *,
    _sync: Literal[False],
) -> Coroutine[Any, Any, Any]: ...
@dual(asuspend_flow_run)
def suspend_flow_run(
    wait_for_input: Any = None, flow_run_id: str | None = None, timeout: float | None = None, key: str | None = None
) -> Any:
    """End the process of the flow run; it is PAUSED, named Suspended, and runs again once somebody resumes it.

    What was submitted ends first. When the flow runs again, finished tasks are taken from their results where these are
    persisted, and this returns at once.
    In async code it is awaited (`mintaka.calling.dual_functions`).

    Args:
        wait_for_input: what the one who resumes has to give; as for `pause_flow_run`.
        flow_run_id: another run, which is then held back through the API as by `mintaka suspend`.
        timeout: seconds until a run that nobody resumes fails; None: never.
        key: which suspension of the flow this is; by default the first, the second and so on that the flow comes to.

    Returns:
        The input; None where none was asked for.

    Raises:
        Suspension: always, the first time; no `Exception`, so that it ends the process.
        ConfigurationError: nobody could resume it.
        MissingContextError: outside of a flow's body; a task cannot suspend its flow run.
        InvalidNameError: `key` is too long (200 bytes), or has a / or something invisible in it.
    """
    from mintaka.waiting import suspending  # noqa: PLC0415 - start-up time

    if _is_another(flow_run_id):
        from mintaka.waiting.intents import suspend  # noqa: PLC0415 - start-up time

        return suspend(str(flow_run_id))
    return suspending.suspend_blocking(current_run("suspend_flow_run()"), wait_for_input, timeout, key)


def _is_another(flow_run_id: str | None) -> bool:
    """Whether a flow run is named that is not the one around the code."""
    context = CURRENT.get()
    own = (context.flow.launch.flow_run_id, context.flow.id) if context is not None and context.flow is not None else ()
    return flow_run_id is not None and str(flow_run_id) not in own


async def aresume_flow_run(flow_run_id: str, run_input: Any = None) -> None:
    """`resume_flow_run` for `await`."""
    await apart(lambda: resume_flow_run(flow_run_id, run_input, _sync=True))


@dual(aresume_flow_run)
def resume_flow_run(flow_run_id: str, run_input: Any = None) -> None:
    """End the oldest pause of a flow run, in this process or any other that history knows of; from any thread.

    In async code it is awaited (`mintaka.calling.dual_functions`). A run that suspended itself goes on too, where it is a cluster's; one of a script is started with `mintaka resume`.

    Args:
        flow_run_id: `runtime.flow_run.id` of the run. In another process, that of the outermost one
            (`runtime.flow_run.root_flow_run_id`): a subflow's pause is the whole run's.
        run_input: what it waits for: an instance, or what makes one, such as a dict.

    Raises:
        NotPausedError: no such run is paused.
        ParameterTypeError: this is not the input it waits for; it goes on waiting.
        HistoryError: the API refused, or cannot be asked.
    """
    try:
        resume(str(flow_run_id), run_input)
    except NotPausedError:
        from mintaka.waiting.intents import answer  # noqa: PLC0415 - start-up time

        answer(str(flow_run_id), run_input)


__all__ = ["apause_flow_run", "aresume_flow_run", "asuspend_flow_run", "pause_flow_run", "resume_flow_run", "suspend_flow_run"]
