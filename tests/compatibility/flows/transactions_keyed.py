"""A transaction with a key and `is_committed()`: what is done once is not done again"""

import json
import uuid

from prefect import flow, task
from prefect.transactions import transaction

log = []


@task
def write(value):
    log.append(value)


@flow
def main(key):
    with transaction(key=key) as txn:
        if txn.is_committed():
            log.append("already")
            return "skipped"
        write("written")
        txn.stage({"value": 1})
    return "done"


if __name__ == "__main__":
    key = str(uuid.uuid4())
    print(json.dumps({"results": [main(key), main(key)], "log": log}))
