"""Arguments of a submitted call are those of the moment when it was submitted."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from mintaka import ThreadPoolTaskRunner, allow_failure, flow, quote, task, unmapped
from mintaka.testing import recorded


@dataclass
class Record:
    rows: list[Any] = field(default_factory=list)
    name: str = "before"


@dataclass(slots=True)
class Slotted:
    rows: list[Any]


@dataclass(frozen=True)
class Frozen:
    rows: list[Any]


class Model(BaseModel):
    rows: list[Any]
    name: str = "before"


class Pair(NamedTuple):
    a: Any
    b: Any


@task
def give(value: Any) -> Any:
    return value


@task
def use(gate: threading.Event, *values: Any, **named: Any) -> Any:
    """Begins at once, and looks at its arguments when the flow has changed them."""
    gate.wait(5)
    return values[0] if values else named["value"]


def changed(kind: str, value: Any) -> None:
    """Change `value` the way `kind` is changed."""
    {
        "list": lambda: value.append("after"),
        "dict": lambda: value.update(after=1),
        "set": lambda: value.add("after"),
        "bytes": lambda: value.extend(b"after"),
        "fields": lambda: (value.rows.append("after"), setattr(value, "name", "after")),
        "rows": lambda: value.rows.append("after"),
        "first": lambda: value[0].append("after"),
        "deep": lambda: value["a"][0]["b"][0].rows.append("after"),
        "counter": lambda: value.update(["after"]),
        "emptied": value.clear if hasattr(value, "clear") else None,
    }[kind]()


CASES: dict[str, tuple[str, Any, Any]] = {
    "a list grows": ("list", lambda: [1], [1]),
    "a list is emptied": ("emptied", lambda: [1], [1]),
    "a dict grows": ("dict", lambda: {"a": 1}, {"a": 1}),
    "an ordered dict grows": ("dict", lambda: OrderedDict(a=1), OrderedDict(a=1)),
    "a default dict grows": ("dict", lambda: defaultdict(list, a=[]), {"a": []}),
    "a counter counts on": ("counter", lambda: Counter("aa"), Counter("aa")),
    "a set grows": ("set", lambda: {1}, {1}),
    "a deque grows": ("list", lambda: deque([1], maxlen=3), deque([1])),
    "a bytearray grows": ("bytes", lambda: bytearray(b"a"), bytearray(b"a")),
    "a dataclass changes": ("fields", lambda: Record([1]), Record([1])),
    "a dataclass with slots changes": ("rows", lambda: Slotted([1]), Slotted([1])),
    "a list in a frozen dataclass grows": ("rows", lambda: Frozen([1]), Frozen([1])),
    "a model changes": ("fields", lambda: Model(rows=[1]), Model(rows=[1])),
    "a list in a tuple grows": ("first", lambda: ([1], 2), ([1], 2)),
    "a list in a named tuple grows": ("first", lambda: Pair([1], 2), Pair([1], 2)),
    "a list in a list grows": ("first", lambda: [[1]], [[1]]),
    "a list deep inside grows": ("deep", lambda: {"a": ({"b": [Record([1])]},)}, {"a": ({"b": [Record([1])]},)}),
}


@pytest.mark.parametrize(("kind", "make", "expected"), CASES.values(), ids=CASES)
@pytest.mark.parametrize("how", ["submit", "keyword", "map", "a task of an async flow", "with_options"])
def test_what_changes_after_the_submit_does_not_change_for_the_task(how: str, kind: str, make: Any, expected: Any) -> None:
    gate = threading.Event()
    given = make()

    def submit() -> Any:
        if how == "keyword":
            future = use.submit(gate, value=given)
        elif how == "map":
            (future,) = use.map(unmapped(gate), [given])
        elif how == "with_options":
            future = use.with_options(name="other", retries=1).submit(gate, given)
        else:
            future = use.submit(gate, given)
        changed(kind, given)
        gate.set()
        return future.result()

    async def main() -> Any:
        return submit()

    if how == "a task of an async flow":
        import asyncio  # noqa: PLC0415 - one of the ways

        seen = asyncio.run(flow(main)())
    else:
        seen = flow(submit)()
    assert seen == expected
    assert seen != given


@task
def slowly(value: int, gate: threading.Event) -> int:
    gate.wait(5)
    return value


@pytest.mark.parametrize(
    ("count", "grow"),
    [
        (len, lambda rows, future: rows.append(future)),
        (sum, lambda rows, future: rows.append(future)),
        (len, lambda rows, future: rows.append([future])),
        (len, lambda rows, future: rows.append({"a": (future,)})),
    ],
    ids=["futures", "their results", "futures in lists", "futures in dicts"],
)
def test_a_list_that_grows_between_submits(count: Any, grow: Any) -> None:
    @task
    def report(rows: list[Any]) -> int:
        return int(count(rows))

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def main() -> list[int]:
        gate = threading.Event()
        rows: list[Any] = []
        counts = []
        for i in range(6):
            grow(rows, slowly.submit(1, gate))
            if i % 2:
                counts.append(report.submit(rows))
        gate.set()
        return [future.result() for future in counts]

    assert main() == [2, 4, 6]


def test_a_list_that_is_waited_for_and_grows_waits_for_what_was_in_it() -> None:
    @flow
    def main() -> int:
        first, never = threading.Event(), threading.Event()
        waits = [slowly.submit(1, first)]
        future = give.submit(5, wait_for=waits)
        waits.append(slowly.submit(2, never))
        first.set()
        value = future.result(timeout=4)
        never.set()
        return value

    assert main() == 5


def test_an_annotated_argument_is_a_snapshot_too() -> None:
    gate = threading.Event()

    @flow
    def main() -> Any:
        rows: list[Any] = [slowly.submit(1, gate)]
        future = give.submit(allow_failure(rows))
        rows.append(2)
        gate.set()
        return future.result()

    assert main() == [1]


def test_what_is_quoted_and_any_other_object_are_passed_as_they_are() -> None:
    class Box:
        rows: Any = ()

    rows, box = [1], Box()

    @flow
    def main() -> None:
        assert give.submit(quote(rows)).result() is rows
        assert give.submit(box).result() is box
        assert give.submit([box]).result()[0] is box

    main()


def test_what_a_call_is_given_twice_is_one_object_for_it_too() -> None:
    rows: list[Any] = [1]

    @task
    def same(a: Any, b: Any) -> bool:
        return a is b and a["rows"] is not rows and a["rows"] is a["again"][0]

    given = {"rows": rows, "again": (rows,)}
    assert flow(lambda: same.submit(given, given).result())()


def test_what_stands_in_itself_does_so_in_the_snapshot() -> None:
    whole: list[Any] = [([],)]
    whole.append((whole,))

    @flow
    def main() -> Any:
        return give.submit(whole).result()

    seen = main()
    assert seen is not whole
    assert seen[1][0] is seen
    assert seen[0][0] is not whole[0][0]


def test_the_snapshot_of_a_result_is_known_as_that_result() -> None:
    @task
    def inside(value: Any) -> Any:
        return len(value)

    @task
    def outside(value: Any) -> Any:
        return inside(value)

    with recorded() as history:
        flow(lambda: outside.submit(give([1, 2])).result())()
    assert history.upstream_of("outside-1") == {"give-0"}
    assert history.upstream_of("inside-2") == {"give-0"}


def test_calls_of_one_map_share_a_snapshot() -> None:
    whole: Any = [[] for _ in range(10)]

    @task
    def second(_n: int, value: Any) -> Any:
        return value

    first, other = flow(lambda: second.map(range(2), unmapped(whole)).result())()
    assert first is other
    assert first is not whole
