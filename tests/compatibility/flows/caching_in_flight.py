"""Four calls with the same cache key at the same time"""

import json
import threading
import time
import uuid

from prefect import flow, task
from prefect.cache_policies import INPUTS

calls = []
lock = threading.Lock()


@task(cache_policy=INPUTS)
def costly(salt):
    with lock:
        calls.append(1)
    time.sleep(0.5)
    return 1


@flow
def main():
    salt = str(uuid.uuid4())
    return [future.result() for future in [costly.submit(salt) for _ in range(4)]]


if __name__ == "__main__":
    print(json.dumps({"results": main(), "calls": len(calls)}))
