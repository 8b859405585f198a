"""`mintaka get`: flow runs, or one of them with its task runs."""

from __future__ import annotations

from typing import Annotated

import typer

from mintaka.cli.parsing import JsonOption
from mintaka.cli.places import ClusterOption, place
from mintaka.cli.showing import console, print_json, run_line, runs_table, tasks_table


def command(
    run: Annotated[str | None, typer.Argument(help="One flow run, by uid or name. Default: the newest runs.")] = None,
    state: Annotated[list[str] | None, typer.Option(help="Only runs in this state type, such as FAILED.")] = None,
    name: Annotated[str | None, typer.Option(help="Only runs whose name begins so.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    json: JsonOption = False,
    cluster: ClusterOption = False,
) -> None:
    """Show flow runs, or one of them with its task runs."""
    with place(cluster=cluster) as where:
        if run is None:
            runs = where.flow_runs(limit=limit, states=[word.upper() for word in state or []], name=name)
            if json:
                print_json(runs)
            else:
                console().print(runs_table(runs))
            return
        found = where.flow_run(run)
        tasks = list(where.task_runs(found["uid"]))
    if json:
        print_json({**found, "task_runs": tasks})
    else:
        console().print(run_line(found))
        console().print(tasks_table(tasks))
