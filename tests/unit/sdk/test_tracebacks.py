"""Tracebacks in logs show the user's code."""

from __future__ import annotations

import traceback
from typing import Any

import pytest

from mintaka import flow, task
from mintaka.engine.tracebacks import log_information, user_traceback


@task
def broken() -> None:
    raise ValueError("broken")


@flow
def main() -> None:
    broken()


@task
def deeper(n: int) -> Any:
    if n == 0:
        raise ValueError("the bottom")
    return deeper(n - 1)


@task
def takes_nothing() -> None: ...


def shown(error: BaseException) -> list[str]:
    return [f"{frame.filename.rsplit('/', 1)[-1]} {frame.name}" for frame in traceback.extract_tb(user_traceback(error))]


def test_frames_between_a_flow_and_its_task_are_left_out() -> None:
    with pytest.raises(ValueError, match="broken") as caught:
        main()
    place = "test_tracebacks.py"
    name = "test_frames_between_a_flow_and_its_task_are_left_out"
    assert shown(caught.value) == [f"{place} {name}", f"{place} main", f"{place} broken"]


def test_what_went_wrong_in_our_code_at_the_end_stays() -> None:
    given: Any = takes_nothing
    with pytest.raises(TypeError, match="takes 0 positional arguments but 1 was given") as caught:
        given(1)
    first, *ours = shown(caught.value)
    assert first.startswith("test_tracebacks.py")
    assert ours
    assert not any(frame.startswith("test_tracebacks.py") for frame in ours)


def test_the_end_of_a_recursion_is_told_without_what_it_was_met_in_the_midst_of() -> None:
    try:
        try:
            raise RecursionError("one")
        except RecursionError:
            raise RecursionError("two")  # noqa: B904 - as Python does it at the end of a recursion
    except RecursionError as error:
        lines = traceback.format_exception(*log_information(error) or ())
    assert [line for line in lines if "RecursionError" in line and "raise" not in line] == ["RecursionError: two\n"]


def test_of_a_very_deep_one_both_ends_are_shown() -> None:
    def recurse(n: int) -> None:
        if n:
            recurse(n - 1)
        else:
            raise ValueError("the bottom")

    with pytest.raises(ValueError, match="the bottom") as caught:
        recurse(200)
    frames = shown(caught.value)
    assert len(frames) == 50
    assert frames[0].endswith("both_ends_are_shown")
    assert frames[-1].endswith("recurse")


def test_a_task_that_calls_itself_says_so_once() -> None:
    with pytest.raises(ValueError, match="the bottom") as caught:
        deeper(5)
    assert shown(caught.value)[1:] == ["test_tracebacks.py deeper"] * 6
