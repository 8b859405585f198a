"""What `cache_key_fn` is given: the context of the run that asks, its parameters, also those of methods"""

import json
import uuid
from uuid import UUID

from prefect import flow, task
from prefect.runtime import flow_run

salt = str(uuid.uuid4())
asked = []
states = []
ids = {}


def key(context, parameters):
    run = context.task_run
    asked.append(
        {
            "task": context.task.name,
            "id": isinstance(run.id, UUID),
            "flow run": [isinstance(run.flow_run_id, UUID), str(run.flow_run_id) == ids["flow"]],
            "parameters": [sorted(context.parameters), sorted(parameters)],
            "inputs": {name: len(given) for name, given in run.task_inputs.items() if name != "self"},
            "tags": run.tags,
        }
    )
    states.append([run.state_name, run.run_count, run.start_time is not None])
    return f"{salt}-{run.flow_run_id}-{parameters['n']}"


calls = []


@task(name="load", cache_key_fn=key, tags=["t"])
def load(n, m=2):
    calls.append(n)
    return n


class Table:
    @task(name="of method", cache_key_fn=key)
    def load(self, n):
        calls.append(n)
        return n


@task
def make():
    return 7


@flow
def below():
    ids["flow"] = flow_run.id
    return load(1)


@flow
def main():
    ids["flow"] = flow_run.id
    found = [load(1), load(1), load(make.submit()), Table().load(5)]
    return [*found, below()]


if __name__ == "__main__":
    print(json.dumps({"found": main(), "calls": calls, "asked": asked, "state": states}))
