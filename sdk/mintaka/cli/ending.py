"""How a flow run of this process ended: what is told of it, and the exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.text import Text

from mintaka.cli.counting import counted
from mintaka.cli.showing import lasting, print_json, state_text, stderr_console
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.engine.loops import is_cancellation
from mintaka.engine.outcomes import Interrupted
from mintaka.engine.stopping import STOP
from mintaka.exceptions import Interruption, MissingResult, ResultError
from mintaka.persisting.kept_runs import kept_run
from mintaka.recording.homes import home
from mintaka.runner import exit_code
from mintaka.states import Cancelled, State
from mintaka_core.states import COMPLETED

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.cli.tally import Tally
    from mintaka.context import Launch


class Ended(NamedTuple):
    """A flow run that is over: the state it ended in, its task runs, how long it took; `interrupted` by Ctrl-C or SIGTERM."""

    launch: Launch
    state: State
    tally: Tally
    seconds: float
    interrupted: bool


def interruptible(call: Callable[[], State], launch: Launch) -> tuple[State, bool]:
    """The state that `call` ends in, and whether it was interrupted: Ctrl-C cancels the flow run, SIGTERM ends it CRASHED."""
    usual = launch.judge
    launch.judge = lambda error: _cancelled() if _is_ctrl_c(error) else usual(error)
    try:
        return call(), False
    except (KeyboardInterrupt, Interruption) as error:
        run = launch.run
        if run is None:
            return launch.judge(error).flow, True
        last = run.state
        return State(last.type, last.name, last.reason, last.message), True


def _is_ctrl_c(error: BaseException) -> bool:
    """In an event loop Ctrl-C cancels the flow, and so does SIGTERM."""
    return isinstance(error, KeyboardInterrupt) or (is_cancellation(error) and not STOP.requested)


def _cancelled() -> Interrupted:
    return Interrupted.all(Cancelled(reason="Interrupted", message="Ctrl-C"))


def leave(ended: Ended) -> None:
    """End the process with the exit code of the state. Tasks in threads that an interruption left behind are not waited for."""
    code = exit_code(ended.state)
    if ended.interrupted:
        CHILD_PROCESSES.end_all()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def tell(ended: Ended, *, json: bool, **more: Any) -> None:
    """Tell how it ended: on standard error, and the flow's value on standard output; with `json` all of it there."""
    state, run = ended.state, ended.launch.run
    value = state.result(_sync=True) if state.type == COMPLETED else None
    name = run.name if run is not None else ended.launch.flow
    if json:
        told = {"type": state.type, "name": state.name, "reason": state.reason, "message": state.message}
        print_json(
            {
                "kind": "flow_run",
                "uid": ended.launch.flow_run_id,
                "name": name,
                "flow": ended.launch.flow,
                **more,
                "state": told,
                "seconds": round(ended.seconds, 3),
                "tasks": ended.tally.counts(),
                "result": value,
            }
        )
        return
    out = stderr_console()
    line = Text(f"{name} ended ").append_text(state_text(state.type, state.name))
    why = ": ".join(part for part in (state.reason, state.message) if part)
    line.append(f" after {lasting(ended.seconds)}").append(f": {why}" if why else "")
    out.print(line)
    if counts := ended.tally.counts():
        out.print(Text().append("  tasks  ", style="dim").append_text(counted(counts)))
    for word, command in _next(ended):
        out.print(Text().append(f"  {word}  ", style="dim").append(command))
    if value is not None:
        sys.stdout.write(f"{value}\n")


def _next(ended: Ended) -> list[tuple[str, str]]:
    """What to type next: nothing where no history is kept."""
    where, uid = home(), ended.launch.flow_run_id
    if not where.api_url and where.database is None:
        return []
    if ended.state.type == COMPLETED:
        return [("id   ", uid)]
    commands = [("id   ", uid), ("why  ", f"mintaka explain {uid}"), ("log  ", f"mintaka logs {uid}")]
    return [*commands, ("again", f"mintaka resume {uid}")] if _resumable(uid) else commands


def _resumable(uid: str) -> bool:
    try:
        kept_run(uid)
    except (MissingResult, ResultError):
        return False
    return True
