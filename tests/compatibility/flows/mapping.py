"""`.map()` over lists, ranges, generators, several iterables, keywords, with single values repeated"""

import json

from prefect import flow, task


@task
def add(a, b=10):
    return a + b


@flow
def maps():
    return {
        "list": add.map([1, 2, 3]).result(),
        "two": add.map([1, 2], b=[3, 4]).result(),
        "single value": add.map([1, 2], 5).result(),
        "range": [future.result() for future in add.map(range(3))],
        "generator": add.map((i * i for i in range(3)), b=1).result(),
        "dict": add.map({"a": 1, "b": 2}, "x").result(),
        "strings": add.map(["ab", "cd"], b="ef").result(),
        "empty": add.map([]).result(),
    }


if __name__ == "__main__":
    print(json.dumps(maps()))
