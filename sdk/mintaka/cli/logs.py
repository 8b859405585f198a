"""`mintaka logs`: the log of a flow run."""

from __future__ import annotations

import logging
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import ClusterOption, RunArgument, place
from mintaka.cli.showing import console, is_over, print_json

if TYPE_CHECKING:
    from mintaka.histories import History

_PAUSE_SECONDS = 0.5


def command(
    run: RunArgument,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    level: Annotated[str, typer.Option(help="Lines of at least this level.")] = "DEBUG",
    attempt: Annotated[int | None, typer.Option(min=1, help="Of which attempt. Default: the current one.")] = None,
    json: JsonOption = False,
    cluster: ClusterOption = False,
) -> None:
    """Print the log of a flow run."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"--level takes DEBUG, INFO, WARNING, ERROR or CRITICAL, not {level!r}"
        raise BadArgument(message)
    with place(cluster=cluster) as where:
        uid = where.flow_run(run)["uid"]
        last: int | None = None
        while True:
            over = is_over(where.flow_run(uid))  # asked first: what it logged before its end is there then
            last = _print(where, uid, attempt, last, number, json=json)
            if over or not follow:
                return
            sleep(_PAUSE_SECONDS)


def _print(where: History, uid: str, attempt: int | None, last: int | None, level: int, *, json: bool) -> int | None:
    """Print the lines after number `last`; returns the number of the last one."""
    for line in where.logs(uid, attempt=attempt, after=last, level=level):
        last = line["seq"]
        if json:
            print_json(line)
        else:
            console().print(_told(line), markup=False)
    return last


def _told(line: dict[str, Any]) -> str:
    of = "" if line["n"] is None else f" [{line['n']}]"
    return f"{line['time']} {logging.getLevelName(line['level']):<7}{of} {line['message']}"
