"""A plain task is not cached; with `persist_result=True` the same call in the same run is"""

import json

from prefect import flow, task

calls = {"plain": 0, "persisted": 0}


@task
def plain(n):
    calls["plain"] += 1
    return n


@task(persist_result=True)
def persisted(n):
    calls["persisted"] += 1
    return n


@flow
def main():
    plain(1), plain(1)
    return [persisted(1, return_state=True).name, persisted(1, return_state=True).name]


if __name__ == "__main__":
    print(json.dumps({"first": main(), "second": main(), "calls": calls}))
