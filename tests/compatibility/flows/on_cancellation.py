"""A flow that returns Cancelled calls its `on_cancellation` hooks"""

import json

from prefect import flow
from prefect.states import Cancelled

seen = []


@flow
def main():
    return Cancelled()


@main.on_cancellation
def hook(flow, run, state):
    seen.append([flow.name, state.name])


if __name__ == "__main__":
    state = main(return_state=True)
    print(json.dumps({"state": state.name, "hook": seen}))
