"""Generator tasks submitted: their future's result is the list of what they yield"""

import json

from prefect import flow, task


@task
def numbers(n):
    for i in range(n):
        yield i


@task
def total(values):
    return sum(values)


@flow
def reads():
    future = numbers.submit(4)
    return [list(future.result()), total(future)]


if __name__ == "__main__":
    print(json.dumps({"results": reads()}))
