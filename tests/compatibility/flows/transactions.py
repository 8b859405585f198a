"""Transactions: commit and rollback hooks of tasks, in which order"""

import json

from prefect import flow, task
from prefect.transactions import transaction

log = []


@task
def write(name):
    log.append(f"write {name}")
    return name


@write.on_rollback
def undo(txn):
    log.append("undo")


@write.on_commit
def confirm(txn):
    log.append("confirm")


@task
def second(name):
    log.append(f"second {name}")


@second.on_rollback
def undo_second(txn):
    log.append("undo second")


@task
def check(fails):
    if fails:
        raise ValueError("check")
    log.append("checked")


@flow
def main(fails: bool):
    with transaction() as txn:
        txn.set("key", "value")
        write("a")
        second("b")
        log.append(txn.get("key"))
        check(fails)


if __name__ == "__main__":
    main(False)
    good = list(log)
    log.clear()
    state = main(True, return_state=True)
    print(json.dumps({"committed": good, "rolled back": log, "state": state.name}))
