"""`disable_run_logger()`: a task's function called by itself, as in tests"""

import json

from prefect import get_run_logger, task
from prefect.exceptions import MissingContextError
from prefect.logging import disable_run_logger


@task
def talks(n):
    get_run_logger().info("talking")
    return n + 1


if __name__ == "__main__":
    try:
        talks.fn(1)
    except MissingContextError:
        outside = "refused"
    with disable_run_logger():
        inside = talks.fn(1)
    try:
        talks.fn(1)
    except MissingContextError:
        after = "refused"
    print(json.dumps({"outside": outside, "inside": inside, "after": after}))
