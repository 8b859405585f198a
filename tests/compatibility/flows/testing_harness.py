"""`prefect_test_harness`: runs of tests do not touch the history of everyday"""

import json

from prefect import flow, task
from prefect.testing.utilities import prefect_test_harness


@task
def one():
    return 1


@flow
def main():
    return one()


if __name__ == "__main__":
    with prefect_test_harness():
        print(json.dumps({"result": main()}))
