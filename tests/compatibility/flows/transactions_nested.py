"""Transactions in transactions: an inner one rolls back with the outer one"""

import json

from prefect import flow, task
from prefect.transactions import transaction

log = []


def step(name, fails=False):
    @task(name=name)
    def body():
        log.append(name)
        if fails:
            raise ValueError(name)

    @body.on_rollback
    def undo(txn):
        log.append(f"undo {name}")

    return body


@flow
def main():
    with transaction():
        step("a")()
        with transaction():
            step("b")()
            step("c")()
        step("d", fails=True)()


@flow
def caught():
    with transaction():
        step("e")()
        try:
            with transaction():
                step("f")()
                step("g", fails=True)()
        except ValueError:
            log.append("caught")
        step("h")()


if __name__ == "__main__":
    states = [main(return_state=True).name, caught(return_state=True).name]
    print(json.dumps({"log": log, "states": states}))
