"""Names of runs of methods, with `self` in them; functions that give no text"""

import json

from prefect import flow, task
from prefect.context import get_run_context
from prefect.runtime import flow_run, task_run


class Table:
    name = "sales"

    @task(task_run_name="{self.name}-{day}")
    def load(self, day):
        return [task_run.name, sorted(task_run.parameters), sorted(get_run_context().parameters)]

    @flow(flow_run_name="{self.name}-{day}")
    def main(self, day: int):
        return [flow_run.name, self.load(day), self.load.submit(day + 1).result()[0]]


@task(task_run_name=lambda: 3)
def named_by_number():
    pass


@flow(flow_run_name=lambda: None)
def named_by_nothing():
    pass


@flow
def names_a_task():
    named_by_number()


def is_refused(flow):
    try:
        flow()
    except Exception:
        return True
    return False


if __name__ == "__main__":
    print(json.dumps({"names": Table().main(3), "no text": [is_refused(named_by_nothing), is_refused(names_a_task)]}))
