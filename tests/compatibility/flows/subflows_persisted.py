"""A persisted subflow when the flow around it is tried again: finished ones are not run again"""

import json

from prefect import flow, task

log = []


@task(persist_result=False)
def step(word):
    log.append(f"task {word}")
    return word


@flow(persist_result=True)
def kept(word):
    log.append(word)
    return step(word)


@flow
def not_kept(word):
    log.append(word)
    return word


@flow(persist_result=True)
def flaky(word):
    log.append(word)
    if log.count(word) < 2:
        raise ValueError(word)
    return word


@flow(retries=1)
def main():
    log.append("main")
    values = [kept("a"), kept("b"), kept("b"), not_kept("c")]
    if log.count("main") < 2:
        raise ValueError("again")
    return values


@flow(retries=1)
def with_a_failed_one():
    log.append("again")
    return [kept("d"), flaky("e")]


if __name__ == "__main__":
    values = main()
    first, log[:] = list(log), []
    print(json.dumps({"values": values, "log": first, "with a failed one": [with_a_failed_one(), log]}))
