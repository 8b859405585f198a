"""Tasks that end CANCELLED, and what a flow makes of it"""

import json

from prefect import flow, task
from prefect.exceptions import CancelledRun
from prefect.states import Cancelled


@task
def cancelled():
    return Cancelled(message="asked for")


@flow
def main():
    return cancelled(return_state=True)


@flow
def of_a_future():
    return [cancelled.submit()]


if __name__ == "__main__":
    states = [main(return_state=True), of_a_future(return_state=True)]
    try:
        main()
        raised = None
    except CancelledRun as error:
        raised = type(error).__name__
    print(json.dumps({"flows": [[state.type.value, state.name] for state in states], "raised": raised}))
