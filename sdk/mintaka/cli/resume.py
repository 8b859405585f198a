"""`mintaka resume`: a flow run starts again here, and takes what is finished from its persisted results."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mintaka.cli.parsing import parameters_of
from mintaka.resuming import resume
from mintaka.runner import exit_code

Run = Annotated[str, typer.Argument(help="The flow run's id.")]
Storage = Annotated[str | None, typer.Option("--storage", help="Where its results are: a URL or folder; else MINTAKA_RESULT_STORAGE.")]
Entrypoint = Annotated[str, typer.Option("--entrypoint", help="The flow, where its code is somewhere else now: path/to/file.py:function.")]
Parameter = Annotated[list[str] | None, typer.Option("--parameter", "-p", help="name=value, in place of what the run had.")]


def command(run: Run, storage: Storage = None, entrypoint: Entrypoint = "", parameter: Parameter = None) -> None:
    """Go on with a flow run in a new one, which shares its results."""
    again, state = resume(run, storage=storage, entrypoint=entrypoint, parameters=parameters_of(parameter or []))
    told = ": ".join(part for part in (state.name, state.reason, state.message) if part)
    sys.stderr.write(f"flow run {again}, which resumed {run}, ended {told}\n")
    if state.is_completed() and (value := state.result()) is not None:
        sys.stdout.write(f"{value}\n")
    sys.exit(exit_code(state))
