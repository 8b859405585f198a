"""`mintaka resume`: a flow run goes on. One that waits is given what it waits for; one that is suspended or over starts again,
and takes what is finished from its persisted results: where it was, in a cluster or on this machine.
"""

from __future__ import annotations

import json as jsons
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.ending import leave, tell
from mintaka.cli.parsing import BadArgument, JsonOption, ProgressOption, parameters_of
from mintaka.cli.places import ClusterOption, NamespaceOption, command_place, place, require_own_process
from mintaka.cli.run import carried_out
from mintaka.cli.showing import console, print_json
from mintaka.histories import FlowRunNotFound, of_a_script
from mintaka.persisting.resuming import resume

if TYPE_CHECKING:
    from mintaka.cli.ending import Ended
    from mintaka.context import Launch
    from mintaka.flows import Flow
    from mintaka.histories import Document
    from mintaka.states import State

EPILOG = """
Examples:
  mintaka resume etl-7c1a2f90                        once more, finished tasks taken from their results
  mintaka resume review-1b2c3d4e --input '"yes"'     answers a run that waits
"""
EXIT_CODES = "0 asked; where it runs here that of the state it ended in, as for run; 2 called wrongly, not found, not reachable, or it goes on already"

Run = Annotated[str, typer.Argument(help="A flow run: its uid, or its name (the newest of that name).")]
Input = Annotated[str | None, typer.Option("--input", metavar="JSON", help="What it waits for: JSON, or @FILE with JSON.")]
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
    given: Input = None,
    storage: Storage = None,
    entrypoint: Entrypoint = "",
    parameter: Parameter = None,
    progress: ProgressOption = True,
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Let a flow run go on: answer it where it waits, start it again where it is suspended or over."""
    value = _read(given)
    here = bool(storage or entrypoint or parameter)  # its results are to be used by a process of this machine
    found = None
    if _is_anywhere(cluster):
        with place(cluster=cluster, namespace=namespace) as where:
            with suppress(FlowRunNotFound):  # its results may be stored all the same
                found = where.flow_run(run)
            if found is not None:
                require_own_process(found, "resume")
            may_go_on = found is not None and not parameter and (not here or of_a_script(found))
            if found is not None and may_go_on and where.resume(found, value, given=given is not None):
                _tell_asked(found, json=json)
                return
    uid = found["uid"] if found is not None else run
    _resume_here(uid, storage, entrypoint, parameters_of(parameter or []), progress=progress, json=json)


def _is_anywhere(cluster: bool) -> bool:
    """False if no history is recorded, and so no run is known."""
    where = command_place(cluster=cluster)
    return where.cluster is not None or bool(where.api_url) or where.database is not None


def _read(given: str | None) -> Any:
    """The value of `--input`.

    Raises:
        BadArgument: it is not JSON, or there is no such file.
    """
    if given is None:
        return None
    try:
        text = Path(given[1:]).read_text(encoding="utf-8") if given.startswith("@") else given
        return jsons.loads(text)
    except (OSError, ValueError) as error:
        message = f"--input takes JSON, or @ and the name of a file with JSON: {error}"
        raise BadArgument(message) from error


def _tell_asked(found: Document, *, json: bool) -> None:
    if json:
        print_json({"uid": found["uid"], "name": found["name"], "asked": "resume"})
    else:
        console().print(f"{found['name']}: asked to resume")


def _resume_here(run: str, storage: str | None, entrypoint: str, parameters: dict[str, Any], *, progress: bool, json: bool) -> None:
    """Run it in this process, to its end or its next suspension, and end with its exit code."""
    ends: list[Ended] = []

    def call(flow: Flow[Any, Any], values: dict[str, Any], launch: Launch) -> State:
        ends.append(carried_out(flow, values, launch, progress=progress, json=json))
        return ends[0].state

    again, _, attempt = resume(run, storage=storage, entrypoint=entrypoint, parameters=parameters, call=call)
    if not json:
        sys.stderr.write(f"attempt {attempt} of flow run {again}\n" if again == run else f"flow run {again} resumed {run}\n")
    tell(ends[0], json=json, resumed=run, attempt=attempt)
    leave(ends[0])
