"""`allow_failure(...)`: an upstream's failure is passed on as its exception"""

import json

from prefect import allow_failure, flow, task


@task
def bad():
    raise ValueError("no")


@task
def good():
    return 1


@task
def takes(*values):
    return [repr(value) for value in values]


@task
def cleans_up():
    return "cleaned"


@flow
def main():
    failed, fine = bad.submit(), good.submit()
    return [
        takes.submit(allow_failure(failed), allow_failure(fine)).result(),
        takes(allow_failure(failed)),
        cleans_up.submit(wait_for=[allow_failure(failed)]).result(),
    ]


if __name__ == "__main__":
    print(json.dumps({"results": main()}))
