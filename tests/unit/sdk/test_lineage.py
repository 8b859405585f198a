"""Edges that are known from the values themselves, and those that are not claimed."""

from __future__ import annotations

from typing import Any

import pytest

from mintaka import flow, task
from mintaka.testing import recorded


class Frame:
    """An object of a class of its own, as data frames are."""


@task
def makes(value: Any) -> Any:
    return value() if callable(value) else value


@task
def takes(value: Any, other: Any = None) -> None:
    del value, other


def many() -> list[dict[str, int]]:
    return [{"n": n} for n in range(3)]


def texts() -> list[str]:
    return [f"https://example.org/{n}" for n in range(3)]


PARTS: dict[str, Any] = {
    "dicts in a list": (many, list),
    "objects in a list": (lambda: [Frame(), Frame(), Frame()], list),
    "objects in a dict": (lambda: {n: Frame() for n in range(3)}, lambda made: list(made.values())),
    "objects in a set": (lambda: {Frame(), Frame(), Frame()}, list),
    "objects in a tuple": (lambda: (Frame(), Frame(), Frame()), list),
    "lists in a tuple": (lambda: ([1], [2], [3]), list),
    "texts made by the task": (texts, list),
    "large numbers": (lambda: [10**6 + n for n in range(3)], list),
    "floats": (lambda: [n / 7 for n in range(3)], list),
    "texts in a dict": (lambda: dict(enumerate(texts())), lambda made: list(made.values())),
}


@pytest.mark.parametrize(("make", "parts"), PARTS.values(), ids=PARTS)
@pytest.mark.parametrize("submitted", [False, True], ids=["called", "submitted"])
def test_the_parts_of_a_result_lead_back_to_the_run_that_made_it(*, make: Any, parts: Any, submitted: bool) -> None:
    @flow
    def main() -> None:
        made = makes.submit(make).result() if submitted else makes(make)
        for part in parts(made):
            takes(part)
            takes.submit(0, other=part).wait()

    with recorded() as history:
        main()
    assert [history.upstream_of(run.name) for run in history.runs.values()] == [set(), *[{"makes-0"}] * 6]


UNKNOWN: dict[str, Any] = {
    "small numbers": [1, 2, 3],
    "words": ["one", "two"],
    "single characters": ["a", "b"],
    "booleans and None": [True, None],
}


@pytest.mark.parametrize("value", UNKNOWN.values(), ids=UNKNOWN)
def test_what_python_shares_is_claimed_by_nobody(value: Any) -> None:
    @flow
    def main() -> None:
        for part in makes(value):
            takes(part)

    with recorded() as history:
        main()
    assert all(not run.upstream for run in history.runs.values())


def test_a_literal_of_the_flow_is_its_own() -> None:
    @flow
    def main() -> None:
        makes(lambda: [1234567.25, "https://example.org/literal"])
        takes(1234567.25)
        takes("https://example.org/literal")

    with recorded() as history:
        main()
    assert all(not run.upstream for run in history.runs.values())


def test_an_equal_value_from_elsewhere_is_not_taken_for_it() -> None:
    @flow
    def main() -> None:
        made = makes(texts)
        takes("".join(list(made[0])))
        takes({"n": 0})

    with recorded() as history:
        main()
    assert all(not run.upstream for run in history.runs.values())


def test_a_number_or_text_by_itself_is_claimed_by_nobody_but_its_future_is() -> None:
    @flow
    def main() -> None:
        takes(makes(lambda: 10**6))
        takes(makes.submit(lambda: 10**6))

    with recorded() as history:
        main()
    assert [history.upstream_of(run.name) for run in history.runs.values()] == [set(), set(), set(), {"makes-2"}]


def test_the_latest_run_that_handed_it_out_is_named() -> None:
    @flow
    def main() -> None:
        row = {"n": 1}
        makes([row])
        last = makes([row])
        takes(last[0])

    with recorded() as history:
        main()
    assert history.upstream_of("takes-2") == {"makes-1"}


def test_collections_and_their_parts_are_let_go_of() -> None:
    import gc  # noqa: PLC0415 - only here
    import weakref  # noqa: PLC0415 - only here

    alive: list[weakref.ref[Frame]] = []

    def frames() -> list[Frame]:
        made = [Frame() for _ in range(3)]
        alive.extend(weakref.ref(frame) for frame in made)
        return made

    @flow
    def main() -> int:
        for _ in range(50):
            for frame in makes(frames):
                takes(frame)
            frame = None
        gc.collect()
        return sum(reference() is not None for reference in alive)

    assert main() < 60
