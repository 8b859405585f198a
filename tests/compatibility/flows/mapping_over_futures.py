"""Mapping over a task's output, over the futures of another map, and over single elements of a result"""

import json

from prefect import flow, task


@task
def numbers():
    return [1, 2, 3]


@task
def double(n):
    return 2 * n


@task
def total(values):
    return sum(values)


@flow
def maps():
    source = numbers.submit()
    doubled = double.map(source)
    again = double.map(doubled)
    elements = [double.submit(n) for n in source.result()]
    return {
        "output": doubled.result(),
        "futures": again.result(),
        "elements": [future.result() for future in elements],
        "reduced": total(again),
        "reduced by submit": total.submit(doubled).result(),
    }


if __name__ == "__main__":
    print(json.dumps(maps()))
