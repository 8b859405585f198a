"""What a caller gets of a task that returned a state, and of a flow that returned one"""

import json

from prefect import flow, task
from prefect.states import Completed, Failed


@task
def with_data():
    return Completed(data=41)


@task
def failed():
    return Failed(message="bad luck")


@flow
def flow_with_data():
    return Completed(data=42)


def got(call):
    try:
        value = call()
    except Exception as error:
        return type(error).__name__
    return value if isinstance(value, int) else type(value).__name__


@flow
def main():
    return [got(with_data), got(lambda: with_data.submit().result())], got(failed)


if __name__ == "__main__":
    (called, submitted), bad = main(return_state=True).result()
    print(json.dumps({"called": called, "submitted": submitted, "failed": bad, "flow": got(flow_with_data)}))
