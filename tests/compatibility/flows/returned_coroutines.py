"""A flow that returns the call of an async task without awaiting it"""

import asyncio
import json

from prefect import flow, task

ran = []


@task
async def save(x):
    ran.append(x)
    await asyncio.sleep(0)
    return x


@flow
def sync_flow():
    return save(1)


@flow
async def async_flow():
    return await save(2)


@flow
async def later():
    futures = [save.submit(x) for x in (3, 4)]
    await save(5)
    return [future.result() for future in futures]


if __name__ == "__main__":
    first = sync_flow()
    if asyncio.iscoroutine(first):
        first = asyncio.run(first)
    print(json.dumps({"sync": first, "async": asyncio.run(async_flow()), "later": asyncio.run(later()), "ran": sorted(ran)}))
