"""The same trivial flows under either library: only the import differs."""

from __future__ import annotations

import asyncio
import gc
import importlib
import os
from pathlib import Path
from typing import Any

#: How tasks are called, in the order of the tables.
CASES = ("call", "submit", "map", "gather")


def flows(library: str) -> dict[str, Any]:  # noqa: C901 - one function a case
    """Flows of `n` trivial tasks by case, made with the decorators of `library` (mintaka or prefect); they return `n`.

    Also `flow`, which calls `n` flows without a task one after the other, `called`, which does so within a flow, and `memory`, which calls `n` tasks and returns by
    how many bytes the process has grown.
    """
    made: Any = importlib.import_module(library)

    @made.task
    def add(a: int, b: int = 1) -> int:
        return a + b

    @made.task
    async def add_async(a: int, b: int = 1) -> int:
        return a + b

    @made.flow
    def call(n: int) -> int:
        return sum(add(i) - i for i in range(n))

    @made.flow
    def submit(n: int) -> int:
        futures = [add.submit(i) for i in range(n)]
        return sum(future.result() - i for i, future in enumerate(futures))

    @made.flow
    def mapped(n: int) -> int:
        return sum(result - i for i, result in enumerate(add.map(range(n)).result()))

    @made.flow
    async def gather(n: int) -> int:
        results = await asyncio.gather(*(add_async(i) for i in range(n)))
        return sum(result - i for i, result in enumerate(results))

    @made.flow
    def nothing() -> None:
        return

    def flow(n: int) -> int:
        for _ in range(n):
            nothing()
        return n

    @made.flow
    def called(n: int) -> int:
        for _ in range(n):
            nothing()
        return n

    @made.flow
    def memory(n: int) -> int:
        for i in range(n // 10):
            add(i)
        gc.collect()
        before = resident_bytes()
        for i in range(n):
            add(i)
        gc.collect()
        return resident_bytes() - before

    return {"call": call, "submit": submit, "map": mapped, "gather": gather, "flow": flow, "called": called, "memory": memory}


def resident_bytes() -> int:
    """The memory of this process."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
