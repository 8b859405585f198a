"""`mintaka run`: a flow here and now, without a cluster."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated

import typer

from mintaka.cli.parsing import JsonOption, flow_at, parameters_of
from mintaka.cli.showing import print_json
from mintaka.exceptions import ParameterError
from mintaka.runner import exit_code


def command(
    entrypoint: Annotated[str, typer.Argument(help="The flow: path/to/file.py:function or module:function.")],
    parameter: Annotated[list[str] | None, typer.Option("--parameter", "-p", help="name=value; the value is JSON, or else text.")] = None,
    json: JsonOption = False,
) -> None:
    """Run a flow here, in this process."""
    flow = flow_at(entrypoint)
    given = flow.run_with(parameters_of(parameter or []))
    state = asyncio.run(given) if flow.is_async else given
    if isinstance(state.error, ParameterError):
        raise state.error
    if json:
        ended = {"type": state.type, "name": state.name, "reason": state.reason, "message": state.message}
        print_json({"flow": flow.name, "state": ended, "result": state.data if state.is_completed() else None})
        sys.exit(exit_code(state))
    told = ": ".join(part for part in (state.name, state.reason, state.message) if part)
    sys.stderr.write(f"{flow.name} ended {told}\n")
    if state.is_completed() and state.data is not None:
        sys.stdout.write(f"{state.data}\n")
    sys.exit(exit_code(state))
