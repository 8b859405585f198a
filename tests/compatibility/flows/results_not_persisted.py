"""Results that cannot be persisted: what the run's state says, and what becomes of its transaction"""

import json
import threading

from prefect import flow, task

log = []


@task(persist_result=True)
def lock():
    return threading.Lock()


@lock.on_rollback
def undo(txn):
    log.append("rolled back")


@lock.on_commit
def done(txn):
    log.append("committed")


@flow
def tasks():
    state = lock(return_state=True)
    called = type(lock()).__name__
    submitted = lock.submit()
    submitted.wait()
    return [state.type.value, state.name, called, submitted.state.name, type(submitted.result()).__name__]


@flow(persist_result=True)
def whole():
    return threading.Lock()


if __name__ == "__main__":
    state = whole(return_state=True)
    print(json.dumps({"task": tasks(), "hooks": sorted(log), "flow": [state.type.value, state.name], "value": type(whole()).__name__}))
