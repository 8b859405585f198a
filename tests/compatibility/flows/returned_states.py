"""`return_state=True` on calls, submits and flows; what a state tells"""

import json

from prefect import flow, task


@task
def good():
    return {"a": 1}


@task
def bad():
    raise ValueError("no")


def told(state):
    return [
        state.type.value,
        state.name,
        state.is_completed(),
        state.is_failed(),
        state.is_crashed(),
        state.is_cancelled(),
        state.is_pending(),
        state.is_running(),
        state.is_scheduled(),
        state.is_paused(),
        state.is_final(),
    ]


@flow
def main():
    states = [good(return_state=True), bad(return_state=True), good.submit(return_state=True)]
    return [told(state) for state in states] + [states[0].result(), repr(states[1].result(raise_on_failure=False))]


@flow
def failing():
    bad()


if __name__ == "__main__":
    failed = failing(return_state=True)
    try:
        failed.result()
    except ValueError as error:
        raised = str(error)
    state = main(return_state=True)
    print(json.dumps({"tasks": state.result(), "flow": told(state), "failed flow": told(failed), "raised": raised}))
