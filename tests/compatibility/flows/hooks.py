"""State hooks of tasks and flows: when they are called, in which order, with what"""

import json

from prefect import flow, task

log = []


def hook(word):
    def called(what, run, state):
        log.append([word, what.name, state.name, state.type.value])

    called.__name__ = word
    return called


def broken(what, run, state):
    log.append(["broken"])
    raise RuntimeError("a hook fails")


@task(on_completion=[broken, hook("task completed")], on_failure=[hook("task failed")])
def good():
    return 1


@task(on_failure=[hook("task failed 1"), hook("task failed 2")], retries=1)
def bad():
    raise ValueError("no")


@bad.on_failure
def attached(what, run, state):
    log.append(["attached", what.name, state.name])


@flow(on_completion=[hook("flow completed")], on_failure=[hook("flow failed")])
def main(fails: bool):
    good()
    if fails:
        bad()


@main.on_completion
def attached_to_flow(what, run, state):
    log.append(["attached to flow", what.name, state.name])


if __name__ == "__main__":
    main(False)
    main(True, return_state=True)
    print(json.dumps({"calls": log}))
