"""`mintaka get`: flow runs, or one of them with its task runs."""

from __future__ import annotations

import sys
from itertools import islice
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.text import Text

from mintaka.cli.columns import print_lines
from mintaka.cli.deployments import show_deployments
from mintaka.cli.parsing import BadArgument, JsonOption, Output
from mintaka.cli.places import EVERYWHERE, ClusterOption, NamespaceOption, place
from mintaka.cli.showing import (
    console,
    counts_text,
    instant,
    is_over,
    print_json,
    runs_table,
    state_text,
    stderr_console,
    tasks_table,
    told,
)
from mintaka.cli.waiting import told_waits
from mintaka.histories import Wanted
from mintaka_core.states import StateType

if TYPE_CHECKING:
    from mintaka.histories import Document, History

EPILOG = """
Examples:
  mintaka get                                   the newest flow runs
  mintaka get deployments                       the flow deployments
  mintaka get deployment/etl                    one of them
  mintaka get --state failed --state crashed    those that went wrong
  mintaka get --watch                           and each change from now on
  mintaka get etl-7c1a2f90                      one run with its task runs
  mintaka get --called                          flow runs that others called
  mintaka get etl-7c1a2f90 --called             those that this flow run called
  mintaka get --json | jq -r '.[].uid'          for programs
"""
_PAUSE_SECONDS = 1.0
_KINDS = frozenset({"run", "runs", "deployment", "deployments"})
_LIMIT = 20
#: Task runs of one flow run that are shown where no --limit is given.
_TASKS = 100


def command(
    wanted: Annotated[
        str | None,
        typer.Argument(help="runs, deployments, deployment/NAME, or a flow run by uid or name. Default: the newest runs.", metavar="WHAT"),
    ] = None,
    state: Annotated[list[str] | None, typer.Option(metavar="STATE", help="Only in this state type, such as FAILED; repeatable.")] = None,
    name: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs whose name begins so.")] = None,
    deployment: Annotated[str | None, typer.Option(metavar="NAME", help="Only runs of this flow deployment.")] = None,
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="Only runs with this tag; repeatable.")] = None,
    limit: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="How many: 20 runs, of one run 100 task runs.", show_default=False)
    ] = None,
    called: Annotated[
        bool, typer.Option("--called", help="Flow runs called by other flow runs, or by RUN; without it, lists omit them.")
    ] = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Go on with what changes, until Ctrl-C.")] = False,
    output: Annotated[Output | None, typer.Option("--output", "-o", help="Format. Default: a table.")] = None,
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    everywhere: Annotated[bool, typer.Option("--all-namespaces", "-A", help="Of all namespaces of a cluster.")] = False,
    cluster: ClusterOption = False,
) -> None:
    """Show flow runs or flow deployments, or one of them."""
    output = Output.JSON if json else output
    deployments, run = _asked_for(wanted)
    if everywhere and (run is not None or namespace):
        message = "--all-namespaces is for lists, and goes with no --namespace"
        raise BadArgument(message)
    namespace = EVERYWHERE if everywhere else namespace
    states = [_state(word) for word in state or []]
    if deployments:
        if watch or states or deployment:
            message = "--watch, --state and --deployment are for flow runs"
            raise BadArgument(message)
        with place(cluster=cluster, namespace=namespace) as where:
            show_deployments(where, run, name=name, tags=tag or [], limit=limit or _LIMIT, output=output)
        return
    with place(cluster=cluster, namespace=namespace) as where:
        if run is not None and not called:
            if watch:
                message = "--watch is for lists; one run is watched with: mintaka watch RUN"
                raise BadArgument(message)
            _show_one(where, run, states, limit, output)
            return
        parent = where.flow_run(run)["uid"] if run is not None else None
        chosen = Wanted(states, name, deployment, tag or [], called and parent is None, parent)
        runs = where.flow_runs(chosen, limit=limit or _LIMIT)
        _show(runs, output, first=True)
        if not runs and output in (None, Output.WIDE) and not watch:
            stderr_console().print("no flow runs")
        if watch:
            _go_on(where, chosen, limit or _LIMIT, runs, output)


def _asked_for(what: str | None) -> tuple[bool, str | None]:
    """Whether WHAT names flow deployments, and the name of one object (None: a list)."""
    if what in (None, "run", "runs"):
        return False, None
    if what in ("deployment", "deployments"):
        return True, None
    kind, slash, name = str(what).partition("/")
    return (kind in ("deployment", "deployments"), name) if slash and kind in _KINDS else (False, what)


def _state(word: str) -> str:
    if word.upper() not in StateType.__members__:
        message = f"there is no state type {word!r}: use one of {', '.join(StateType.__members__)}"
        raise BadArgument(message)
    return word.upper()


def _go_on(where: History, wanted: Wanted, limit: int, shown: list[Document], output: Output | None) -> None:
    """Print each run again when it changes."""
    known = {run["uid"]: run for run in shown}
    while True:
        sleep(_PAUSE_SECONDS)
        changed = [run for run in where.flow_runs(wanted, limit=limit) if known.get(run["uid"]) != run]
        known |= {run["uid"]: run for run in changed}
        for run in reversed(changed):
            _show([run], output, first=not known)


def _show(runs: list[Document], output: Output | None, *, first: bool) -> None:
    if output is Output.JSON:
        print_json(runs if first else runs[0])
    elif output is Output.YAML:
        sys.stdout.write(_yaml(runs if first else runs[0]))
    elif output is Output.NAME:
        sys.stdout.writelines(f"{run['name']}\n" for run in runs)
    elif runs:
        print_lines(console(), runs_table(runs, wide=output is Output.WIDE, titles=first))


def _show_one(where: History, name: str, states: list[str], limit: int | None, output: Output | None) -> None:
    run = where.flow_run(name)
    if output is Output.NAME:
        sys.stdout.write(f"{run['name']}\n")
        return
    tasks = where.task_runs(run["uid"], states=states)
    waits = [] if is_over(run) else where.pauses(run["uid"])
    if output in (Output.JSON, Output.YAML):
        document = {**run, "pauses": waits, "task_runs": list(islice(tasks, limit))}
        if output is Output.JSON:
            print_json(document)
        else:
            sys.stdout.write(_yaml(document))
        return
    print_lines(console(), _described(run))
    print_lines(console(), [Text(f"{'It':<12}", style="bold").append(told_waits(name, pause)) for pause in waits])
    shown = list(islice(tasks, limit or _TASKS))
    if shown:
        print_lines(console(), [Text(), *tasks_table(shown)])
    if next(tasks, None) is not None:
        stderr_console().print(f"and more task runs: --limit {10 * len(shown)} shows more, --state FAILED fewer")


def _described(run: Document) -> list[Text]:
    """What is known of a flow run, a line for each thing."""
    state = run["state"]
    words: list[tuple[str, Any]] = [
        ("Name", run["name"]),
        ("Uid", run["uid"]),
        ("Namespace", run["namespace"]),
        ("Flow", run.get("flow")),
        ("Deployment", run["deployment"]),
        ("Called by", run.get("parent")),
        ("Root", run.get("root") if run.get("root") != run.get("parent") else None),
        ("State", state_text(state["type"], state["name"])),
        ("Why", told(state["reason"], state["message"])),
        ("Attempt", f"{run['attempt']} ({run['failures']} failures, {run['crashes']} crashes)" if run["attempt"] > 1 else run["attempt"]),
        ("Created", f"{instant(run['created']):%Y-%m-%d %H:%M:%S}Z"),
        ("Started", f"{instant(run['started']):%Y-%m-%d %H:%M:%S}Z" if run["started"] else ""),
        ("Ended", f"{instant(run['ended']):%Y-%m-%d %H:%M:%S}Z" if run["ended"] else ""),
        ("Parameters", ", ".join(f"{name}={value!r}" for name, value in run["parameters"].items())),
        ("Tags", ", ".join(run["tags"])),
        ("Tasks", counts_text(run["task_counts"])),
    ]
    lines = []
    for word, value in words:
        if value not in (None, ""):
            lines.append(Text(f"{word + ':':<12}", style="bold").append_text(value if isinstance(value, Text) else Text(str(value))))
    return lines


def _yaml(document: Any) -> str:
    from mintaka.yaml_text import as_yaml  # noqa: PLC0415 - start-up time: rarely asked for

    return as_yaml(document)
