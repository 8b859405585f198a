"""Fields of log records: ids and names of the run, `get_run_logger(key=value)`, `extra` of one call"""

import json
import logging
from uuid import UUID

from prefect import flow, get_run_logger, task
from prefect.runtime import flow_run, task_run

FIELDS = ("flow_run_id", "flow_run_name", "flow_name", "deployment_name", "task_run_id", "task_run_name", "task_name", "job", "part")
lines = []
ids = {}


class Keep(logging.Handler):
    def emit(self, record):
        if not record.getMessage().startswith("* "):
            return
        found = {name: getattr(record, name) for name in FIELDS if hasattr(record, name)}
        for name in ("flow_run_id", "task_run_id"):
            if found.get(name) is not None:
                found[name] = [type(found[name]).__name__, str(UUID(found[name])) == found[name] == ids[name]]
        lines.append([record.getMessage(), record.name.partition(".")[2], found])


def note():
    ids.update(flow_run_id=flow_run.id, task_run_id=task_run.id)


@task(name="the task", task_run_name="look", log_prints=True)
def logs():
    note()
    get_run_logger().warning("* in a task")
    get_run_logger(job="nightly").warning("* with a field")
    get_run_logger(job="nightly", part=1).warning("* and of this call", extra={"part": 2})
    print("* printed")


@flow(name="below", flow_run_name="run below")
def below():
    note()
    get_run_logger().warning("* in a subflow")
    logs()


@flow(name="main", flow_run_name="run-{n}")
def main(n: int):
    note()
    get_run_logger().warning("* in a flow")
    get_run_logger(job="nightly").warning("* with a field")
    logs()
    below()


if __name__ == "__main__":
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        logger.addHandler(Keep())
        logger.setLevel(logging.INFO)
    main(1)
    logs()
    print(json.dumps({"lines": [line for line in lines if line[2].get("flow_name") != "<unknown>"], "outside": lines[-4:]}))
