"""`mintaka watch`: a flow run live, until it is over."""

from __future__ import annotations

import sys
from time import sleep
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live

from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, RunArgument, place
from mintaka.cli.showing import console, is_over, print_json, run_line, tasks_table
from mintaka.runner import exit_code
from mintaka.states import State
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from mintaka.histories import History

_PAUSE_SECONDS = 0.3
#: Task runs that are shown: those that run, then those that ended last.
_SHOWN = 20


def command(run: RunArgument, json: JsonOption = False, cluster: ClusterOption = False) -> None:
    """Show a flow run live until it is over; the exit code says how it ended."""
    with place(cluster=cluster) as where:
        found = where.flow_run(run)
        found = _as_json(where, found) if json else _live(where, found)
    state = found["state"]
    sys.exit(exit_code(State(StateType(state["type"]), state["name"], state["reason"], state["message"])))


def _as_json(where: History, run: dict[str, Any]) -> dict[str, Any]:
    """One line for each change."""
    shown = None
    while True:
        if run != shown:
            print_json(run)
            shown = run
        if is_over(run):
            return run
        sleep(_PAUSE_SECONDS)
        run = where.flow_run(run["uid"])


def _live(where: History, run: dict[str, Any]) -> dict[str, Any]:
    with Live(_picture(where, run), console=console(), auto_refresh=False) as live:
        while not is_over(run):
            sleep(_PAUSE_SECONDS)
            run = where.flow_run(run["uid"])
            live.update(_picture(where, run), refresh=True)
    return run


def _picture(where: History, run: dict[str, Any]) -> Group:
    tasks = sorted(where.task_runs(run["uid"]), key=lambda task: (task["ended"] is None, task["ended"] or "", task["n"]))
    return Group(run_line(run), tasks_table(tasks[-_SHOWN:]))
