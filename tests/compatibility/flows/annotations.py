"""`quote`, `opaque` and `unmapped` around arguments"""

import json

from prefect import flow, task
from prefect.utilities.annotations import opaque, quote


@task
def kind(value):
    return type(value).__name__


@task
def one():
    return 1


@flow
def main():
    future = one.submit()
    return {
        "future": kind(future),
        "list of futures": kind([future]),
        "quoted list": kind(quote([1, 2])),
        "opaque": kind(opaque({"a": 1})),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
