"""`timeout_seconds` of tasks and flows, sync and async"""

import asyncio
import json
import time

from prefect import flow, task


@task(timeout_seconds=0.3)
def slow():
    time.sleep(2)


@task(timeout_seconds=0.3)
async def slow_async():
    await asyncio.sleep(2)


@task(timeout_seconds=5)
def quick():
    return "quick"


@flow
def sync_flow():
    state = slow(return_state=True)
    return [state.name, state.type.value, isinstance(state.result(raise_on_failure=False), TimeoutError), quick()]


@flow
async def async_flow():
    state = await slow_async(return_state=True)
    return [state.name, state.type.value, isinstance(await state.aresult(raise_on_failure=False), TimeoutError)]


@flow(timeout_seconds=0.3)
def slow_flow():
    time.sleep(2)


@flow(timeout_seconds=0.3)
async def slow_async_flow():
    await asyncio.sleep(2)


if __name__ == "__main__":
    state = slow_flow(return_state=True)
    async_state = asyncio.run(slow_async_flow(return_state=True))
    print(
        json.dumps(
            {
                "tasks": sync_flow(),
                "async tasks": asyncio.run(async_flow()),
                "flow": [state.name, state.type.value],
                "async flow": [async_state.name, async_state.type.value],
            }
        )
    )
