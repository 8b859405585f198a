"""A flow run of this process while it goes on: on a terminal as a picture of its tasks, under what it prints and logs."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from mintaka.cli.above import Above
from mintaka.cli.columns import columns
from mintaka.cli.counting import counted
from mintaka.cli.showing import COLOURS, lasting, print_json
from mintaka.cli.ticking import Ticking

if TYPE_CHECKING:
    from collections.abc import Callable

    from mintaka.cli.following import Followed
    from mintaka.cli.tally import Group as TaskGroup
    from mintaka.cli.tally import Tally

_SECONDS = 0.25
_LOOK_SECONDS = 0.5
_PLAIN_SECONDS = 10.0
_JSON_SECONDS = 1.0
_SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_BAR = 20
#: Lines of a terminal that are not for tasks.
_OTHER_LINES = 5
_BAD = ("failed", "crashed", "cancelled", "retrying")
_OVER = ("completed", "cached", "failed", "crashed", "cancelled")


def wants_picture() -> bool:
    """True where standard error is a terminal that can be drawn on."""
    return sys.stderr.isatty() and not Console(stderr=True).is_dumb_terminal


class Picture:
    """Draws on standard error, from `__enter__` to `__exit__`; the last picture stays."""

    def __init__(self, followed: Followed) -> None:
        self._followed = followed
        self._above = Above()
        self._console = Console(stderr=True, highlight=False, file=sys.stderr)
        self._live = Live(console=self._console, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)
        self._began = monotonic()
        self._ticking = Ticking(self._draw, _SECONDS)
        self._hook: Callable[..., Any] = sys.breakpointhook
        self._shown = False

    def __enter__(self) -> Self:
        """Begin."""
        self._above.take()
        self._live.start()
        self._shown = True
        sys.breakpointhook = self._debug
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        """The terminal is as it was, the last picture on it."""
        self._end()

    def _end(self) -> None:
        if not self._shown:
            return
        self._shown = False
        sys.breakpointhook = self._hook
        self._ticking.stop()
        self._above.give_back()
        self._print(self._above.lines(rest=True))
        self._live.update(Group(*tally_lines(self._followed.look(), self._console.height - _OTHER_LINES)), refresh=True)
        self._live.stop()

    def _debug(self, *args: Any, **kwargs: Any) -> Any:
        """`breakpoint()`: the debugger has the terminal, and nothing is drawn any more."""
        self._end()
        return self._hook(*args, **kwargs)

    def _draw(self) -> None:
        self._print(self._above.lines())
        lines = tally_lines(self._followed.look(), self._console.height - _OTHER_LINES)
        self._live.update(Group(*lines, self._head()), refresh=True)

    def _print(self, text: str) -> None:
        if text:
            self._console.print(Text.from_ansi(text.removesuffix("\n")), soft_wrap=True)

    def _head(self) -> Text:
        run = self._followed.launch.run
        seconds = monotonic() - self._began
        name, state = ("…", None) if run is None else (run.name, run.state)
        head = Text(f"{_SPINNER[int(seconds / _SECONDS) % len(_SPINNER)]} {name} ", no_wrap=True, overflow="ellipsis")
        head.append(state.name if state else "Pending", style=COLOURS.get(state.type if state else "", ""))
        return head.append(f" {lasting(seconds)}")


class Silence:
    """Shows nothing: looks now and then, so that what was noted for the sum at the end does not pile up."""

    def __init__(self, followed: Followed, seconds: float = inf) -> None:
        """`seconds`: how often to say something at most."""
        self._followed = followed
        self._began = self._last = monotonic()
        self._seconds = seconds
        self._said: dict[str, int] = {}
        self._ticking = Ticking(self._turn, min(seconds, _LOOK_SECONDS))

    def __enter__(self) -> Self:
        """Begin."""
        self._ticking.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End."""
        self._ticking.stop()

    def _turn(self) -> None:
        tally = self._followed.look()
        if monotonic() - self._last >= self._seconds:
            self._last = monotonic()
            self._say(tally.counts())

    def _say(self, counts: dict[str, int]) -> None:
        """Say something, once in a while."""


class PlainLines(Silence):
    """Says now and then on standard error how far the run is: where nothing can be drawn."""

    def __init__(self, followed: Followed, seconds: float = _PLAIN_SECONDS) -> None:
        super().__init__(followed, seconds)

    def _say(self, counts: dict[str, int]) -> None:
        run = self._followed.launch.run
        if counts != self._said and run is not None:
            self._said = counts
            sys.stderr.write(f"{run.name} {run.state.name} {lasting(monotonic() - self._began)}: {counts_text(counts)}\n")


class JsonLines(Silence):
    """The same for programs: one JSON document a line on standard output, at most one a second. What the flow prints goes to
    standard error meanwhile.
    """

    def __init__(self, followed: Followed, seconds: float = _JSON_SECONDS) -> None:
        super().__init__(followed, seconds)
        self._out = sys.stdout
        self._elsewhere = redirect_stdout(sys.stderr)

    def __enter__(self) -> Self:
        """Begin."""
        self._elsewhere.__enter__()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        """End."""
        super().__exit__()
        self._elsewhere.__exit__(None, None, None)

    def _say(self, counts: dict[str, int]) -> None:
        run = self._followed.launch.run
        if counts != self._said and run is not None:
            self._said = counts
            state = {"type": run.state.type, "name": run.state.name}
            seconds = round(monotonic() - self._began, 3)
            told = {"kind": "progress", "uid": self._followed.launch.flow_run_id, "state": state, "seconds": seconds, "tasks": counts}
            print_json(told, self._out)


def tally_lines(tally: Tally, most: int) -> list[Text]:
    """At most `most` lines, one for each task: how many of how many are over, and in which states they are."""
    groups = list(tally.groups())
    shown = groups if len(groups) <= most else _chosen(groups, max(most - 1, 1))
    lines = columns(("", "", "", ""), [_row(group) for group in shown])
    for line in lines:
        line.no_wrap, line.overflow = True, "ellipsis"
    if len(shown) < len(groups):
        lines.append(Text(f"… and {len(groups) - len(shown)} more", style="dim"))
    return lines


def _chosen(groups: list[TaskGroup], most: int) -> list[TaskGroup]:
    """Those that go on or went wrong before those that are done, in their old order."""
    ranked = sorted(range(len(groups)), key=lambda index: (_rank(groups[index]), -index))[:most]
    return [groups[index] for index in sorted(ranked)]


def _rank(group: TaskGroup) -> int:
    counts = group.counts()
    if any(bucket in counts for bucket in _BAD):
        return 0
    return 2 if all(bucket in _OVER for bucket in counts) else 1


def _row(group: TaskGroup) -> tuple[str, str, Text, Text]:
    counts = group.counts()
    total = sum(counts.values())
    over = sum(counts.get(bucket, 0) for bucket in _OVER)
    filled = _BAR * over // total if total else 0
    bar = Text("━" * filled, style="red" if counts.keys() & {"failed", "crashed"} else "green")
    bar.append("━" * (_BAR - filled), style="bright_black")
    name = f"{'  ' * group.depth}{group.name}"
    told = {**counts, **({"retried": group.retried} if group.retried else {})}
    if over == total and counts.keys() == {"completed"}:
        told.pop("completed")
    return name, f"{over}/{total}", bar, counted(told)


def counts_text(counts: dict[str, int]) -> str:
    """Counts in one line."""
    return ", ".join(f"{count} {bucket}" for bucket, count in counts.items()) or "no task runs"
