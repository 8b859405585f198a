"""`mintaka logs`: the log of a flow run, or of one of its task runs."""

from __future__ import annotations

import logging
import re
import sys
from collections import deque
from datetime import UTC, datetime, timedelta
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer
from rich.text import Text

from mintaka.cli.parsing import BadArgument, JsonOption
from mintaka.cli.places import ClusterOption, NamespaceOption, RunArgument, place
from mintaka.cli.showing import console, instant, is_over, print_json
from mintaka_core.durations import cap_seconds
from mintaka_core.instants import later

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mintaka.histories import Document, History

EPILOG = """
Examples:
  mintaka logs etl-7c1a2f90 --follow            until the run is over, through all its attempts
  mintaka logs etl-7c1a2f90 load-3              of one task run, by name, number or id
  mintaka logs etl-7c1a2f90 --level warning --since 10m --tail 50
"""
_PAUSE_SECONDS = 0.5
_UNIT_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_STYLES = {logging.WARNING: "yellow", logging.ERROR: "red", logging.CRITICAL: "red bold"}


class Asked(NamedTuple):
    """Which lines: of at least `level`, since `since`, of task run `n` (None: of all), at most the last `tail` to begin with."""

    level: int
    since: datetime | None
    n: int | None
    tail: int | None

    def of(self, lines: Iterable[Document]) -> Iterator[Document]:
        """Those of `lines` that are asked for."""
        for line in lines:
            if (self.n is None or line["n"] == self.n) and (self.since is None or instant(line["time"]) >= self.since):
                yield line


def command(
    run: RunArgument,
    task_run: Annotated[str | None, typer.Argument(help="One of its task runs, by name, number or id.", metavar="TASK_RUN")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run is over.")] = False,
    level: Annotated[str, typer.Option(metavar="LEVEL", help="Lines of at least this level.")] = "DEBUG",
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Lines since then: 30s, 10m, 2h, 1d, or a time such as 2026-01-31T12:00:00Z.")
    ] = None,
    tail: Annotated[int | None, typer.Option(metavar="N", min=0, help="Only the last so many lines.")] = None,
    attempt: Annotated[int | None, typer.Option(metavar="N", min=1, help="Of which attempt. Default: the current one.")] = None,
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Print the log of a flow run, or of one of its task runs."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"--level takes DEBUG, INFO, WARNING, ERROR or CRITICAL, not {level!r}"
        raise BadArgument(message)
    with place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        if attempt is not None and attempt > found["attempt"] and not follow:
            message = f"flow run {found['name']} has no attempt {attempt}: its last is {found['attempt']}"
            raise BadArgument(message)
        n = None if task_run is None else _number_of(where, found, task_run, attempt)
        asked = Asked(number, _instant_of(since, datetime.now(UTC)), n, tail)
        show = print_json if json else lambda line: console().print(_told(line), soft_wrap=True)
        if follow:
            _follow(where, found, asked, attempt, show)
        else:
            _print(where, found["uid"], attempt, None, asked, show)


def _follow(where: History, run: Document, asked: Asked, attempt: int | None, show: Any) -> None:
    """Until the run is over, or the attempt where one is given; an attempt is printed to its end before the next begins."""
    current, last = attempt or max(run["attempt"], 1), None
    while True:
        over, newest = is_over(run), max(run["attempt"], 1)  # asked first: what it logged before that is there then
        last = _print(where, run["uid"], current, last, asked, show)
        asked = asked._replace(tail=None)
        if attempt is None and newest > current:
            current, last = current + 1, None
            sys.stderr.write(f"attempt {current}\n")
        elif over or newest > current:
            return
        else:
            sleep(_PAUSE_SECONDS)
        run = where.flow_run(run["uid"])


def _print(where: History, uid: str, attempt: int | None, last: int | None, asked: Asked, show: Any) -> int | None:
    """Print the lines after number `last`; returns the number of the last one that was looked at."""
    seen = last

    def looked() -> Iterator[Document]:
        nonlocal seen
        for line in where.logs(uid, attempt=attempt, after=last, level=asked.level):
            seen = line["seq"]
            yield line

    lines = asked.of(looked())
    for line in lines if asked.tail is None else deque(lines, maxlen=asked.tail):
        show(line)
    return seen


def _number_of(where: History, run: Document, task_run: str, attempt: int | None) -> int:
    """The number of a task run that is called by name, number or id."""
    for task in where.task_runs(run["uid"], attempt=attempt):
        if task_run in (task["name"], str(task["n"]), task.get("id")):
            return int(task["n"])
    message = f"flow run {run['name']} has no task run {task_run!r}: mintaka get {run['name']} shows them"
    raise BadArgument(message)


def _instant_of(text: str | None, now: datetime) -> datetime | None:
    """`10m` ago, or a time; in UTC where it does not say."""
    if text is None:
        return None
    if parts := re.fullmatch(r"(\d+(?:\.\d+)?)([smhd])", text):
        return later(now, -timedelta(seconds=cap_seconds(float(parts[1]) * _UNIT_SECONDS[parts[2]])))
    try:
        given = datetime.fromisoformat(text)
    except ValueError as error:
        message = f"--since takes 30s, 10m, 2h, 1d, or a time such as 2026-01-31T12:00:00Z, not {text!r}"
        raise BadArgument(message) from error
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def _told(line: dict[str, Any]) -> Text:
    of = "" if line["n"] is None else f" [{line['n']}]"
    text = Text().append(f"{instant(line['time']):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z ", style="dim")
    text.append(f"{logging.getLevelName(line['level']):<7}", style=_STYLES.get(line["level"], ""))
    return text.append(f"{of} {line['message']}")
