"""`mintaka diff`: what differs between two flow runs of the history that the environment names."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from mintaka.comparing import compared
from mintaka.histories import history

if TYPE_CHECKING:
    from mintaka.comparing import Difference


def command(
    first: Annotated[str, typer.Argument(help="A flow run: its uid, or its name for the newest of that name.")],
    second: Annotated[str, typer.Argument(help="Another one.")],
) -> None:
    """Show what differs between two flow runs; exit code 1 where something does."""
    with history() as source:
        runs = [source.flow_run(run) for run in (first, second)]
        tasks = [list(source.task_runs(run["uid"])) for run in runs]
    differences = compared(runs[0], runs[1], tasks[0], tasks[1])
    sys.stdout.write(_shown(differences))
    sys.exit(1 if differences else 0)


def _shown(differences: list[Difference]) -> str:
    if not differences:
        return "no difference\n"
    width = max(len(f"{each.kind} {each.what}") for each in differences)
    return "".join(
        f"{f'{each.kind} {each.what}':<{width}}  {each.first or '(not there)'}  →  {each.second or '(not there)'}\n" for each in differences
    )
