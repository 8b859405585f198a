"""Tasks called like functions, from flows, from other tasks, and outside of any flow"""

import json

from prefect import flow, task


@task
def add(a, b=1):
    """Adds."""
    return a + b


@task
def twice(a):
    return add(add(a), b=2)


@flow
def my_sums(n: int = 3):
    """Sums up."""
    return add(n, b=4) + twice(n)


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "flow": my_sums(),
                "outside": add(1),
                "names": [my_sums.name, add.name],
                "descriptions": [my_sums.description, add.description],
                "fn": add.fn(5),
            }
        )
    )
