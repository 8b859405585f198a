"""Concurrency limits inside flows: a limit nobody made does not hold anybody up, unless `strict`"""

import json
import uuid

from prefect import flow, task
from prefect.concurrency.sync import concurrency

name = f"limit-{uuid.uuid4().hex[:8]}"


@task
def guarded(n):
    with concurrency(name, occupy=1):
        return n


@flow
def main():
    found = guarded.map([1, 2, 3]).result()
    try:
        with concurrency(name, strict=True):
            found.append("entered")
    except Exception as error:
        found.append("refused")
    return found


if __name__ == "__main__":
    print(json.dumps({"found": main()}))
