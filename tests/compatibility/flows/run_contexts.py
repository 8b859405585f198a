"""`get_run_context()`, `FlowRunContext.get()` and `TaskRunContext.get()`: names, tags, parameters, run counts"""

import json

from prefect import flow, tags, task
from prefect.context import FlowRunContext, TaskRunContext, get_run_context
from prefect.exceptions import MissingContextError


def seen():
    context = get_run_context()
    inner, outer = TaskRunContext.get(), FlowRunContext.get()
    return {
        "of a task": isinstance(context, TaskRunContext),
        "parameters": context.parameters,
        "task": inner and [inner.task.name, inner.task_run.name.startswith("look-"), sorted(inner.task_run.tags), inner.task_run.run_count],
        "flow": outer
        and [outer.flow.name, outer.flow_run.name, outer.flow_run.parameters, outer.flow_run.run_count, bool(outer.flow_run.id)],
        "state": (inner.task_run if inner else outer.flow_run).state_name,
    }


@task(tags=["own"], retries=1)
def look(n, m=2):
    found = seen()
    if found["task"][3] == 1:
        raise ValueError("again")
    found["one flow run"] = TaskRunContext.get().task_run.flow_run_id == FlowRunContext.get().flow_run.id
    return found


@flow(flow_run_name="outer-{n}")
def main(n: int):
    with tags("around"):
        return [seen(), look(n), inner(n + 1)]


@flow(flow_run_name="inner-{n}")
def inner(n: int):
    return seen()


if __name__ == "__main__":
    try:
        get_run_context()
    except MissingContextError:
        outside = [FlowRunContext.get(), TaskRunContext.get()]
    print(json.dumps({"found": main(1), "outside": outside}))
