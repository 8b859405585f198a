"""Where the time of a task goes: `python benchmarks/sdk/where_time_goes.py [--case call] [--tasks 20000]`.

Every thread of the flow's process is looked at some hundred times a second; the CPU time it took since the last look is put
down to the innermost function it is in. So waiting counts for nothing, and short functions that are called often are seen
as they are, which a tracing profiler would blow up. Where a thread gives up the interpreter's lock it is seen more often
than elsewhere: read neighbouring functions together.
"""

from __future__ import annotations

import argparse
import asyncio
import inspect
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Self

from cases import CASES, flows

if TYPE_CHECKING:
    from types import FrameType

_INTERVAL_SECONDS = 0.002


class Sampler:
    """Adds up microseconds of CPU by thread and function, until it is told to stop."""

    def __init__(self) -> None:
        self.places: Counter[tuple[str, str]] = Counter()
        self._taken: dict[int, int] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def _look(self) -> None:
        own = threading.get_ident()
        while not self._over.wait(_INTERVAL_SECONDS):
            for ident, frame in sys._current_frames().items():  # noqa: SLF001 - the one way to see other threads
                if ident != own:
                    micros = _cpu_micros(ident)
                    self.places[_side_of(ident), _place(frame)] += max(micros - self._taken.get(ident, micros), 0)
                    self._taken[ident] = micros

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()


def _cpu_micros(ident: int) -> int:
    """What a thread has taken so far; 0 where it is gone."""
    try:
        return time.clock_gettime_ns(time.pthread_getcpuclockid(ident)) // 1000
    except OSError:
        return 0


def _side_of(ident: int) -> str:
    """Which part of the process a thread is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    name = names.get(ident, "?")
    return {"MainThread": "main thread", "mintaka-history": "history"}.get(name, "task runner" if name.startswith("mintaka-") else name)


def _place(frame: FrameType) -> str:
    """Module and function."""
    code = frame.f_code
    return f"{frame.f_globals.get('__name__', '?')}.{code.co_qualname}"


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", choices=CASES, default="call")
    parser.add_argument("--tasks", type=int, default=20_000)
    parser.add_argument("--seconds", type=float, default=10)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"MINTAKA_HOME": folder}
        body = flows("mintaka")[given.case]

        def once(n: int) -> None:
            made = body(n)
            if inspect.isawaitable(made):
                asyncio.run(_awaited(made))

        once(1000)
        rounds, began = 0, time.perf_counter()
        with Sampler() as sampler:
            while time.perf_counter() - began < given.seconds:
                once(given.tasks)
                rounds += 1
        micros = (time.perf_counter() - began) / rounds / given.tasks * 1e6
    total = sampler.places.total()
    per_task = total / rounds / given.tasks
    print(f"{given.case}: {micros:.1f} µs of wall clock per task under observation, history in SQLite")
    for side, seen in _sums(sampler.places).most_common():
        print(f"\n{side}: {seen / total:.0%}, {seen / total * per_task:.1f} µs of CPU a task")
        mine = Counter({place: count for (where, place), count in sampler.places.items() if where == side})
        for place, count in mine.most_common(14):
            print(f"  {count / total:6.1%}  {place}")


def _sums(places: Counter[tuple[str, str]]) -> Counter[str]:
    sums: Counter[str] = Counter()
    for (side, _), count in places.items():
        sums[side] += count
    return sums


async def _awaited(made: object) -> None:
    await made  # type: ignore[misc]


if __name__ == "__main__":
    main()
