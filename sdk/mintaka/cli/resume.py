"""`mintaka resume`: a flow run goes on. One that waits is given what it waits for; one that is suspended or over starts again,
and takes what is finished from its persisted results: where it was, in a cluster or on this machine.
"""

from __future__ import annotations

import json as jsons
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.ending import leave, tell
from mintaka.cli.parsing import BadArgument, JsonOption, ProgressOption, parameters_of
from mintaka.cli.places import ClusterOption, NamespaceOption, in_cluster, place, require_own_process
from mintaka.cli.run import carried_out
from mintaka.cli.showing import console, is_over, print_json
from mintaka.cli.waiting import answered_here
from mintaka.histories import FlowRunNotFound, of_a_script
from mintaka.persisting.resuming import resume
from mintaka.recording.homes import home
from mintaka_core.states import SUSPENDED_ITSELF

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
    if in_cluster(cluster) and not here:
        return _asked(_resume_in_cluster(run, value, namespace, given=given is not None), json=json)
    found = _known(run, namespace)
    if found is not None:
        require_own_process(found, "resume")
    script = found is not None and (not home().api_url or of_a_script(found))
    if found is not None and not parameter and (script or not here):
        goes_on = _answered_there(found, value) if home().api_url else answered_here(found, value, given=given is not None)
        if goes_on:
            return _asked(found, json=json)
    _resume_here(
        found["uid"] if found is not None else run, storage, entrypoint, parameters_of(parameter or []), progress=progress, json=json
    )
    return None


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


def _known(run: str, namespace: str | None) -> Document | None:
    """The run as history knows it; None where it does not: its results may be kept all the same."""
    where = home()
    if not where.api_url and where.database is None:
        return None
    try:
        with place(cluster=False, namespace=namespace) as history:
            return history.flow_run(run)
    except FlowRunNotFound:
        return None


def _answered_there(found: Document, value: Any) -> bool:
    """Tell the API; True where nothing is to be started here: a cluster's run, or one that waits in its process."""
    from mintaka.recording.remote_history import RemoteHistory  # noqa: PLC0415 - start-up time: httpx

    of_a_cluster = not of_a_script(found)
    with RemoteHistory(home().api_url) as api:
        waits = api.pauses(found["uid"])
        if of_a_cluster or waits or value is not None:
            api.post(f"/flow-runs/{found['uid']}/resume", {"input": value})
    return of_a_cluster or any(not pause["suspended"] for pause in waits[:1])


def _resume_in_cluster(run: str, value: Any, namespace: str | None, *, given: bool) -> Document:
    """Answer it through the API where it waits for something, else take spec.suspend back, or raise spec.reruns.

    Raises:
        BadArgument: it goes on, or is cancelled for good.
        HistoryError: the API refused.
    """
    from mintaka.cli.clusters import ClusterHistory, patch  # noqa: PLC0415 - start-up time

    with ClusterHistory(namespace) as where:
        found = where.resource_of(run)
        waits = [] if is_over(found) else where.pauses(found["uid"])
        if given or any(pause["schema"] is not None or not pause["suspended"] for pause in waits[:1]):
            where.post(f"/flow-runs/{found['uid']}/resume", {"input": value})
            return found
    state, spec = found["state"], found["spec"]
    if spec.get("cancel"):
        message = f"{run} is cancelled for good: create another FlowRun with spec.resumeFrom: {found['name']}"
        raise BadArgument(message)
    changes: dict[str, Any] = {"suspend": False} if spec.get("suspend") else {}
    if state["reason"] == SUSPENDED_ITSELF or is_over(found):
        changes["reruns"] = spec.get("reruns", 0) + 1
    if not changes:
        message = f"{run} is {state['name']}: it is neither suspended nor over, and waits for nothing"
        raise BadArgument(message)
    patch(found, changes)
    return found


def _asked(found: Document, *, json: bool) -> None:
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
