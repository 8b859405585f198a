"""`retry_condition_fn`: asked before each retry; False, or an exception in it, ends the retries"""

import json

from prefect import flow, task

counts = {"always": 0, "never": 0, "on value": 0, "broken": 0}
asked = []


def only_value_errors(task, task_run, state):
    asked.append([task.name, state.name])
    try:
        state.result()
    except ValueError:
        return True
    except Exception:
        return False


def broken(task, task_run, state):
    raise RuntimeError("condition")


@task(retries=2, retry_condition_fn=lambda task, task_run, state: True)
def always():
    counts["always"] += 1
    raise ValueError


@task(retries=2, retry_condition_fn=lambda task, task_run, state: False)
def never():
    counts["never"] += 1
    raise ValueError


@task(retries=3, retry_condition_fn=only_value_errors)
def on_value():
    counts["on value"] += 1
    raise ValueError if counts["on value"] == 1 else KeyError


@task(retries=2, retry_condition_fn=broken)
def with_broken():
    counts["broken"] += 1
    raise ValueError


@flow
def tries():
    return [each(return_state=True).name for each in (always, never, on_value, with_broken)]


if __name__ == "__main__":
    print(json.dumps({"states": tries(return_state=True).type.value, "calls": counts, "asked": asked}))
