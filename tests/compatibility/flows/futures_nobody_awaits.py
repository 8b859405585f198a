"""Futures that nobody waits for when the flow ends"""

import json
import threading

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

ran = []
lock = threading.Lock()


@task
def slow(n):
    threading.Event().wait(0.3)
    with lock:
        ran.append(n)


@task
def bad():
    raise ValueError("nobody looks")


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def forgets():
    for n in range(6):
        slow.submit(n)


@flow
def forgets_failure():
    bad.submit()


if __name__ == "__main__":
    state, failure = forgets(return_state=True), forgets_failure(return_state=True)
    print(json.dumps({"state": state.name, "all ran": len(ran) == 6, "state where one failed": failure.name}))
