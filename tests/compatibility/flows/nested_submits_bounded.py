"""Tasks that wait for tasks, in a pool smaller than their number"""

import json

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner


@task
def leaf(n):
    return n


@task
def branch(n):
    try:
        return leaf.submit(n).result(timeout=3)
    except TimeoutError:
        return None


@flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
def main():
    return branch.submit(7).result()


if __name__ == "__main__":
    print(json.dumps({"result": main()}))
