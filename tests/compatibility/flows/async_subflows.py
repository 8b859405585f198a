"""Async subflows one after the other and gathered; a sync flow in an async one"""

import asyncio
import json

from prefect import flow, task


@task
async def double(n):
    return 2 * n


@flow
async def child(n):
    return await double(n)


@flow
def sync_child(n):
    return -n


@flow
async def parent():
    return [await child(1), await asyncio.gather(child(2), child(3)), sync_child(4)]


if __name__ == "__main__":
    print(json.dumps({"results": asyncio.run(parent())}))
