"""Tasks that submit and map tasks"""

import json

from prefect import flow, task


@task
def leaf(n):
    return n


@task
def branch(n):
    return sum(future.result() for future in leaf.map([n, n + 1]))


@flow
def main():
    return [branch.submit(1).result(), sum(branch.map([1, 2, 3]).result())]


if __name__ == "__main__":
    print(json.dumps({"results": main()}))
