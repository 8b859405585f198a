"""Collections of futures and states that a flow returns, some of them failed: tuples, lists, dicts, sets, dataclasses, nested ones"""

import json
from collections import namedtuple
from dataclasses import dataclass

from prefect import flow, task
from prefect.states import Cancelled, Failed, State


@task
def good():
    return 1


@task
def bad():
    raise ValueError("no")


@dataclass
class Pair:
    first: object
    second: object


Named = namedtuple("Named", "first second")

SHAPES = {
    "tuple": lambda one, two: (one, two),
    "list": lambda one, two: [one, two],
    "set": lambda one, two: {one, two},
    "named tuple": Named,
    "dict": lambda one, two: {"first": one, "second": two},
    "dataclass": Pair,
    "nested lists": lambda one, two: [[one], [two]],
    "dict of lists": lambda one, two: {"all": [one, two]},
    "tuple with a value": lambda one, two: (one, two, "value"),
    "list of one": lambda one, two: [two],
    "single": lambda one, two: two,
}


def shown(value):
    if isinstance(value, State):
        return value.type.value
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, Pair):
        return ["Pair", shown(value.first), shown(value.second)]
    if isinstance(value, (set, frozenset)):
        return ["set", *sorted(map(str, map(shown, value)))]
    if isinstance(value, (list, tuple)):
        return [type(value).__name__, *map(shown, value)]
    return value if value is None or isinstance(value, (int, str)) else type(value).__name__


def got(call):
    try:
        return shown(call())
    except Exception as error:
        return f"raises {type(error).__name__}"


def seen(make, first, second):
    @flow
    def main():
        return make(first(), second())

    state = main(return_state=True)
    return {
        "state": [state.type.value, state.name],
        "call": got(main),
        "result": got(lambda: state.result()),
        "result without raising": got(lambda: state.result(raise_on_failure=False)),
    }


@flow
def inner():
    return good(return_state=True), bad(return_state=True)


@flow
def around(call):
    return got(call)


@flow
def made_by_hand():
    return [Failed(message="by hand"), Cancelled(message="by hand")]


@flow(retries=1)
def tried_again():
    tries.append(1)
    return [bad(return_state=True)]


@task
def gives_states():
    return [Failed(message="by hand")]


def ended(future):
    future.wait()
    return future.state.type.value


tries = []

if __name__ == "__main__":
    found = {
        "with a failure": {name: seen(make, good.submit, bad.submit) for name, make in SHAPES.items()},
        "with a failed state": {
            name: seen(SHAPES[name], lambda: good(return_state=True), lambda: bad(return_state=True))
            for name in ("tuple", "dict", "nested lists", "tuple with a value", "single")
        },
        "all good": {name: seen(SHAPES[name], good.submit, good.submit) for name in ("tuple", "dict", "nested lists")},
        "generator": seen(lambda one, two: (each for each in (one, two)), good.submit, bad.submit),
        "empty": seen(lambda one, two: [], lambda: None, lambda: None),
    }
    found["subflow"] = [around(inner), inner(return_state=True).type.value]
    found["states made by hand"] = [made_by_hand(return_state=True).type.value, got(made_by_hand)]
    found["with retries"] = [tried_again(return_state=True).type.value, len(tries)]
    found["states that a task returns"] = around(lambda: [shown(gives_states()), ended(gives_states.submit())])
    print(json.dumps(found))
