"""`mintaka resume`: a flow run starts again here, and takes what is finished from its persisted results; one that is
suspended in a cluster goes on there.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mintaka.cli.parsing import JsonOption, parameters_of
from mintaka.cli.places import ClusterOption, NamespaceOption, in_cluster, intend
from mintaka.cli.showing import console, print_json
from mintaka.homes import home
from mintaka.resuming import resume
from mintaka.runner import exit_code

Run = Annotated[str, typer.Argument(help="The flow run's id.")]
Storage = Annotated[
    str | None, typer.Option("--storage", metavar="URL", help="Where its results are: a URL or folder; else MINTAKA_RESULT_STORAGE.")
]
Entrypoint = Annotated[
    str, typer.Option("--entrypoint", metavar="FLOW", help="The flow, where its code is somewhere else now: path/to/file.py:function.")
]
Parameter = Annotated[
    list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="name=value, in place of what the run had.")
]


def command(
    run: Run,
    storage: Storage = None,
    entrypoint: Entrypoint = "",
    parameter: Parameter = None,
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Go on with a flow run: here, in a new one that shares its results; where it is a cluster's, in its own place."""
    here = storage or entrypoint or parameter
    if not here and (in_cluster(cluster) or home().api_url):
        found = intend(run, "resume", cluster=cluster, namespace=namespace)
        if json:
            print_json({"uid": found["uid"], "name": found["name"], "asked": "resume"})
        else:
            console().print(f"{found['name']}: asked to resume")
        return
    again, state = resume(run, storage=storage, entrypoint=entrypoint, parameters=parameters_of(parameter or []))
    if json:
        ended = {"type": state.type, "name": state.name, "reason": state.reason, "message": state.message}
        print_json({"uid": again, "resumed": run, "state": ended, "result": state.result() if state.is_completed() else None})
        sys.exit(exit_code(state))
    told = ": ".join(part for part in (state.name, state.reason, state.message) if part)
    sys.stderr.write(f"flow run {again}, which resumed {run}, ended {told}\n")
    if state.is_completed() and (value := state.result()) is not None:
        sys.stdout.write(f"{value}\n")
    sys.exit(exit_code(state))
