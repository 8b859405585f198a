"""`ThreadPoolTaskRunner(max_workers=…)`: at most that many at a time"""

import json
import threading
import time

from prefect import flow, task
from prefect.task_runners import ThreadPoolTaskRunner

lock = threading.Lock()
running = most = 0


@task
def busy(n):
    global running, most
    with lock:
        running += 1
        most = max(most, running)
    time.sleep(0.1)
    with lock:
        running -= 1
    return n


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
def main():
    return busy.map(range(6)).result()


if __name__ == "__main__":
    print(json.dumps({"results": main(), "at a time": most}))
