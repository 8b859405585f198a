"""`pause_flow_run`: waits until resumed; fails when nobody does in time"""

import json
import threading
import time

from prefect import flow, pause_flow_run, resume_flow_run, task
from prefect.exceptions import FlowPauseTimeout
from prefect.runtime import flow_run

log = []


def resume_soon(run_id):
    while True:
        time.sleep(0.5)
        try:
            resume_flow_run(run_id)
        except Exception:
            continue
        return


@flow
def main():
    log.append("before")
    threading.Thread(target=resume_soon, args=(flow_run.id,), daemon=True).start()
    pause_flow_run(timeout=30, poll_interval=1)
    log.append("after")
    return "done"


@flow
def waits_in_vain():
    pause_flow_run(timeout=1, poll_interval=1)


if __name__ == "__main__":
    result = main()
    try:
        waits_in_vain()
        raised = None
    except FlowPauseTimeout as error:
        raised = type(error).__name__
    print(json.dumps({"result": result, "log": log, "raised": raised}))
