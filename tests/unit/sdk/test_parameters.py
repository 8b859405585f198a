"""Parameters from signatures: binding, validation, JSON Schema."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from pathlib import Path  # noqa: TC003 - an annotation that is read
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field, SecretStr  # noqa: F401 - an annotation as text

from mintaka.annotations import quote
from mintaka.calling.parameters import Parameters
from mintaka.exceptions import ParameterBindError, ParameterTypeError

if TYPE_CHECKING:
    from decimal import Decimal


class Colour(StrEnum):
    RED = "red"


class Point(BaseModel):
    x: int
    y: int = 0


@dataclass
class Pair:
    left: int
    right: int


class Opaque:
    pass


def everything(
    day: date,
    point: Point,
    pair: Pair,
    colour: Colour = Colour.RED,
    *,
    ratio: Annotated[float, Field(ge=0, le=1)] = 0.5,
    mode: Literal["a", "b"] = "a",
    wait: timedelta | None = None,
    price: Decimal | None = None,
    model_config: int = 1,
    schema: str = "s",
) -> Any:
    return day, point, pair, colour, ratio, mode, wait, price, model_config, schema


def validated(fn: Any, *args: Any, **kwargs: Any) -> Any:
    parameters = Parameters(fn, fn.__name__)
    bound = parameters.bind(args, kwargs)
    parameters.validate(bound)
    return fn(*bound.args, **bound.kwargs)


def test_arguments_become_what_their_annotations_say() -> None:
    given = {
        "day": "2026-11-22",
        "point": {"x": "1"},
        "pair": {"left": 1, "right": 2},
        "colour": "red",
        "ratio": "0.25",
        "wait": 60,
        "model_config": "2",
    }
    values = validated(everything, **given)
    assert values == (date(2026, 11, 22), Point(x=1), Pair(1, 2), Colour.RED, 0.25, "a", timedelta(minutes=1), None, 2, "s")


def test_an_annotation_that_only_type_checkers_see_is_any() -> None:
    assert validated(everything, "2026-11-22", {"x": 1}, {"left": 1, "right": 2}, price="anything")[7] == "anything"


def test_models_and_containers_pass_as_they_are_where_they_fit() -> None:
    point = Point(x=1)
    assert validated(everything, date(2026, 1, 1), point, Pair(1, 2))[1] is point


def test_variable_arguments_are_validated_one_by_one() -> None:
    def many(*numbers: int, **named: float) -> Any:
        return numbers, named

    assert validated(many, "1", 2, a="0.5") == ((1, 2), {"a": 0.5})
    with pytest.raises(ParameterTypeError, match=r"numbers.1: Input should be a valid integer.*named.a: Input should be a valid number"):
        validated(many, 1, "x", a="y")


def test_every_argument_that_does_not_fit_has_its_clause() -> None:
    with pytest.raises(ParameterTypeError) as raised:
        validated(everything, "someday", {"x": 1}, {"left": 1, "right": 2}, ratio=2, mode="c" * 100)
    message = str(raised.value)
    assert message.startswith("everything: day: Input should be a valid date")
    assert "; ratio: Input should be less than or equal to 1, not 2; mode: Input should be 'a' or 'b', not 'ccc" in message
    assert len(message) < 400


def test_quoted_arguments_are_left_alone() -> None:
    def takes(n: int) -> Any:
        return n

    marker = quote("five")
    assert validated(takes, marker) is marker


def test_positional_only_parameters_can_be_given_by_name_in_documents() -> None:
    def takes(a: int, /, b: int, *, c: int = 3) -> Any:
        return a, b, c

    bound = Parameters(takes, "takes").bind_by_name({"b": 2, "a": 1})
    assert takes(*bound.args, **bound.kwargs) == (1, 2, 3)


@pytest.mark.parametrize(("values", "said"), [({}, "missing"), ({"a": 1, "nix": 2}, "unexpected keyword argument 'nix'")])
def test_documents_that_do_not_bind_say_why(values: dict[str, Any], said: str) -> None:
    with pytest.raises(ParameterBindError, match=said):
        Parameters(lambda a: a, "takes").bind_by_name(values)


def test_the_schema_has_types_defaults_requirements_and_nothing_else_is_allowed() -> None:
    schema = Parameters(everything, "everything").schema()
    assert schema["type"] == "object"
    assert schema["required"] == ["day", "point", "pair"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert set(properties) == {"day", "point", "pair", "colour", "ratio", "mode", "wait", "price", "model_config", "schema"}
    assert properties["day"] == {"format": "date", "title": "Day", "type": "string"}
    assert properties["ratio"] == {"default": 0.5, "maximum": 1, "minimum": 0, "title": "Ratio", "type": "number"}
    assert properties["mode"]["enum"] == ["a", "b"]
    assert properties["point"] == {"$ref": "#/$defs/Point"}
    assert schema["$defs"]["Point"]["required"] == ["x"]


def test_what_has_no_json_form_is_any_value_in_the_schema() -> None:
    def takes(thing: Opaque, other: Any = Opaque(), *, flag: bool = False) -> None:  # noqa: B008 - a default without JSON form is the point
        pass

    schema = Parameters(takes, "takes").schema()
    assert schema["properties"]["thing"] == {"title": "Thing"}
    assert "default" not in schema["properties"]["other"]
    assert schema["properties"]["flag"]["default"] is False


def test_variable_keywords_allow_more_and_variable_positionals_are_left_out_of_the_schema() -> None:
    def takes(a: int, *rest: int, **named: float) -> None:
        pass

    schema = Parameters(takes, "takes").schema()
    assert set(schema["properties"]) == {"a"}
    assert schema["additionalProperties"] == {"type": "number"}


def test_a_flow_without_parameters_has_an_empty_schema() -> None:
    assert Parameters(lambda: None, "nothing").schema() == {"additionalProperties": False, "properties": {}, "type": "object"}


LIGHT = """
import sys
from mintaka import flow, task
@task
def add(a, b): return a + b
@flow
def main(n: int = 3, *, label: str = "x", data: list = None):
    return add.submit(n, 1).result()
assert main(4, data=[]) == 5
heavy = {"pydantic", "httpx", "asyncio", "http.client", "yaml", "typer", "ssl", "mintaka_core.resources"} & set(sys.modules)
assert not heavy, heavy
"""


def test_a_small_flow_runs_without_anything_heavy_being_imported() -> None:
    subprocess.run([sys.executable, "-I", "-c", LIGHT], check=True, timeout=60)


def test_an_annotation_that_is_prose_is_taken_as_any_and_the_others_count() -> None:
    def counted(rows: Any, limit: Any) -> None: ...

    counted.__annotations__ = {"rows": "the number of rows", "limit": "int"}
    parameters = Parameters(counted, "counted")
    bound = parameters.bind(("many", "5"), {})
    parameters.validate(bound)
    assert bound.arguments == {"rows": "many", "limit": 5}


class Settings(BaseModel):
    rows: int = 3
    day: date = date(2024, 1, 1)


DEFAULTS = {
    "a date as text": ("date", "2024-05-06", date(2024, 5, 6)),
    "a number as text": ("int", "5", 5),
    "a model as a dict": ("Settings", {"rows": "7"}, Settings(rows=7)),
    "a dataclass as a dict": ("Pair", {"left": "1", "right": 2}, Pair(1, 2)),
    "a list of models": ("list[Settings]", [{"rows": 1}], [Settings(rows=1)]),
    "a dict of dates": ("dict[str, date]", {"a": "2024-05-06"}, {"a": date(2024, 5, 6)}),
    "an enum's value": ("Colour", "red", Colour.RED),
    "seconds": ("timedelta", 90, timedelta(seconds=90)),
    "None where it may be": ("date | None", None, None),
    "text where it may be a date": ("date | None", "2024-05-06", date(2024, 5, 6)),
    "within bounds": ("Annotated[int, Field(ge=1)]", "5", 5),
    "a field's default": ("int", Field(default=3), 3),
    "a field's default as text": ("int", Field("3", ge=1), 3),
    "a field's factory": ("list[int]", Field(default_factory=lambda: ["1"]), [1]),
    "a field's default without annotation": ("Any", Field(default=[1]), [1]),
    "a field's factory of the arguments before it": ("int", Field(default_factory=lambda data: data["first"] + 1), 2),
}


@pytest.mark.parametrize(("annotation", "default", "becomes"), DEFAULTS.values(), ids=DEFAULTS)
@pytest.mark.parametrize("keyword_only", [False, True], ids=["a positional parameter", "a keyword-only parameter"])
def test_a_default_becomes_what_its_annotation_says(annotation: str, default: Any, becomes: Any, keyword_only: bool) -> None:
    def positional(first: int = 1, value: Any = default) -> Any:
        return value if first == 1 else None

    def named(first: int = 1, *, value: Any = default) -> Any:
        return value if first == 1 else None

    fn = named if keyword_only else positional
    fn.__annotations__["value"] = annotation
    assert validated(fn) == becomes
    assert type(validated(fn)) is type(becomes)


UNFIT = {
    "None for a number": ("int", None, "takes: value: Input should be a valid integer, not None (the default)"),
    "text for a number": (
        "int",
        "many",
        "takes: value: Input should be a valid integer, unable to parse string as an integer, not 'many' (the default)",
    ),
    "out of bounds": ("Annotated[int, Field(ge=1)]", 0, "takes: value: Input should be greater than or equal to 1, not 0 (the default)"),
    "out of a field's bounds": ("int", Field(3, ge=5), "takes: value: Input should be greater than or equal to 5, not 3 (the default)"),
    "a model's field": (
        "Settings",
        {"rows": "x"},
        "takes: value.rows: Input should be a valid integer, unable to parse string as an integer, not 'x' (the default)",
    ),
    "a secret": ("SecretStr", 5, "takes: value: Input should be a valid string (the default)"),
}


@pytest.mark.parametrize(("annotation", "default", "said"), UNFIT.values(), ids=UNFIT)
def test_a_default_that_does_not_fit_is_said_to_be_the_default(annotation: str, default: Any, said: str) -> None:
    def takes(value: Any = default) -> Any:
        return value

    takes.__annotations__["value"] = annotation
    with pytest.raises(ParameterTypeError) as raised:
        validated(takes)
    assert str(raised.value) == said


def test_a_field_without_a_default_has_to_be_given() -> None:
    def takes(value: int = Field(ge=1)) -> Any:
        return value

    assert validated(takes, "4") == 4
    with pytest.raises(ParameterTypeError, match=r"takes: value: Input should be greater than or equal to 1, not 0$"):
        validated(takes, 0)
    with pytest.raises(ParameterBindError, match="missing a required argument: 'value'"):
        validated(takes)
    assert Parameters(takes, "takes").schema()["required"] == ["value"]


def test_arguments_beside_a_quoted_one_are_validated() -> None:
    def takes(n: int, m: int, k: int = "3") -> Any:  # type: ignore[assignment]
        return n, m, k

    marker = quote("five")
    assert validated(takes, marker, "5") == (marker, 5, 3)


def test_the_schema_has_the_defaults_as_a_run_gets_them() -> None:
    def takes(
        day: date = "2024-05-06",  # type: ignore[assignment]
        rows: int = "5",  # type: ignore[assignment]
        wait: timedelta = 90,  # type: ignore[assignment]
        settings: Settings = {"rows": "7"},  # type: ignore[assignment]  # noqa: B006 - as real flows have it
        limit: int = Field(default="3", ge=1, description="How many.", title="At most"),
        names: list[str] = Field(default_factory=list),  # noqa: B008 - the point
        unfit: int = None,  # type: ignore[assignment]  # noqa: RUF013 - as real flows have it
        fixed: int = Field("4", frozen=True),
    ) -> None: ...

    schema = Parameters(takes, "takes").schema()
    properties = schema["properties"]
    defaults = {name: known["default"] for name, known in properties.items() if "default" in known}
    assert defaults == {
        "day": "2024-05-06",
        "rows": 5,
        "wait": "PT1M30S",
        "settings": {"rows": 7, "day": "2024-01-01"},
        "limit": 3,
        "unfit": None,
        "fixed": 4,
    }
    assert properties["limit"] == {"default": 3, "description": "How many.", "minimum": 1, "title": "At most", "type": "integer"}
    assert "required" not in schema


def test_history_shows_paths_as_they_are_written() -> None:
    """A default that is a text becomes a path, and is shown as before."""

    def takes(place: Path = "a/b", others: list[Path] = ["c"]) -> None: ...  # type: ignore[assignment, list-item]  # noqa: B006 - the point

    parameters = Parameters(takes, "takes")
    bound = parameters.bind((), {})
    parameters.validate(bound)
    assert parameters.described(bound.arguments) == {"place": "a/b", "others": ["c"]}
