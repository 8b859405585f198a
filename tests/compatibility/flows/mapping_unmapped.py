"""`unmapped(...)` passes an iterable whole to each mapped call"""

import json

from prefect import flow, task, unmapped


@task
def total(a, numbers):
    return a + sum(numbers)


@task
def pair(a, b):
    return [a, b]


@flow
def maps():
    return [
        total.map([1, 2], unmapped([10, 20])).result(),
        total.map(a=[1, 2], numbers=unmapped(range(3))).result(),
        pair.map([1, 2], unmapped(None)).result(),
    ]


if __name__ == "__main__":
    print(json.dumps({"results": maps()}))
