"""`wait_for`: runs after others without taking their results"""

import json
import time

from prefect import flow, task

order = []


@task
def first():
    time.sleep(0.2)
    order.append("first")


@task
def second():
    order.append("second")


@task
def each(n):
    order.append(n)
    return n


@flow
def child():
    order.append("child")


@flow
def main():
    one = first.submit()
    two = second.submit(wait_for=[one])
    three = each.map([1], wait_for=[two])
    child(wait_for=[three[0]])
    second(wait_for=[first.submit()])


if __name__ == "__main__":
    main()
    print(json.dumps({"order": order}))
