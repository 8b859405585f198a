"""Parameters of flows: coerced and validated by their annotations, pydantic models too"""

import json
from datetime import date

import pydantic
from prefect import flow
from prefect.exceptions import ParameterBindError, ParameterTypeError


class Point(pydantic.BaseModel):
    x: int
    y: float = 1.5


@flow
def typed(n: int, when: date = date(2026, 1, 1), point: Point | None = None, words: list[str] = ("a",)):
    return [n, type(n).__name__, type(when).__name__, repr(point), list(words)]


@flow(validate_parameters=False)
def unchecked(n: int):
    return type(n).__name__


@flow
def everything(a, *rest, b=2, **more):
    return [a, list(rest), b, more]


def raised(call, kind):
    try:
        call()
    except kind as error:
        return type(error).__name__
    return None


if __name__ == "__main__":
    bad = typed("x", return_state=True)
    print(
        json.dumps(
            {
                "coerced": typed("5", when="2026-11-22", point={"x": "3"}),
                "defaults": typed(5),
                "unchecked": unchecked("5"),
                "everything": everything(1, 2, 3, b=4, c=5),
                "invalid": [bad.type.value, bad.name, raised(lambda: typed("x"), ParameterTypeError)],
                "missing": raised(lambda: typed(), ParameterBindError),
                "unknown": raised(lambda: typed(1, nothing=2), ParameterBindError),
            }
        )
    )
