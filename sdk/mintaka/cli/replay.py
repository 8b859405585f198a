"""`mintaka replay`: go through an earlier flow run again, its recorded results in the place of its tasks."""

from __future__ import annotations

import inspect
import pdb  # noqa: T100 - asked for with --pdb
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.parsing import BadArgument, parameters_of
from mintaka.cli.resume import Entrypoint, Parameter, Run, Storage
from mintaka.replaying import replay
from mintaka.runner import exit_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.replaying import Replay, Stop

Until = Annotated[str, typer.Option("--until", help="Stop before this task is called for the first time, and show its inputs.")]
From = Annotated[str, typer.Option("--from", help="Run for real from the first call of this task on.")]
Pdb = Annotated[bool, typer.Option("--pdb", help="With --until: step through the task with its real inputs. Else: look at a failure.")]


def command(
    run: Run,
    until: Until = "",
    from_task: From = "",
    use_pdb: Pdb = False,
    storage: Storage = None,
    entrypoint: Entrypoint = "",
    parameter: Parameter = None,
) -> None:
    """Go through a flow run again; nothing is recorded or kept."""
    if until and from_task:
        message = "--until and --from exclude each other"
        raise BadArgument(message)
    state, going = replay(
        run,
        storage=storage,
        entrypoint=entrypoint,
        parameters=parameters_of(parameter or []),
        until=until,
        from_task=from_task,
        debug=_step_through if until and use_pdb else None,
    )
    _tell(going)
    if state is None and going.stopped is not None:
        sys.stdout.write(_shown(going.stopped))
        return
    if until and going.stopped is None:
        sys.stderr.write(f"task {until} was not called\n")
    if state is None:
        return
    if use_pdb and not until and state.error is not None:
        pdb.post_mortem(state.error.__traceback__)
    sys.stderr.write(f"the replay ended {': '.join(part for part in (state.name, state.reason, state.message) if part)}\n")
    sys.exit(exit_code(state))


def _tell(going: Replay) -> None:
    sys.stderr.write(f"{len(going.replayed)} tasks replayed, {len(going.ran)} run\n")
    if going.ran:
        sys.stderr.write(f"run: {', '.join(going.ran[:20])}{' …' if len(going.ran) > 20 else ''}\n")  # noqa: PLR2004 - a line's worth


def _shown(stop: Stop) -> str:
    """The call as it would be written."""
    given = [*map(repr, stop.args), *(f"{name}={value!r}" for name, value in stop.kwargs.items())]
    return f"{stop.task}({', '.join(given)})\n"


def _step_through(body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not inspect.iscoroutinefunction(body):
        return pdb.Pdb().runcall(body, *args, **kwargs)

    async def stepped() -> Any:
        pdb.set_trace()  # noqa: T100 - asked for with --pdb
        return await body(*args, **kwargs)

    return stepped()
