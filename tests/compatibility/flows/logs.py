"""`get_run_logger()`, `log_prints` of flows and tasks, and their inheritance"""

import json
import logging

from prefect import flow, get_run_logger, task
from prefect.exceptions import MissingContextError

lines = []


class Keep(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("* "):
            lines.append([record.levelname, record.getMessage()])


@task
def prints():
    print("* printed in a task")


@task(log_prints=False)
def prints_plainly():
    print("* really printed")


@task
def logs():
    get_run_logger().warning("* warned in a task, %s", "formatted")


@flow(log_prints=True)
def main():
    print("* printed in a flow")
    get_run_logger().info("* logged in a flow")
    prints()
    prints_plainly()
    logs()


if __name__ == "__main__":
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logger = logging.getLogger(name)
        logger.addHandler(Keep())
        logger.setLevel(logging.INFO)
    main()
    try:
        get_run_logger()
        outside = None
    except MissingContextError as error:
        outside = type(error).__name__
    print(json.dumps({"lines": lines, "outside": outside}))
