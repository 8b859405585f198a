"""Ids of runs, in `runtime`, contexts, futures and subflows: UUIDs, one for each run"""

import json
from uuid import UUID

from prefect import flow, task
from prefect.context import FlowRunContext, TaskRunContext
from prefect.runtime import deployment, flow_run, task_run


def here():
    inner, outer = TaskRunContext.get(), FlowRunContext.get()
    return {
        "flow": flow_run.id,
        "flow of the context": outer and str(outer.flow_run.id),
        "task": task_run.id,
        "task of the context": inner and str(inner.task_run.id),
        "flow run of the task": inner and inner.task_run.flow_run_id and str(inner.task_run.flow_run_id),
        "parent": flow_run.parent_flow_run_id,
        "root": flow_run.root_flow_run_id,
        "deployment": [deployment.id, deployment.flow_run_id],
        "kinds": [
            type(flow_run.id).__name__,
            type(task_run.id).__name__,
            outer and type(outer.flow_run.id).__name__,
            inner and type(inner.task_run.id).__name__,
        ],
    }


@task
def look():
    return here()


@task
def deep():
    return [here(), look()]


@flow
def below():
    return [here(), look(), look.submit().result()]


@flow
def main():
    future = look.submit()
    return {
        "flow": here(),
        "task": look(),
        "submitted": future.result(),
        "future": [type(future.task_run_id).__name__, str(future.task_run_id)],
        "subflows": [below(), below()],
        "nested": deep(),
    }


def compared(found):
    root = found["flow"]["flow"]
    first, second = found["subflows"]
    tasks = [found["task"]["task"], found["submitted"]["task"], *(each["task"] for each in (*first[1:], *second[1:], *found["nested"]))]
    flows = {root, first[0]["flow"], second[0]["flow"]}
    return {
        "kinds": [each["kinds"] for each in (found["flow"], found["task"], first[0], first[1])],
        "they are UUIDs": [str(UUID(each)) == each for each in (*flows, *tasks)],
        "each run has its own": [len(flows), len(set(tasks))],
        "contexts say the same": [
            [each["flow"] == each["flow of the context"], each["task"] == each["task of the context"]]
            for each in (found["flow"], found["task"], *first, *second)
        ],
        "the future knows it": [found["future"][0], found["future"][1] == found["submitted"]["task"]],
        "tasks belong to their flow": [
            each["flow run of the task"] == each["flow"] for each in (found["task"], *first[1:], *second[1:], *found["nested"])
        ],
        "subflows know the flow around": [[each[0]["parent"] == root, each[0]["root"] == root] for each in (first, second)],
        "the flow has none around": [found["flow"]["parent"], found["flow"]["root"] == root],
        "deployment": [found["flow"]["deployment"][0], found["flow"]["deployment"][1] == root],
    }


if __name__ == "__main__":
    alone = look()
    outside = [alone["flow run of the task"], str(UUID(alone["task"])) == alone["task"], alone["flow"], look()["task"] == alone["task"]]
    print(json.dumps({**compared(main()), "outside of flows": outside}))
