"""A task whose upstream failed"""

import json

from prefect import flow, task

ran = []


@task
def bad():
    raise ValueError("no")


@task
def after(value):
    ran.append(value)


@flow
def main():
    future = after.submit(bad.submit())
    future.wait()
    also = after.submit(1, wait_for=[bad.submit()])
    also.wait()
    try:
        future.result()
    except Exception as error:
        raised = type(error).__name__
    return [future.state.type.value, future.state.name, also.state.name, raised]


if __name__ == "__main__":
    kind, name, also, raised = main(return_state=True).result(raise_on_failure=False)
    print(json.dumps({"ran": ran, "state": [kind, name, also], "raised": raised}))
