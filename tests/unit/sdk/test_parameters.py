"""Parameters from signatures: binding, validation, JSON Schema."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

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
