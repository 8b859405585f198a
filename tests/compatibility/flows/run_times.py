"""Times and counts of a run that is tried again: `start_time` of the run, of the context, `total_run_time`"""

import json
import time
from datetime import timedelta

from prefect import flow, task
from prefect.context import get_run_context
from prefect.runtime import task_run

seen = []


@task(retries=1, retry_delay_seconds=0.3)
def again():
    context = get_run_context()
    seen.append([context.task_run.start_time, context.start_time, context.task_run.total_run_time, context.task_run.run_count])
    seen[-1] += [context.task_run.state_name, context.task_run.end_time, task_run.run_count]
    time.sleep(0.1)
    if len(seen) == 1:
        raise ValueError("once more")


@flow(retries=1)
def main():
    context = get_run_context()
    flows.append([context.flow_run.start_time, context.start_time, context.flow_run.run_count])
    if len(flows) == 1:
        raise ValueError("once more")
    again()


flows = []

if __name__ == "__main__":
    main()
    first, second = seen
    print(
        json.dumps(
            {
                "the run started with its first try": first[0] == second[0],
                "the context with this one": second[1] - first[1] >= timedelta(seconds=0.35),
                "run times": [first[2] == timedelta(0), timedelta(seconds=0.1) <= second[2] < timedelta(seconds=0.35)],
                "counts": [first[3:], second[3:]],
                "of flows": [flows[0][0] == flows[1][0], flows[0][1] < flows[1][1], flows[0][2], flows[1][2]],
            }
        )
    )
