"""`map(quote([…]))`: the list is split, its elements are left as they are"""

import json

from prefect import flow, task
from prefect.utilities.annotations import quote


@task
def kind(value, other=None):
    return [type(value).__name__, other]


@task
def make():
    return 1


@flow
def main():
    future = make.submit()
    return {
        "elements": kind.map(quote([1, "a", [2]])).result(),
        "futures in it": [found[0].endswith("Future") for found in kind.map(quote([future, future])).result()],
        "beside a list": kind.map(quote([1, 2]), [3, 4]).result(),
        "a single value": kind.map([1, 2], quote(3)).result(),
    }


if __name__ == "__main__":
    print(json.dumps(main()))
