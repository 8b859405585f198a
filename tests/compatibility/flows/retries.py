"""Task retries: how often the body runs, the states on the way, giving up"""

import json

from prefect import flow, task
from prefect.runtime import task_run

calls = []


@task(retries=2)
def third_time():
    calls.append(task_run.run_count)
    if len(calls) < 3:
        raise ValueError(len(calls))
    return "done"


@task(retries=1)
def never():
    raise KeyError("x")


@flow
def tries():
    value = third_time()
    state = never(return_state=True)
    return [value, state.name, state.type.value, repr(state.result(raise_on_failure=False))]


if __name__ == "__main__":
    print(json.dumps({"results": tries(return_state=True).result(raise_on_failure=False), "run counts": calls}))
