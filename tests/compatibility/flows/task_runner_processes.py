"""`ProcessPoolTaskRunner`: submitted tasks run in other processes"""

import json
import os

from prefect import flow, task
from prefect.task_runners import ProcessPoolTaskRunner


@task
def where(n):
    return [n, os.getpid()]


@task
def add(a, b):
    return a + b


@task(retries=1)
def bad():
    raise ValueError("no")


@flow(task_runner=ProcessPoolTaskRunner(max_workers=2))
def main():
    found = where.map([1, 2, 3]).result()
    first = add.submit(1, 2)
    state = bad.submit(return_state=True)
    return [
        [n for n, _ in found],
        all(pid != os.getpid() for _, pid in found),
        add.submit(first, 4).result(),
        state.name,
        repr(state.result(raise_on_failure=False)),
    ]


if __name__ == "__main__":
    print(json.dumps({"results": main(return_state=True).result(raise_on_failure=False)}))
