"""`mintaka watch`: a flow run live, until it is over."""

from __future__ import annotations

import sys
from collections import deque
from datetime import UTC, datetime
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, NoReturn

from rich.console import Group
from rich.live import Live
from rich.text import Text

from mintaka.cli.counting import counted
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, place
from mintaka.cli.showing import console, is_over, print_json, run_line, shortly, state_text, stderr_console, tasks_table, told, took
from mintaka.runner import exit_code
from mintaka.states import State
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mintaka.cli.places import Place
    from mintaka.histories import Document, History

EPILOG = """
Examples:
  mintaka watch etl-7c1a2f90
  mintaka watch etl-7c1a2f90 --json | jq -c .task_counts
"""
EXIT_CODES = "the run's own: 0 COMPLETED, 1 FAILED, 3 CANCELLED, 4 CRASHED; 2 where it cannot be watched"
#: Task runs that are shown: those under way, then those that went wrong.
_SHOWN = 12


def command(run: RunArgument, json: JsonOption = False, namespace: NamespaceOption = None, cluster: ClusterOption = False) -> None:
    """Show a flow run live until it is over; the exit code says how it ended."""
    with place(cluster=cluster, namespace=namespace) as where:
        watch_to_its_end(where, where.flow_run(run), json=json)


def watch_to_its_end(where: Place, run: Document, *, json: bool, quietly: bool = False) -> NoReturn:
    """Show a flow run until it is over, `quietly` only then, and end the process with its exit code."""
    found = run
    if quietly:
        found = deque(_changes(where, run), maxlen=1)[0]
        print_json(found) if json else console().print(run_line(found))
    elif not json and console().is_terminal and not console().is_dumb_terminal:
        found = _live(where, run)
    else:
        for found in _changes(where, run):
            print_json(found) if json else console().print(run_line(found))
    state = found["state"]
    if not json and state["type"] != StateType.COMPLETED:
        stderr_console().print(f"why: mintaka explain {found['uid']}")
    sys.exit(exit_code(State(StateType(state["type"]), state["name"], state["reason"], state["message"])))


def _changes(where: Place, run: Document) -> Iterator[Document]:
    """Yield the run, and again after each change, until it is over."""
    shown = None
    while True:
        if run != shown:
            yield run
            shown = run
        if is_over(run):
            return
        sleep(where.pause_seconds)
        run = where.flow_run(run["uid"])


def _live(where: Place, run: Document) -> Document:
    with Live(_picture(where, run), console=console(), auto_refresh=False) as live:
        while not is_over(run):
            sleep(where.pause_seconds)
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
