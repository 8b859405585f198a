"""What `retry_condition_fn` is given, sync and async: the run that failed, and the state that it would end in"""

import asyncio
import json
from uuid import UUID

from prefect import flow, task
from prefect.runtime import flow_run, task_run

asked = []
ids = {}


def again(task, run, state):
    asked.append(
        {
            "id": [isinstance(run.id, UUID), str(run.id) == ids["task"]],
            "flow run": str(run.flow_run_id) == ids["flow"],
            "state": [run.state_name, run.state_type.value, state.name, state.type.value],
            "run count": run.run_count,
            "started": run.start_time is not None,
            "ended": run.end_time is not None,
        }
    )
    return run.run_count < 2


async def again_async(task, run, state):
    await asyncio.sleep(0)
    return again(task, run, state)


async def never(task, run, state):
    await asyncio.sleep(0)
    return False


async def broken(task, run, state):
    raise RuntimeError("condition")


tries = {"sync": 0, "async": 0, "never": 0, "broken": 0}


def fails(word):
    tries[word] += 1
    ids["task"] = task_run.id
    raise ValueError(word)


async def fails_async(word):
    fails(word)


@flow
def main():
    ids["flow"] = flow_run.id
    task(retries=5, retry_condition_fn=again)(fails)("sync", return_state=True)
    task(retries=5, retry_condition_fn=again_async)(fails)("async", return_state=True)
    task(retries=5, retry_condition_fn=never)(fails)("never", return_state=True)
    task(retries=5, retry_condition_fn=broken)(fails)("broken", return_state=True)
    return "done"


@flow
async def main_async():
    ids["flow"] = flow_run.id
    await task(retries=5, retry_condition_fn=again_async)(fails_async)("async", return_state=True)
    await task(retries=5, retry_condition_fn=never)(fails_async)("never", return_state=True)
    return "done"


if __name__ == "__main__":
    print(json.dumps({"ended": [main(), asyncio.run(main_async())], "asked": asked, "tries": tries}))
