"""Futures inside lists, dicts, tuples, sets and dataclasses are resolved"""

import json
from dataclasses import dataclass

from prefect import flow, task


@dataclass
class Pair:
    a: object
    b: object


@task
def one():
    return 1


@task
def shown(value):
    return repr(value)


@flow
def main():
    future = one.submit()
    return [
        shown([future, [future]]),
        shown({"a": future, "b": {"c": (future, 2)}}),
        shown({"s": future}),
        shown(Pair(future, [future])),
        shown.submit([future, future]).result(),
    ]


if __name__ == "__main__":
    print(json.dumps({"shown": main()}))
