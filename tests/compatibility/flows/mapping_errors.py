"""Arguments that cannot be mapped: nothing iterable, different lengths"""

import json

from prefect import flow, task
from prefect.exceptions import MappingLengthMismatch, MappingMissingIterable


@task
def add(a, b=1):
    return a + b


def raised(call):
    try:
        call()
    except (MappingLengthMismatch, MappingMissingIterable) as error:
        return type(error).__name__
    return None


@flow
def maps():
    return [raised(lambda: add.map(1)), raised(lambda: add.map([1, 2], b=[1])), raised(lambda: add.map("text"))]


if __name__ == "__main__":
    print(json.dumps({"raised": maps()}))
