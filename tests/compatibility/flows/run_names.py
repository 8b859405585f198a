"""`task_run_name` and `flow_run_name`: templates and callables"""

import json
from datetime import datetime

from prefect import flow, task
from prefect.runtime import flow_run, task_run


@task(task_run_name="clean {city} by {when:%Y}")
def templated(city, when=datetime(2026, 1, 1)):
    return task_run.name


@task(task_run_name=lambda: "from a callable")
def called():
    return task_run.name


def by_parameters(parameters):
    return f"{len(parameters)} parameters"


@task(task_run_name=by_parameters)
def called_with(a, b):
    return task_run.name


@flow(flow_run_name="{word}-run")
def child(word):
    return flow_run.name


@flow(flow_run_name=lambda: "main run")
def main():
    return [templated("Rome"), templated.submit("Oslo").result(), called(), called_with(1, 2), child("child"), flow_run.name]


if __name__ == "__main__":
    print(json.dumps({"names": main()}))
