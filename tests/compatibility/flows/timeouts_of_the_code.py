"""A `TimeoutError` that the code itself raises: TimedOut, and tried again like other failures"""

import asyncio
import json

from prefect import flow, task

tries = {}


def count(word):
    tries[word] = tries.get(word, 0) + 1


@task(retries=1)
def raises():
    count("task")
    raise TimeoutError("socket")


@task
async def waits():
    await asyncio.wait_for(asyncio.sleep(1), 0.01)


@flow(retries=1)
def raised_below():
    count("flow")
    raises()


@flow
async def main_async():
    return (await waits(return_state=True)).name


@flow
def main():
    state = raises(return_state=True)
    return [state.name, state.type.value]


if __name__ == "__main__":
    state = raised_below(return_state=True)
    print(json.dumps({"task": main(), "async": asyncio.run(main_async()), "flow": [state.name, state.type.value], "tries": tries}))
