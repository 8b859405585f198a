"""Defaults of flows' parameters, whichever way the flow is called."""

from __future__ import annotations

import asyncio
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel, Field

from mintaka import flow, runtime
from mintaka.exceptions import ParameterTypeError
from mintaka_core.states import FAILED

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator


class Limits(BaseModel):
    rows: int = 3


def body(day: date = "2024-05-06", limits: Limits = {"rows": "7"}, *, most: int = Field("5", ge=1)) -> Any:  # type: ignore[assignment]  # noqa: B006 - as real flows have it
    return day, limits, most


WANTED = (date(2024, 5, 6), Limits(rows=7), 5)


class Loader:
    @flow
    def method(self, day: date = "2024-05-06", limits: Limits = {"rows": "7"}, *, most: int = Field("5", ge=1)) -> Any:  # type: ignore[assignment]  # noqa: B006
        return day, limits, most

    @flow
    @classmethod
    def of_class(cls, day: date = "2024-05-06", limits: Limits = {"rows": "7"}, *, most: int = Field("5", ge=1)) -> Any:  # type: ignore[assignment]  # noqa: B006
        return day, limits, most

    @flow
    @staticmethod
    def static(day: date = "2024-05-06", limits: Limits = {"rows": "7"}, /, most: int = Field("5", ge=1)) -> Any:  # type: ignore[assignment]  # noqa: B006
        return day, limits, most


def _items(day: date = "2024-05-06", limits: Limits = {"rows": "7"}, *, most: int = Field("5", ge=1)) -> Iterator[Any]:  # type: ignore[assignment]  # noqa: B006
    yield from (day, limits, most)


async def _items_async(
    day: date = "2024-05-06",  # type: ignore[assignment]
    limits: Limits = {"rows": "7"},  # type: ignore[assignment]  # noqa: B006
    *,
    most: int = Field("5", ge=1),
) -> AsyncIterator[Any]:
    for item in (day, limits, most):
        yield item


async def _body_async(day: date = "2024-05-06", limits: Limits = {"rows": "7"}, *, most: int = Field("5", ge=1)) -> Any:  # type: ignore[assignment]  # noqa: B006
    return day, limits, most


async def _collected(items: Any) -> Any:
    return tuple([item async for item in items])


CALLS: dict[str, Callable[[], Any]] = {
    "called": flow(body),
    "called for its state": lambda: flow(body)(return_state=True).data,
    "run with a document": lambda: flow(body).run_with({}).data,
    "with other options": flow(body).with_options(name="other"),
    "a subflow": flow(lambda: flow(body)()),  # noqa: PLW0108 - a flow in a flow
    "async": lambda: asyncio.run(flow(_body_async)()),
    "a generator": lambda: tuple(flow(_items)()),
    "an async generator": lambda: asyncio.run(_collected(flow(_items_async)())),
    "a method": lambda: Loader().method(),
    "a class method": Loader.of_class,
    "a static method, positional only": Loader.static,
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_defaults_are_coerced_however_a_flow_is_called(call: Callable[[], Any]) -> None:
    assert call() == WANTED


def test_without_validation_defaults_stay_as_they_are_written_and_fields_give_theirs() -> None:
    assert flow(body, validate_parameters=False)() == ("2024-05-06", {"rows": "7"}, "5")  # type: ignore[call-overload]


def test_the_run_shows_its_coerced_defaults_and_its_name_is_made_of_them() -> None:
    @flow(flow_run_name="{day:%d.%m.%Y}-{most}")
    def named(day: date = "2024-05-06", most: int = Field("5", ge=1)) -> Any:  # type: ignore[assignment]  # noqa: ARG001
        return runtime.flow_run.name, runtime.flow_run.parameters

    assert named() == ("06.05.2024-5", {"day": date(2024, 5, 6), "most": 5})


def test_a_default_that_does_not_fit_fails_the_run_before_its_body() -> None:
    @flow
    def late(rows: int = None) -> None:  # type: ignore[assignment]  # noqa: ARG001, RUF013
        raise AssertionError

    with pytest.raises(ParameterTypeError, match=r"late: rows: .* integer, not None \(the default\)$"):
        late()
    state = late(return_state=True)
    assert (state.type, state.reason) == (FAILED, "ParameterTypeError")


MUTABLE: dict[str, tuple[Any, Any]] = {
    "a list": (Any, []),
    "a list with an annotation": (list, []),
    "a list of numbers": ("list[int]", []),
    "a field's list": ("list[int]", Field(default=[])),
    "a field's factory": ("list[int]", Field(default_factory=list)),
}


@pytest.mark.parametrize(("annotation", "default"), MUTABLE.values(), ids=MUTABLE)
@pytest.mark.parametrize("validated", [True, False], ids=["validated", "not validated"])
def test_runs_do_not_share_a_default_that_one_of_them_changes(annotation: Any, default: Any, validated: bool) -> None:
    def body(rows: Any = default) -> Any:
        rows.append(1)
        return list(rows)

    body.__annotations__["rows"] = annotation
    grows = flow(body, validate_parameters=validated)  # type: ignore[call-overload]
    assert [grows(), grows(), grows()] == [[1], [1], [1]]


def test_runs_do_not_share_what_is_in_a_default_or_a_model() -> None:
    class Seen(BaseModel):
        names: list[str] = []

    @flow
    def grows(rows: Any = {"names": []}, seen: Seen = Seen()) -> Any:  # noqa: B006, B008 - the point
        rows["names"].append("a")
        seen.names.append("b")
        return len(rows["names"]), len(seen.names)

    assert [grows(), grows()] == [(1, 1), (1, 1)]


def test_what_cannot_be_copied_or_is_not_a_value_is_the_same_for_all_runs() -> None:
    class Client: ...

    class Locked(list[int]):
        def __deepcopy__(self, memo: Any) -> Any:
            raise TypeError

    client, locked = Client(), Locked()

    @flow
    def uses(first: Any = client, second: Any = locked) -> Any:
        return first is client, second is locked

    assert uses() == (True, True)
