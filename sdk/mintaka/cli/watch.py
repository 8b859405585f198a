"""`mintaka watch`: a flow run live, until it is over."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.live import Live
from rich.text import Text

from mintaka.cli.counting import counted
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, in_cluster, place
from mintaka.cli.showing import console, is_over, print_json, run_line, shortly, state_text, stderr_console, tasks_table, told, took
from mintaka.runner import exit_code
from mintaka.states import State
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from mintaka.histories import Document, History

EPILOG = """
Examples:
  mintaka watch etl-7c1a2f90
  mintaka watch etl-7c1a2f90 --json | jq -c .task_counts
"""
EXIT_CODES = "the run's own: 0 COMPLETED, 1 FAILED, 3 CANCELLED, 4 CRASHED; 2 where it cannot be watched"
_PAUSE_SECONDS = 0.5
_CLUSTER_SECONDS = 1.5
#: Task runs that are shown: those under way, then those that went wrong.
_SHOWN = 12


def command(run: RunArgument, json: JsonOption = False, namespace: NamespaceOption = None, cluster: ClusterOption = False) -> None:
    """Show a flow run live until it is over; the exit code says how it ended."""
    pause = _CLUSTER_SECONDS if in_cluster(cluster) else _PAUSE_SECONDS
    with place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        if json:
            found = _as_lines(where, found, pause, print_json)
        elif console().is_terminal and not console().is_dumb_terminal:
            found = _live(where, found, pause)
        else:
            found = _as_lines(where, found, pause, lambda document: console().print(run_line(document)))
    state = found["state"]
    if not json and state["type"] != StateType.COMPLETED:
        stderr_console().print(f"why: mintaka explain {found['uid']}")
    sys.exit(exit_code(State(StateType(state["type"]), state["name"], state["reason"], state["message"])))


def _as_lines(where: History, run: dict[str, Any], pause: float, show: Any) -> dict[str, Any]:
    """One line for each change."""
    shown = None
    while True:
        if run != shown:
            show(run)
            shown = run
        if is_over(run):
            return run
        sleep(pause)
        run = where.flow_run(run["uid"])


def _live(where: History, run: dict[str, Any], pause: float) -> dict[str, Any]:
    with Live(_picture(where, run), console=console(), auto_refresh=False) as live:
        while not is_over(run):
            sleep(pause)
            run = where.flow_run(run["uid"])
            live.update(_picture(where, run), refresh=True)
    return run


def _picture(where: History, run: Document) -> Group:
    """The run, its counts, and the task runs that matter now: a page of each at most, however many there are."""
    now = datetime.now(UTC)
    state = run["state"]
    head = Text(f"{run['name']} ").append_text(state_text(state["type"], state["name"]))
    head.append(f" {took(run['started'], run['ended'], now)}")
    if run["attempt"] > 1:
        head.append(f"  attempt {run['attempt']}")
    lines = [head]
    if why := shortly(told(state["reason"], state["message"])):
        lines.append(Text(f"  {why}", style="dim"))
    if run["task_counts"]:
        lines.append(Text("  ").append_text(counted({kind.lower(): count for kind, count in run["task_counts"].items() if count})))
        under_way = list(islice(where.task_runs(run["uid"], states=("RUNNING", "SCHEDULED", "PAUSED")), _SHOWN)) if not is_over(run) else []
        wrong = list(islice(where.task_runs(run["uid"], states=("FAILED", "CRASHED")), _SHOWN - len(under_way)))
        if shown := under_way + wrong:
            lines += tasks_table(shown, now)
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    return Group(*lines)
