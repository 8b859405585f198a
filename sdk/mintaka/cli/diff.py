"""`mintaka diff`: what differs between two flow runs."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from mintaka.cli.columns import columns, print_lines
from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, place
from mintaka.cli.showing import console, print_json, shortly
from mintaka.persisting.comparing import compared

if TYPE_CHECKING:
    from mintaka.histories import Document
    from mintaka.persisting.comparing import Difference

EPILOG = """
Examples:
  mintaka diff etl-7c1a2f90 etl-0b9d4e11
  mintaka diff etl-7c1a2f90 etl-0b9d4e11 --json | jq '.differences[] | select(.kind == "state")'
"""
EXIT_CODES = "0 no difference; 1 there are differences; 2 called wrongly, not found, or not reachable"
_NOT_THERE = "-"
#: Characters of one side of a difference.
_WIDTH = 70


def command(
    first: Annotated[str, typer.Argument(help="A flow run: its uid, or its name for the newest of that name.", metavar="RUN")],
    second: Annotated[str, typer.Argument(help="Another one.", metavar="RUN")],
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Show what differs between two flow runs; exit code 1 where something does."""
    with place(cluster=cluster, namespace=namespace) as source:
        runs = [source.flow_run(run) for run in (first, second)]
        tasks = [list(source.task_runs(run["uid"])) for run in runs]
    differences = compared(runs[0], runs[1], tasks[0], tasks[1])
    if json:
        shown = [{"uid": run["uid"], "name": run["name"]} for run in runs]
        print_json({"first": shown[0], "second": shown[1], "differences": [each._asdict() for each in differences]})
    else:
        _print(runs, differences)
    sys.exit(1 if differences else 0)


def _print(runs: list[Document], differences: list[Difference]) -> None:
    if not differences:
        console().print("no difference")
        return
    titles = ("WHAT", "OF", runs[0]["name"], runs[1]["name"])
    rows = [(each.kind, each.what, _side(each.first), _side(each.second)) for each in differences]
    print_lines(console(), columns(titles, rows))


def _side(text: str) -> Text:
    return Text(shortly(text, _WIDTH)) if text else Text(_NOT_THERE, style="dim")
