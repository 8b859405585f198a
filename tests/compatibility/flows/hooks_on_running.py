"""`on_running` hooks of tasks and flows, also before each retry"""

import json

from prefect import flow, task

log = []


def hook(what, run, state):
    log.append([what.name, state.name])


@task(on_running=[hook], retries=1)
def flaky():
    log.append("body")
    if log.count("body") == 1:
        raise ValueError
    return 1


@flow(on_running=[hook])
def main():
    return flaky()


if __name__ == "__main__":
    print(json.dumps({"result": main(), "calls": log}))
