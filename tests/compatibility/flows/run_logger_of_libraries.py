"""`get_run_logger()` in a function that a task calls, and in threads of submitted tasks"""

import json
import logging

from prefect import flow, get_run_logger, task

lines = []


class Keep(logging.Handler):
    def emit(self, record):
        if record.getMessage().startswith("* "):
            lines.append(record.getMessage())


def deep():
    get_run_logger().info("* deep")


@task
def calls():
    deep()


@flow
def main():
    calls()
    calls.submit().result()


if __name__ == "__main__":
    logger = logging.getLogger("prefect.task_runs")
    logger.addHandler(Keep())
    logger.setLevel(logging.INFO)
    main()
    print(json.dumps({"lines": lines}))
