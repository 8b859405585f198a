"""Async hooks of async tasks and flows"""

import asyncio
import json

from prefect import flow, task

log = []


async def hook(what, run, state):
    await asyncio.sleep(0)
    log.append([what.name, state.name])


@task(on_completion=[hook])
async def good():
    return 1


@task(on_failure=[hook])
async def bad():
    raise ValueError


@flow(on_completion=[hook], on_failure=[hook])
async def main():
    await good()
    await bad(return_state=True)
    return "done"


if __name__ == "__main__":
    print(json.dumps({"result": asyncio.run(main()), "calls": log}))
