"""What hooks are given: the run with its ids, parameters, inputs, state, times and counts"""

import json
from datetime import datetime, timedelta
from uuid import UUID

from prefect import flow, task
from prefect.runtime import flow_run
from prefect.states import Crashed

seen = {}
ids = {}


def told(run, state):
    ended = run.state.type.value in ("COMPLETED", "FAILED", "CANCELLED", "CRASHED")
    return {
        "id": isinstance(run.id, UUID),
        "name": bool(run.name),
        "state": [run.state is state, run.state_name, run.state_type.value, run.state_name == run.state.name],
        "tags": [type(run.tags).__name__, sorted(run.tags)],
        "run count": run.run_count,
        "times": [
            isinstance(time, datetime) and time.tzinfo is not None for time in (run.created, run.expected_start_time, run.start_time)
        ],
        "order": run.expected_start_time <= run.start_time,
        "run times": [isinstance(time, timedelta) for time in (run.total_run_time, run.estimated_run_time)],
        "ended": ended,
        **(as_dict(run) if run.state_type.value in ("RUNNING", "COMPLETED") else {}),
    }


def as_dict(run):
    return {
        "dict": [run.dict()["id"] == run.model_dump()["id"] == run.id, sorted({"name", "tags", "run_count"} & set(run.model_dump()))],
        "json": json.loads(run.model_dump_json())["id"] == str(run.id),
    }


def of_flow(word):
    def hook(flow, run, state):
        seen[word] = told(run, state) | {
            "parameters": run.parameters,
            "flow": isinstance(run.flow_id, UUID),
            "deployment": run.deployment_id,
            "id is runtime's": str(run.id) == ids.get("flow"),
        }

    return hook


def of_task(word):
    def hook(task, run, state):
        inputs = {name: [each.input_type for each in given] for name, given in run.task_inputs.items()}
        seen[word] = told(run, state) | {
            "flow run": [isinstance(run.flow_run_id, UUID), str(run.flow_run_id) == ids.get("flow")],
            "inputs": inputs,
            "input is the run": [each.id == ids["first"] for each in run.task_inputs["value"]],
            "keys": [isinstance(run.task_key, str), isinstance(run.dynamic_key, str)],
            "end": isinstance(run.end_time, datetime) == seen_end(run),
        }

    return hook


def seen_end(run):
    return run.state_type.value != "RUNNING"


@task
def first():
    return 1


@task(tags=["t"], on_running=[of_task("task running")], on_completion=[of_task("task completed")], on_failure=[of_task("task failed")])
def work(value, by=2, fails=False):
    if fails:
        raise ValueError("no")
    return value * by


@flow(
    on_running=[of_flow("flow running")],
    on_completion=[of_flow("flow completed")],
    on_failure=[of_flow("flow failed")],
    on_crashed=[of_flow("flow crashed")],
)
def main(ends: str, n: int = 3):
    ids["flow"] = flow_run.id
    if ends == "crashed":
        return Crashed()
    future = first.submit()
    ids["first"] = future.task_run_id
    work(future, fails=ends == "failed")


if __name__ == "__main__":
    for ends in ("completed", "failed", "crashed"):
        main(ends, return_state=True)
        seen.pop("flow running", None)
    print(json.dumps(seen))
