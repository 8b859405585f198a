"""Defaults of a flow's parameters: coerced and validated like given arguments, `pydantic.Field` among them"""

import asyncio
import json
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.exceptions import ParameterTypeError
from pydantic import BaseModel, Field


class Settings(BaseModel):
    rows: int = 1
    names: list[str] = []


@dataclass
class Pair:
    left: int


class Colour(Enum):
    RED = "red"


@flow
def typed(
    day: date = "2024-05-06",
    settings: Settings = {"rows": "3"},
    pair: Pair = {"left": "1"},
    colour: Colour = "red",
    place: Path = "a/b",
    wait: timedelta = 90,
    *,
    sizes: list[int] = ("1", 2),
    positive: Annotated[int, Field(ge=1)] = "5",
    limit: int = Field(default="3"),
    day_or_none: date | None = None,
):
    return [repr(value) for value in (day, settings, pair, colour, place, wait, sizes, positive, limit, day_or_none)]


@flow
async def in_an_event_loop(day: date = "2024-05-06", limit: int = Field(default=3)):
    return [repr(day), limit, typed()]


@flow
def yields(day: date = "2024-05-06"):
    yield repr(day)


@flow(validate_parameters=False)
def unchecked(day: date = "2024-05-06", settings: Settings = {"rows": "3"}, limit: int = Field(default="3")):
    return [day, settings, limit]


@flow
def kinds(first, /, second: int = "2", *rest, third: int = "3", **more):
    return [first, second, list(rest), third, more]


class Loader:
    @flow
    def method(self, day: date = "2024-05-06"):
        return repr(day)

    @staticmethod
    @flow
    def static(day: date = "2024-05-06"):
        return repr(day)


@flow
def grows_typed(rows: list[int] = [], settings: Settings = Settings()):
    rows.append(1)
    return [rows, settings.rows]


@flow
def grows_plain(rows=[]):
    rows.append(1)
    return list(rows)


@flow
def made(rows: list[int] = Field(default_factory=list)):
    return list(rows)


@flow
def bounded(limit: int = Field(default=3, ge=5)):
    return limit


def refused(fn):
    try:
        flow(fn)()
    except ParameterTypeError as error:
        return type(error).__name__
    return "taken"


def none_for_a_number(rows: int = None): ...


def text_for_a_number(rows: int = "many"): ...


def out_of_bounds(rows: Annotated[int, Field(ge=1)] = 0): ...


def half_a_model(settings: Settings = {"rows": "x"}): ...


def shown(call):
    try:
        return call()
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "typed": typed(),
                "async, with a subflow": asyncio.run(in_an_event_loop()),
                "generator": list(yields()),
                "unchecked": unchecked(),
                "kinds of parameters": [kinds(1), kinds(1, "5", "6", third="7", other="8")],
                "methods": [Loader().method(), Loader.static()],
                "refused": [refused(fn) for fn in (none_for_a_number, text_for_a_number, out_of_bounds, half_a_model)],
                "runs one after the other": [grows_typed(), grows_typed()],
                "runs without annotation": [grows_plain(), grows_plain()],
                "a factory": shown(made),
                "bounds of a field": shown(bounded),
            }
        )
    )
