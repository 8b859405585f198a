"""Async flows and tasks: await, gather, submit and map in an event loop"""

import asyncio
import json

from prefect import flow, task


@task
async def add(a, b=1):
    await asyncio.sleep(0)
    return a + b


@task
def add_sync(a, b=1):
    return a + b


@flow
async def main():
    one = await add(1)
    several = await asyncio.gather(*(add(i) for i in range(3)))
    future = add.submit(10)
    mapped = add.map([1, 2, 3])
    sync_future = add_sync.submit(future)
    state = await add(5, return_state=True)
    return {
        "awaited": one,
        "gathered": several,
        "submitted": future.result(),
        "mapped": [each.result() for each in mapped],
        "sync task": add_sync(1),
        "sync task of a future": sync_future.result(),
        "state": state.name,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main())))
