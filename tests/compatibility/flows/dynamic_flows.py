"""Ordinary Python in flows: branches, loops, recursion of tasks, comprehension over results"""

import json

from prefect import flow, task


@task
def step(n):
    return n - 1


@task
def factorial(n):
    return 1 if n <= 1 else n * factorial(n - 1)


@flow
def main(n: int = 5):
    seen = []
    while n > 0:
        n = step(n)
        seen.append(n)
        if n == 2:
            break
    return [seen, factorial(5), [step(m) for m in seen if m > 2]]


if __name__ == "__main__":
    print(json.dumps({"results": main()}))
