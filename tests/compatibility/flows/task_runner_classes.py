"""`task_runner=` given a class; the name `ConcurrentTaskRunner`"""

import asyncio
import json

from prefect import flow, task
from prefect.task_runners import ConcurrentTaskRunner, ProcessPoolTaskRunner, ThreadPoolTaskRunner


@task
def double(n):
    return 2 * n


def body():
    return double.map(range(3)).result()


@flow(task_runner=ThreadPoolTaskRunner)
async def in_an_event_loop():
    return double.submit(4).result()


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "a class": flow(task_runner=ThreadPoolTaskRunner)(body)(),
                "async": asyncio.run(in_an_event_loop()),
                "with_options": flow(body).with_options(task_runner=ThreadPoolTaskRunner)(),
                "an instance by the other name": flow(body, task_runner=ConcurrentTaskRunner(max_workers=2))(),
                "a class by the other name": flow(body, task_runner=ConcurrentTaskRunner)(),
                "made": [
                    type(flow(body, task_runner=runner).task_runner).__name__
                    for runner in (ThreadPoolTaskRunner, ConcurrentTaskRunner, ProcessPoolTaskRunner)
                ],
            }
        )
    )
