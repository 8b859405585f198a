"""`timeout_seconds` of a submitted task that blocks"""

import json
import time

from prefect import flow, task


@task(timeout_seconds=0.3)
def slow():
    time.sleep(3)


@flow
def submits():
    began = time.monotonic()
    future = slow.submit()
    future.wait()
    return [future.state.name, future.state.type.value, time.monotonic() - began < 2]


if __name__ == "__main__":
    name, kind, at_once = submits(return_state=True).result(raise_on_failure=False)
    print(json.dumps({"state": [name, kind], "ended at its deadline": at_once}))
