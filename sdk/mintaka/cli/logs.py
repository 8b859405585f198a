"""`mintaka logs`: the log of a flow run, or of one of its task runs."""

from __future__ import annotations

import heapq
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
from mintaka.histories import Wanted
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
  mintaka logs etl-7c1a2f90 --called            and of the flow runs that it called
"""
_PAUSE_SECONDS = 0.5
#: How many called flow runs are included.
_CALLED_LIMIT = 10_000
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
    called: Annotated[bool, typer.Option("--called", help="Include the flow runs that it called, at any depth.")] = False,
    json: JsonOption = False,
    namespace: NamespaceOption = None,
    cluster: ClusterOption = False,
) -> None:
    """Print the log of a flow run, or of one of its task runs."""
    number = logging.getLevelNamesMapping().get(level.upper())
    if number is None:
        message = f"--level takes DEBUG, INFO, WARNING, ERROR or CRITICAL, not {level!r}"
        raise BadArgument(message)
    if called and task_run is not None:
        message = "--called is for the log of a flow run: leave TASK_RUN out"
        raise BadArgument(message)
    with place(cluster=cluster, namespace=namespace) as where:
        found = where.flow_run(run)
        if attempt is not None and attempt > found["attempt"] and not follow:
            message = f"flow run {found['name']} has no attempt {attempt}: its last is {found['attempt']}"
            raise BadArgument(message)
        n = None if task_run is None else _number_of(where, found, task_run, attempt)
        asked = Asked(number, _instant_of(since, datetime.now(UTC)), n, tail)
        show = print_json if json else lambda line: console().print(_told(line), soft_wrap=True)
        source = _Lines(where, found, called=called)
        if follow:
            _follow(source, found, asked, attempt, show)
        else:
            source.print(attempt or max(found["attempt"], 1), asked, show)


def _follow(source: _Lines, run: Document, asked: Asked, attempt: int | None, show: Any) -> None:
    """Until the run is over, or the attempt where one is given; an attempt is printed to its end before the next begins."""
    current = attempt or max(run["attempt"], 1)
    while True:
        over, newest = is_over(run), max(run["attempt"], 1)  # asked first: what it logged before that is there then
        source.print(current, asked, show)
        asked = asked._replace(tail=None)
        if attempt is None and newest > current:
            current += 1
            source.last.clear()
            sys.stderr.write(f"attempt {current}\n")
        elif over or newest > current:
            return
        else:
            sleep(_PAUSE_SECONDS)
        run = source.where.flow_run(run["uid"])


class _Lines:
    """The lines of a flow run and, if `called`, of those that it called, in the order they were logged.

    `last` is the number of the last line that was read of each, by uid.
    """

    def __init__(self, where: History, run: Document, *, called: bool) -> None:
        self.where = where
        self.last: dict[str, int] = {}
        self._run = run
        self._called = called

    def print(self, attempt: int, asked: Asked, show: Any) -> None:
        """Print the lines of an attempt that were not read before."""
        names = self._names()
        found = heapq.merge(*(self._of(uid, name, attempt, asked) for uid, name in names.items()), key=lambda line: line["seq"])
        lines = asked.of(found)
        for line in lines if asked.tail is None else deque(lines, maxlen=asked.tail):
            show(line)

    def _names(self) -> dict[str, str]:
        """The name of each flow run by uid, parents first; "" for the requested one."""
        names = {self._run["uid"]: ""}
        if self._called:
            below = self.where.flow_runs(Wanted(called=True, root=self._run.get("root") or self._run["uid"]), limit=_CALLED_LIMIT)
            found = {run["uid"]: run for run in below}

            def is_below(run: Document) -> bool:
                while run["parent"] != self._run["uid"] and run["parent"] in found:
                    run = found[run["parent"]]
                return bool(run["parent"] == self._run["uid"])

            names |= {run["uid"]: run["name"] for run in below if is_below(run)}
        return names

    def _of(self, uid: str, name: str, attempt: int, asked: Asked) -> Iterator[Document]:
        for line in self.where.logs(uid, attempt=attempt, after=self.last.get(uid), level=asked.level):
            self.last[uid] = line["seq"]
            yield {**line, "flow_run": uid, "flow_run_name": name} if name else line


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
    places = [str(part) for part in (line.get("flow_run_name"), line["n"]) if part not in (None, "")]
    of = f" [{' '.join(places)}]" if places else ""
    text = Text().append(f"{instant(line['time']):%Y-%m-%d %H:%M:%S.%f}"[:-3] + "Z ", style="dim")
    text.append(f"{logging.getLevelName(line['level']):<7}", style=_STYLES.get(line["level"], ""))
    return text.append(f"{of} {line['message']}")
