"""A flow's retries run the whole function again"""

import json

from prefect import flow, task
from prefect.runtime import flow_run

log = []


@task
def step(name):
    log.append(name)
    return name


@flow(retries=2, retry_delay_seconds=0.1)
def tries():
    step("first")
    log.append(flow_run.run_count)
    if flow_run.run_count < 3:
        raise ValueError("again")
    return "done"


@flow(retries=1)
def gives_up():
    raise KeyError("no")


if __name__ == "__main__":
    state = gives_up(return_state=True)
    print(json.dumps({"result": tries(), "log": log, "given up": [state.name, repr(state.result(raise_on_failure=False))]}))
