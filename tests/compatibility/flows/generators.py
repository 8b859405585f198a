"""Generator tasks and flows, sync and async"""

import asyncio
import json

from prefect import flow, task


@task
def numbers(n):
    for i in range(n):
        yield i


@task
async def numbers_async(n):
    for i in range(n):
        yield i


@task
def fails_late():
    yield 1
    raise ValueError("late")


@flow
def reads():
    values = []
    for value in numbers(3):
        values.append(value)
    seen = []
    try:
        for value in fails_late():
            seen.append(value)
    except ValueError as error:
        seen.append(str(error))
    return [values, seen]


@flow
def yields():
    yield 1
    yield 2


@flow
async def reads_async():
    return [value async for value in numbers_async(3)]


if __name__ == "__main__":
    print(json.dumps({"task": reads(), "async task": asyncio.run(reads_async()), "flow": list(yields())}))
