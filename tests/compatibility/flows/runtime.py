"""`prefect.runtime`: what the running code may ask about its run"""

import json

import prefect.runtime
from prefect import flow, task
from prefect.runtime import flow_run, task_run


@task(name="asker")
def asks(n):
    return [task_run.task_name, task_run.run_count, task_run.parameters, flow_run.flow_name, task_run.id is not None]


@flow(name="asking", flow_run_name="run of {n}")
def main(n: int = 3):
    return {
        "flow": [flow_run.flow_name, flow_run.name, flow_run.parameters, flow_run.run_count, flow_run.id is not None],
        "task": asks(n),
        "deployment": prefect.runtime.deployment.name,
        "parent": flow_run.parent_flow_run_id,
    }


if __name__ == "__main__":
    print(json.dumps({"inside": main("4"), "outside": [flow_run.id, flow_run.name, flow_run.parameters, task_run.id]}))
