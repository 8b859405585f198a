"""`mintaka replay`: go through an earlier flow run again, its recorded results in the place of its tasks."""

from __future__ import annotations

import inspect
import pdb  # noqa: T100 - asked for with --pdb
import sys
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from mintaka.cli.manifest_files import Manifests
from mintaka.cli.parsing import BadArgument, JsonOption, parameters_of
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, place
from mintaka.cli.resume import Entrypoint, Parameter, Storage
from mintaka.cli.showing import print_json, told
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.exceptions import MissingResult
from mintaka.histories import FlowRunNotFound, HistoryError, is_called
from mintaka.persisting.kept_runs import kept_run
from mintaka.persisting.replaying import replay
from mintaka.runner import exit_code

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.persisting.replaying import Replay, Stop
    from mintaka.states import State

EPILOG = """
Examples:
  mintaka replay etl-7c1a2f90                             all of it: what failed runs for real
  mintaka replay etl-7c1a2f90 --until load                stop before `load`, and show its inputs
  mintaka replay etl-7c1a2f90 --until load --pdb          step through `load` with them
  mintaka replay etl-7c1a2f90 --rules rules.yaml          what would have been decided otherwise with these rules
  mintaka replay etl-7c1a2f90 --from load --storage s3://bucket/results --entrypoint flow.py:etl
"""
EXIT_CODES = "that of the state it ended in, as for run; 0 where it was stopped with --until; 2 where it could not begin"

Until = Annotated[
    str, typer.Option("--until", metavar="TASK", help="Stop before this task is called for the first time, and show its inputs.")
]
From = Annotated[str, typer.Option("--from", metavar="TASK", help="Run for real from the first call of this task on.")]
Pdb = Annotated[bool, typer.Option("--pdb", help="With --until: step through the task with its real inputs. Else: look at a failure.")]
Rules = Annotated[
    str, typer.Option("--rules", metavar="FILE", help="Run nothing: evaluate the decisions about the run again, with the rules of a file.")
]
#: Names on one line.
_SHOWN = 20


def command(
    run: RunArgument,
    until: Until = "",
    from_task: From = "",
    use_pdb: Pdb = False,
    storage: Storage = None,
    entrypoint: Entrypoint = "",
    parameter: Parameter = None,
    rules: Rules = "",
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Go through a flow run again; nothing is recorded or kept."""
    if rules:
        _take_decisions_again(run, rules, namespace=namespace, cluster=cluster, json=json)
        return
    if until and from_task:
        message = "--until and --from exclude each other"
        raise BadArgument(message)
    if json and use_pdb:
        message = "--json and --pdb exclude each other"
        raise BadArgument(message)
    CHILD_PROCESSES.dedicate()
    uid, within = _uids_of(run, storage, namespace=namespace, cluster=cluster)
    state, going = replay(
        uid,
        storage=storage,
        entrypoint=entrypoint,
        parameters=parameters_of(parameter or []),
        until=until,
        from_task=from_task,
        debug=_step_through if until and use_pdb else None,
        within=within,
    )
    if json:
        _print_json(within or uid, state, going)
    else:
        _tell(going, until)
    if state is None:
        if within and not going.begun:
            message = f"the replay of flow run {uid} did not reach the call of {within}: its code or its parameters have changed"
            raise BadArgument(message)
        return
    if use_pdb and not until and state.error is not None:
        pdb.post_mortem(state.error.__traceback__)
    if not json:
        sys.stderr.write(f"the replay ended {told(state.name, state.reason, state.message)}\n")
    sys.exit(exit_code(state))


def _uids_of(run: str, storage: str | None, *, namespace: str | None, cluster: bool) -> tuple[str, str]:
    """The uid of the run to go through, and that of a called run within it ("": it was not called). History is read only if
    `run` is a name, or a uid without persisted results; a `run` that history does not know is returned as it is.
    """
    try:
        uid = str(UUID(run))
    except ValueError:
        uid = ""
    if uid:
        with suppress(MissingResult):
            kept_run(uid, storage)
            return uid, ""
    with suppress(HistoryError if uid else FlowRunNotFound), place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        return (found["root"], found["uid"]) if is_called(found) else (found["uid"], "")
    return run, ""


def _print_json(uid: str, state: State | None, going: Replay) -> None:
    stop = going.stopped
    print_json(
        {
            "uid": uid,
            "state": state and {"type": state.type, "name": state.name, "reason": state.reason, "message": state.message},
            "replayed": going.replayed,
            "ran": going.ran,
            "lacking": going.lacking,
            "stopped": stop
            and {"task": stop.task, "args": list(map(repr, stop.args)), "kwargs": {k: repr(v) for k, v in stop.kwargs.items()}},
        }
    )


def _tell(going: Replay, until: str) -> None:
    sys.stderr.write(f"{len(going.replayed)} tasks replayed, {len(going.ran)} run\n")
    if going.ran:
        sys.stderr.write(f"run: {', '.join(going.ran[:_SHOWN])}{' …' if len(going.ran) > _SHOWN else ''}\n")
    for name, why in list(going.lacking.items())[:_SHOWN]:
        sys.stderr.write(f"{name} ran for real: {why}\n")
    if going.stopped is not None:
        sys.stdout.write(_shown(going.stopped))
    elif until:
        sys.stderr.write(f"task {until} was not called\n")


def _shown(stop: Stop) -> str:
    """The call as it would be written."""
    given = [*map(repr, stop.args), *(f"{name}={value!r}" for name, value in stop.kwargs.items())]
    return f"{stop.task}({', '.join(given)})\n"


def _step_through(body: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    if not inspect.iscoroutinefunction(body):
        return pdb.Pdb().runcall(body, *args, **kwargs)

    async def stepped() -> Any:
        pdb.set_trace()  # noqa: T100 - asked for with --pdb
        return await body(*args, **kwargs)

    return stepped()


def _take_decisions_again(run: str, file: str, *, namespace: str | None, cluster: bool, json: bool) -> None:
    """Print which decisions about a run would have been different with the rules of a file."""
    from mintaka.cli.rule_dry_runs import dry_run_of, rule_documents  # noqa: PLC0415 - only with --rules
    from mintaka.cli.rules import print_differences  # noqa: PLC0415 - likewise

    documents = rule_documents(Manifests(file))
    with place(cluster=cluster, namespace=namespace) as there:
        found = there.flow_run(run)
        answer = dry_run_of(there, documents, datetime.fromisoformat(found["created"]), namespace=found["namespace"], run=found["uid"])
    if json:
        print_json(answer)
    else:
        print_differences(answer)
