"""`pause_flow_run` in a task pauses its flow run; `suspend_flow_run` is refused there"""

import json
import threading
import time

from prefect import flow, pause_flow_run, resume_flow_run, suspend_flow_run, task
from prefect.exceptions import FlowPauseTimeout
from prefect.runtime import flow_run


def resume_soon(flow_run_id):
    def insist():
        for _ in range(200):
            try:
                return resume_flow_run(flow_run_id)
            except Exception:
                time.sleep(0.05)

    thread = threading.Thread(target=insist)
    thread.start()
    return thread


@task
def waits():
    thread = resume_soon(flow_run.id)
    pause_flow_run(timeout=20, poll_interval=0.2)
    thread.join()
    return "went on"


@task
def waits_in_vain():
    try:
        pause_flow_run(timeout=0.3, poll_interval=0.1)
    except FlowPauseTimeout:
        return "nobody came"


@task
def suspends():
    try:
        suspend_flow_run()
    except RuntimeError:
        return "refused"


@flow
def main():
    return [waits(), suspends(), waits_in_vain()]


if __name__ == "__main__":
    print(json.dumps({"found": main()}))
