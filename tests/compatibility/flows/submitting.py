"""`.submit()`, `future.result()`, `.state`, `.wait()`, futures as arguments"""

import json

from prefect import flow, task


@task
def add(a, b):
    return a + b


@task
def fail():
    raise ValueError("no")


@flow
def sums():
    first = add.submit(1, 2)
    second = add.submit(first, b=first)
    second.wait()
    bad = fail.submit()
    try:
        bad.result()
    except ValueError as error:
        raised = repr(error)
    kept = bad.result(raise_on_failure=False)
    return [second.result(), second.state.name, second.state.type.value, bad.state.name, raised, type(kept).__name__]


if __name__ == "__main__":
    print(json.dumps({"results": sums()}))
