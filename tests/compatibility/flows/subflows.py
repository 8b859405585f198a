"""Flows called in flows: results, parameters, failures, names"""

import json

from prefect import flow, task
from prefect.runtime import flow_run


@task
def add(a, b):
    return a + b


@flow
def child(n: int):
    return [add(n, 1), flow_run.flow_name]


@flow
def failing_child():
    raise ValueError("child")


@flow
def parent():
    value = child("41")
    future = add.submit(1, 2)
    of_future = child(future)
    state = failing_child(return_state=True)
    try:
        failing_child()
    except ValueError as error:
        raised = str(error)
    return [value, of_future, state.name, raised, flow_run.flow_name]


if __name__ == "__main__":
    print(json.dumps({"results": parent()}))
