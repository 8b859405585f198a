"""`mintaka run`: run a flow in this process and show its progress; or create a run of a flow deployment in the current context."""

from __future__ import annotations

import sys
from contextlib import nullcontext, redirect_stdout
from time import monotonic
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.ending import Ended, interruptible, leave, tell
from mintaka.cli.following import Followed
from mintaka.cli.live import JsonLines, Picture, PlainLines, Silence, wants_picture
from mintaka.cli.parsing import BadArgument, JsonOption, ProgressOption, parameters_of
from mintaka.cli.places import DEPLOYMENT, ClusterOption, NamespaceOption, NewRun
from mintaka.engine.child_processes import CHILD_PROCESSES
from mintaka.entrypoints import imported_flow
from mintaka.exceptions import ParameterError
from mintaka.persisting.resuming import called
from mintaka.recording.launching import launched

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from mintaka.context import Launch
    from mintaka.flows import Flow

EPILOG = """
Examples:
  mintaka run flow.py:main                      the flow `main` of the file
  mintaka run package.flows:nightly -p n=3      one of a module, with a parameter
  mintaka run flow.py:main --json | tail -1     for programs: the last line is the run
  mintaka run deployment/etl -p day=today       a run of a deployment, at the server or in the cluster
  mintaka run deployment/etl --watch            the same, shown until it is over
"""
EXIT_CODES = (
    "the run's own: 0 COMPLETED, 1 FAILED, 3 CANCELLED (Ctrl-C), 4 CRASHED, 143 SIGTERM; 2 if it could not start; "
    "of a deployment without --wait or --watch: 0 created"
)


def command(
    target: Annotated[
        str,
        typer.Argument(help="The flow: path/to/file.py:function or module:function; or deployment/NAME.", metavar="FLOW|deployment/NAME"),
    ],
    parameter: Annotated[
        list[str] | None, typer.Option("--parameter", "-p", metavar="NAME=VALUE", help="name=value; the value is JSON, or else text.")
    ] = None,
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the run. Default: the flow's, with the run's number.")] = "",
    tag: Annotated[list[str] | None, typer.Option(metavar="TAG", help="A word to find the run by.")] = None,
    remote: Annotated[
        bool,
        typer.Option("--remote", help="Run it at the server or in the cluster, as deployments always do. A flow's file is sent along."),
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", help="For a run there: wait for its end; the exit code shows how it ended.")] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="For a run there: show it until its end; the exit code shows how it ended.")
    ] = False,
    progress: ProgressOption = True,
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Run a flow in this process, or a deployment at its server or cluster."""
    there = remote or target.startswith(DEPLOYMENT)
    _check_options(there, wait=wait, watch=watch, namespace=namespace, cluster=cluster)
    if there:
        from mintaka.cli.starting import Following, start  # noqa: PLC0415 - start-up time

        new = NewRun(parameters_of(parameter or []), name, tuple(tag or ()))
        start(target, new, Following(watch, wait, json), namespace=namespace, cluster=cluster)
        return
    with redirect_stdout(sys.stderr) if json else nullcontext():
        flow = imported_flow(target)
    values = parameters_of(parameter or [])
    flow.parameters.bind_by_name(values)  # what does not fit is said before anything begins
    ended = followed_run(flow, values, name=name, tags=tuple(tag or ()), progress=progress, json=json)
    if isinstance(ended.state.error, ParameterError):
        raise ended.state.error
    tell(ended, json=json)
    leave(ended)


def _check_options(there: bool, *, wait: bool, watch: bool, namespace: str | None, cluster: bool) -> None:
    if not there and (wait or watch or namespace or cluster):
        message = "--wait, --watch, --namespace and --cluster require --remote or deployment/NAME: this run is in this process"
        raise BadArgument(message)


def followed_run(
    flow: Flow[Any, Any], values: dict[str, Any], *, name: str = "", tags: tuple[str, ...] = (), progress: bool = True, json: bool = False
) -> Ended:
    """Run `flow` in this process, shown as `progress` and `json` say; how it ended, be it by Ctrl-C."""
    launch = launched(flow.name)
    launch.name, launch.tags = name, tags
    return carried_out(flow, values, launch, progress=progress, json=json)


def carried_out(flow: Flow[Any, Any], values: dict[str, Any], launch: Launch, *, progress: bool, json: bool) -> Ended:
    """Run `flow` as `launch` says, shown as `progress` and `json` say; how it ended, be it by Ctrl-C. What it leaves ends with this process."""
    CHILD_PROCESSES.dedicate()
    followed = Followed(launch)
    began = monotonic()
    with _shown(followed, progress=progress, json=json):
        state, interrupted = interruptible(lambda: called(flow, values, launch), launch)
    return Ended(launch, state, followed.look(), monotonic() - began, interrupted)


def _shown(followed: Followed, *, progress: bool, json: bool) -> AbstractContextManager[Any]:
    if json:
        return JsonLines(followed)
    if not progress:
        return Silence(followed)
    return Picture(followed) if wants_picture() else PlainLines(followed)
