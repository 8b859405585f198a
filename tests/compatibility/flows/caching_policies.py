"""Cache policies composed: `INPUTS - "x"`, `RUN_ID`, `TASK_SOURCE + INPUTS`, `NO_CACHE`, `FLOW_PARAMETERS`"""

import json
import uuid

from prefect import flow, task
from prefect.cache_policies import FLOW_PARAMETERS, INPUTS, NO_CACHE, RUN_ID, TASK_SOURCE

calls = {}


def count(name):
    calls[name] = calls.get(name, 0) + 1
    return calls[name]


@task(cache_policy=INPUTS - "ignored" - "name")
def without(name, salt, ignored):
    return count(name)


@task(cache_policy=RUN_ID)
def once_a_run(name):
    return count(name)


@task(cache_policy=TASK_SOURCE + INPUTS)
def source_and_inputs(name, salt):
    return count(name)


@task(cache_policy=NO_CACHE, persist_result=True)
def never(name):
    return count(name)


@task(cache_policy=FLOW_PARAMETERS)
def by_parameters(name):
    return count(name)


@flow
def main(salt):
    return {
        "excluded": [without("excluded", salt, 1), without("excluded", salt, 2)],
        "run id": [once_a_run("run"), once_a_run("run")],
        "source and inputs": [source_and_inputs("source", salt), source_and_inputs("source", salt)],
        "never": [never("never"), never("never")],
        "parameters": [by_parameters("parameters"), by_parameters("other")],
    }


if __name__ == "__main__":
    salt = str(uuid.uuid4())
    print(json.dumps({"first": main(salt), "second": main(salt)}))
