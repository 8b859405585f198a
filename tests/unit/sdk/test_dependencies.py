"""Edges between runs, and what a failed upstream does."""

from __future__ import annotations

import gc
from collections import namedtuple
from dataclasses import dataclass
from typing import Any

import pytest

from mintaka import allow_failure, flow, quote, task, unmapped
from mintaka.calling.lineage import Lineage
from mintaka.exceptions import UpstreamFailed
from mintaka.testing import recorded
from mintaka_core.states import COMPLETED, FAILED


@task
def make(value: Any = 1) -> Any:
    return value


@task
def use(*values: Any, **named: Any) -> Any:
    return values, named


@task
def bad() -> Any:
    raise ValueError("broken")


@dataclass
class Box:
    inside: Any
    label: str = "box"


Pair = namedtuple("Pair", "left right")  # noqa: PYI024 - an untyped one on purpose

WRAPPINGS = {
    "a future alone": (lambda f: f, 5),
    "a list": (lambda f: [0, f], [0, 5]),
    "a tuple": (lambda f: (f, 1), (5, 1)),
    "a named tuple": (lambda f: Pair(f, 1), Pair(5, 1)),
    "a set": (lambda f: {f}, {5}),
    "a dict": (lambda f: {"a": f}, {"a": 5}),
    "a dataclass": (Box, Box(5)),
    "nested": (lambda f: {"a": [Box((f,))]}, {"a": [Box((5,))]}),
    "a future under allow_failure": (allow_failure, 5),
    "a list under allow_failure": (lambda f: allow_failure([f]), [5]),
}


@pytest.mark.parametrize(("wrap", "expected"), WRAPPINGS.values(), ids=WRAPPINGS)
def test_futures_are_found_in_collections_and_replaced_by_their_results(wrap: Any, expected: Any) -> None:
    @flow
    def main() -> Any:
        future = make.submit(5)
        assert use(wrap(future)) == ((expected,), {})
        assert use.submit(wrap(future)).result() == ((expected,), {})
        return use(named=wrap(future))

    with recorded() as history:
        assert main() == ((), {"named": expected})
    assert [history.upstream_of(f"use-{n}") for n in (1, 2, 3)] == [{"make-0"}] * 3


def circle() -> tuple[Any, ...]:
    knot = Box([])
    knot.inside.append({"knot": knot})
    return (knot,)


def shared() -> tuple[Any, ...]:
    whole: Any = [object()]
    for _ in range(100):
        whole = [whole, whole]
    return (whole,)


def deep() -> tuple[Any, ...]:
    whole: Any = []
    for _ in range(100_000):
        whole = [whole]
    return (whole,)


@pytest.mark.parametrize(
    "argument", [circle, shared, deep, lambda: (Box,)], ids=["in a circle", "in itself twice, 100 times", "deep", "a class"]
)
def test_arguments_of_any_shape_are_passed_as_they_are(argument: Any) -> None:
    (given,) = argument()

    @flow
    def main() -> Any:
        assert use(given)[0][0] is given
        assert type(use.submit(given, wait_for=[given]).result()[0][0]) is type(given)
        return given

    assert main() is given


@pytest.mark.parametrize("argument", [circle, shared, lambda: (Box,)], ids=["in a circle", "in itself twice, 100 times", "a class"])
def test_a_future_beside_arguments_of_any_shape_is_replaced(argument: Any) -> None:
    (given,) = argument()

    @flow
    def main() -> Any:
        return use([given, make.submit(5)])

    (((same, five),), _) = main()
    assert same is given
    assert five == 5


def test_a_list_that_stands_in_itself_stays_there_as_it_was() -> None:
    @flow
    def main() -> Any:
        given: list[Any] = [make.submit(5)]
        given.append(given)
        ((made,), _) = use(given)
        return made[0], made[1] is given

    assert main() == (5, True)


def test_what_refuses_to_be_made_anew_with_results_in_it_fails_its_task() -> None:
    @dataclass
    class Strict:
        inside: Any

        def __post_init__(self) -> None:
            if self.inside == 5:
                raise ValueError("five is too many")

    @flow
    def main() -> Any:
        state = use(Strict(make.submit(5)), return_state=True)
        assert state.message == "five is too many"
        return "went on"

    with recorded() as history:
        assert main() == "went on"
    assert history.states_of("use-1") == ["Pending", "Failed"]


def test_a_state_as_argument_is_replaced_by_its_result() -> None:
    @flow
    def main() -> Any:
        return use([make(4, return_state=True)])

    assert main() == (([4],), {})


def test_what_is_quoted_is_passed_as_it_is() -> None:
    @flow
    def main() -> Any:
        future = make.submit(5)
        ((given,), _) = use(quote([future]))
        return given[0] is future

    with recorded() as history:
        assert main() is True
    assert history.upstream_of("use-1") == set()


def test_arguments_without_futures_are_the_same_objects() -> None:
    given = [[1, {"a": (2,)}], {"b": Box(3)}]

    @flow
    def main() -> Any:
        return use(given)

    assert main()[0][0] is given


def test_wait_for_is_an_edge_without_a_value() -> None:
    @flow
    def main() -> Any:
        first = make.submit(1)
        use(2, wait_for=[first])
        use.submit(3, wait_for=first).result()

    with recorded() as history:
        main()
    assert history.upstream_of("use-1") == history.upstream_of("use-2") == {"make-0"}


def test_results_handed_on_by_value_are_edges_where_identity_tells() -> None:
    class Thing:
        pass

    @flow
    def main() -> None:
        rows, thing, number = make([1, 2]), make(Thing()), make(7)
        use(rows)
        use({"deep": [thing]})
        use(number)
        use([1, 2])

    with recorded() as history:
        main()
    assert [history.upstream_of(f"use-{n}") for n in (3, 4, 5, 6)] == [{"make-0"}, {"make-1"}, set(), set()]


def test_a_subflows_result_is_an_edge_from_the_subflow() -> None:
    @flow
    def inner() -> Any:
        return [1]

    @flow
    def main() -> None:
        use(inner())

    with recorded() as history:
        main()
    assert history.upstream_of("use-1") == {history.run("inner-0").name}


def test_results_that_nobody_holds_any_more_are_let_go() -> None:
    class Thing(list[int]):
        """A list that can be referenced weakly."""

    lineage = Lineage()
    kept = [[n] for n in range(20)]
    for n in range(1000):
        lineage.remember([n], n)
        lineage.remember(Thing(), n)
    for n, value in enumerate(kept):
        lineage.remember(value, n)
    gc.collect()
    assert [lineage.origin(value) for value in kept] == list(range(20))
    assert len(lineage._held) <= 20 * 5 // 4 + 8
    assert not lineage._weak


def test_a_failed_upstream_fails_what_depends_on_it_and_names_the_cause() -> None:
    @flow
    def main() -> Any:
        first = use.submit(bad.submit())
        second = use.submit(first)
        third = use(second, return_state=True)
        return [first.state, second.state, third]

    with recorded() as history:
        state = main(return_state=True)
    assert state.is_failed()
    for n in (1, 2, 3):
        row = history.row(f"use-{n}")
        assert (row["state"], row["reason"]) == (FAILED, "UpstreamFailed")
        assert row["message"] == "upstream task run bad-0 ended Failed: ValueError: broken"
        assert row["started"] is None
        assert [entry[0] for entry in row["history"]] == ["PENDING", "FAILED"]


def test_asking_for_its_result_raises_with_the_upstreams_exception_as_cause() -> None:
    @flow
    def main() -> None:
        use.submit(use.submit(bad.submit())).result()

    with pytest.raises(UpstreamFailed, match="bad-0") as raised:
        main()
    assert isinstance(raised.value.__cause__, ValueError)


def test_a_failed_wait_for_counts_as_well() -> None:
    @flow
    def main() -> Any:
        return use.submit(1, wait_for=[bad.submit()])

    assert main(return_state=True).reason == "UpstreamFailed"


def test_failures_that_are_allowed_are_passed_as_exceptions() -> None:
    @flow
    def main() -> Any:
        failed = bad.submit()
        ((given,), _) = use.submit(allow_failure(failed)).result()
        waited = use.submit(1, wait_for=[allow_failure(failed)]).result()
        return isinstance(given, ValueError), waited

    assert main() == (True, ((1,), {}))


def test_a_retried_upstream_is_waited_for() -> None:
    tries: list[int] = []

    @task(retries=2)
    def flaky() -> int:
        tries.append(1)
        if len(tries) < 3:
            raise ValueError("no")
        return 5

    @flow
    def main() -> Any:
        return use.submit(flaky.submit()).result()

    assert main() == ((5,), {})


def test_a_diamond_runs_each_task_once() -> None:
    @flow
    def main() -> Any:
        top = make.submit(1)
        left, right = use.submit(top), use.submit(top)
        return use.submit(left, right, return_state=True)

    with recorded() as history:
        assert main(return_state=True).type == COMPLETED
    assert history.upstream_of("use-3") == {"use-1", "use-2"}
    assert len(history.runs) == 4


@task
def joins(left: Any, right: Any = None, *rest: Any, key: Any = None, **more: Any) -> None:
    del left, right, rest, key, more


PLACES: dict[str, tuple[Any, dict[str, set[str]]]] = {
    "a position": (lambda f, _: joins.submit(f), {"left": {"make-0"}}),
    "a keyword": (lambda f, g: joins.submit(1, key=[f, g]), {"key": {"make-0", "make-1"}}),
    "positions that the signature leaves open": (lambda f, g: joins.submit(1, 2, f, g), {"rest": {"make-0", "make-1"}}),
    "a keyword that the signature leaves open": (lambda f, _: joins.submit(1, anything=f), {"anything": {"make-0"}}),
    "one run through two parameters": (lambda f, _: joins.submit(f, f), {"left": {"make-0"}, "right": {"make-0"}}),
    "wait_for": (lambda f, g: joins.submit(f, wait_for=[g]), {"left": {"make-0"}, "wait_for": {"make-1"}}),
    "a plain result": (lambda f, _: joins.submit(1, right=f.result()), {"right": {"make-0"}}),
    "an element of a result": (lambda f, _: joins.submit(f.result()[0]), {"left": {"make-0"}}),
    "mapping over a result": (lambda f, g: joins.map(f, key=unmapped(g))[0], {"left": {"make-0"}, "key": {"make-1"}}),
    "a call": (lambda f, _: joins(f), {"left": {"make-0"}}),
}


@pytest.mark.parametrize(("call", "expected"), PLACES.values(), ids=PLACES)
def test_an_edge_says_which_parameter_it_came_through(call: Any, expected: dict[str, set[str]]) -> None:
    @flow
    def main() -> None:
        made = make.submit([Box(1)]), make.submit([Box(2)])
        call(*made)

    with recorded() as history:
        main()
    assert history.inputs_of("joins-2") == expected


def test_an_edge_into_a_subflow_or_a_method_has_its_parameters_name() -> None:
    @flow
    def inner(given: Any) -> Any:
        return given

    class Loader:
        @task
        def load(self, source: Any) -> None:
            del source

    @flow
    def main() -> None:
        future = make.submit()
        inner(future, wait_for=[future])
        Loader().load(future)

    with recorded() as history:
        main()
    assert history.inputs_of("inner-1") == {"given": {"make-0"}, "wait_for": {"make-0"}}
    assert history.inputs_of("load-2") == {"source": {"make-0"}}
