"""States that tasks and flows return, with names of their own"""

import json

from prefect import flow, task
from prefect.states import Cancelled, Completed, Failed


@task
def skipped():
    return Completed(name="Skipped", message="nothing to do")


@task
def failed():
    return Failed(message="bad luck", name="Unlucky")


@flow
def named():
    return Completed(name="Half", message="half of it")


@flow
def refused():
    return Failed(message="refused")


@flow
def cancelled():
    return Cancelled()


@flow
def main():
    states = [each(return_state=True) for each in (skipped, failed)]
    return [[state.type.value, state.name, state.message] for state in states]


def raised(call):
    try:
        call()
    except Exception as error:
        return type(error).__name__
    return None


if __name__ == "__main__":
    half = named(return_state=True)
    print(
        json.dumps(
            {
                "tasks": main(),
                "flow": [half.type.value, half.name, half.message],
                "failed flow": raised(refused),
                "cancelled flow": raised(cancelled),
            }
        )
    )
