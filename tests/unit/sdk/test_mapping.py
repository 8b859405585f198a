"""What `.map()` splits, repeats and refuses."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from mintaka import allow_failure, flow, quote, task, unmapped
from mintaka.exceptions import MappingLengthMismatch, MappingMissingIterable
from mintaka.testing import recorded


@task
def pair(a: Any, b: Any = "default") -> Any:
    return a, b


@task
def make(value: Any) -> Any:
    return value


@task
def bad() -> Any:
    raise ValueError("broken")


SPLITS = {
    "a list is split, defaults are not": (lambda: pair.map([1, 2]), [(1, "default"), (2, "default")]),
    "lists of one length go in parallel": (lambda: pair.map([1, 2], [3, 4]), [(1, 3), (2, 4)]),
    "by keyword as well": (lambda: pair.map(a=[1, 2], b=3), [(1, 3), (2, 3)]),
    "a string is one value": (lambda: pair.map([1, 2], "ab"), [(1, "ab"), (2, "ab")]),
    "bytes are one value": (lambda: pair.map([1], b"ab"), [(1, b"ab")]),
    "unmapped lists are repeated": (lambda: pair.map([1, 2], unmapped([3, 4])), [(1, [3, 4]), (2, [3, 4])]),
    "ranges, sets and generators are split": (lambda: pair.map(range(2), (n for n in (5, 6))), [(0, 5), (1, 6)]),
    "a dict is split over its keys": (lambda: pair.map({"x": 1, "y": 2}), [("x", "default"), ("y", "default")]),
    "the result of a future is split": (lambda: pair.map(make.submit([1, 2])), [(1, "default"), (2, "default")]),
    "a future of a single value is repeated": (lambda: pair.map([1, 2], make.submit(3)), [(1, 3), (2, 3)]),
    "an unmapped future is repeated": (lambda: pair.map([1, 2], unmapped(make.submit([3]))), [(1, [3]), (2, [3])]),
    "the futures of another map are split": (lambda: pair.map(make.map([1, 2])), [(1, "default"), (2, "default")]),
    "a list of futures is split": (lambda: pair.map([make.submit(1), 2]), [(1, "default"), (2, "default")]),
    "an empty list makes no calls": (lambda: pair.map([]), []),
    "a quoted list is split, its elements are quoted": (lambda: pair.map(quote([[1], 2])), [([1], "default"), (2, "default")]),
    "a quoted tuple, range or generator too": (lambda: pair.map(quote((1, 2)), quote(n for n in range(2))), [(1, 0), (2, 1)]),
    "a quoted set by keyword": (lambda: pair.map(a=[1], b=quote({3})), [(1, 3)]),
    "a quoted value is repeated": (lambda: pair.map([1, 2], quote(3)), [(1, 3), (2, 3)]),
    "a quoted text is one value": (lambda: pair.map([1, 2], quote("ab")), [(1, "ab"), (2, "ab")]),
    "an unmapped quoted list is repeated": (lambda: pair.map([1, 2], unmapped(quote([3]))), [(1, [3]), (2, [3])]),
    "quoted beside what never ends": (lambda: pair.map([1, 2], quote(itertools.islice(itertools.count(), 2))), [(1, 0), (2, 1)]),
}


@pytest.mark.parametrize(("call", "expected"), SPLITS.values(), ids=SPLITS)
def test_what_is_split_and_what_is_repeated(call: Any, expected: list[Any]) -> None:
    @flow
    def main() -> Any:
        return call().result()

    assert main() == expected


@task
def kind(value: Any) -> str:
    return type(value).__name__


def test_a_quoted_future_is_not_waited_for() -> None:
    """Neither as an element of what is mapped over, nor repeated; it leaves no edge."""

    @flow
    def main() -> Any:
        future = make.submit([1, 2])
        return kind.map(quote([future, 3])).result(), kind_of_second.map([1], quote(future)).result()

    @task
    def kind_of_second(_: Any, value: Any) -> str:
        return type(value).__name__

    with recorded() as history:
        assert main() == (["Future", "int"], ["Future"])
    assert [run.upstream for run in history.runs.values()] == [(), (), (), ()]


def test_mapping_over_nothing_says_what_to_do() -> None:
    @flow
    def main() -> None:
        pair.map(1, b="text")

    with pytest.raises(MappingMissingIterable, match="at least one list"):
        main()


def test_lengths_that_differ_are_named() -> None:
    @flow
    def main() -> None:
        pair.map([1, 2], b=[1, 2, 3])

    with pytest.raises(MappingLengthMismatch, match="argument 0 has 2, b has 3"):
        main()


def test_what_never_ends_is_told_at_once_beside_a_list() -> None:
    @flow
    def main() -> None:
        pair.map([1, 2], itertools.repeat(3))

    with pytest.raises(MappingLengthMismatch, match=r"argument 0 has 2, 1 has 3"):
        main()


def test_mapping_over_a_result_is_an_edge_to_every_call() -> None:
    @flow
    def main() -> None:
        pair.map(make.submit([1, 2])).wait()
        pair.map(make([1, 2])).wait()
        pair.map(make.map([1, 2])).wait()

    with recorded() as history:
        main()
    edges = {run.name: history.upstream_of(run.name) for run in history.runs.values() if run.upstream}
    assert edges == {
        "pair-1": {"make-0"},
        "pair-2": {"make-0"},
        "pair-4": {"make-3"},
        "pair-5": {"make-3"},
        "pair-8": {"make-6"},
        "pair-9": {"make-7"},
    }


def test_mapping_over_a_failed_future_raises_its_exception() -> None:
    @flow
    def main() -> None:
        pair.map(bad.submit())

    with pytest.raises(ValueError, match="broken"):
        main()


@pytest.mark.parametrize("given", [(1,), ([1, 2], [1, 2, 3])], ids=["nothing to split", "two lengths"])
def test_what_cannot_be_mapped_is_told_with_the_name_of_the_task(given: tuple[Any, ...]) -> None:
    @flow
    def main() -> None:
        pair.map(*given)

    with pytest.raises((MappingMissingIterable, MappingLengthMismatch), match=r"^map\(\) of task pair "):
        main()


def test_one_failed_call_fails_only_what_depends_on_it() -> None:
    @task
    def odd(n: int) -> int:
        if n % 2:
            raise ValueError(n)
        return n

    @flow
    def main() -> Any:
        futures = pair.map(odd.map(range(4)))
        return [state.reason for state in pair.map(futures, return_state=True)], [
            type(item).__name__ for item in futures.result(raise_on_failure=False)
        ]

    assert main() == (["", "UpstreamFailed", "", "UpstreamFailed"], ["tuple", "UpstreamFailed", "tuple", "UpstreamFailed"])


def test_a_mapped_list_under_allow_failure_passes_exceptions_on() -> None:
    @flow
    def main() -> Any:
        return pair.map(allow_failure([make.submit(1), bad.submit()])).result()

    (one, two) = main()
    assert one == (1, "default")
    assert isinstance(two[0], ValueError)
