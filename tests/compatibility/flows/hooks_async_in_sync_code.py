"""Async hooks of sync tasks and flows, in async flows, of transactions; `version` of tasks"""

import asyncio
import json

from prefect import flow, task
from prefect.context import get_run_context
from prefect.runtime import task_run
from prefect.transactions import transaction

calls = []


def hook(word):
    async def called(what, run, state):
        await asyncio.sleep(0)
        calls.append([word, state.name, bool(run.id)])

    return called


async def committed(transaction):
    await asyncio.sleep(0)
    calls.append(["committed"])


async def rolled_back(transaction):
    await asyncio.sleep(0)
    calls.append(["rolled back"])


@task(version="v3", on_completion=[hook("task")])
def sync_task():
    return [get_run_context().task.version, get_run_context().task_run.task_version]


@task(on_failure=[hook("failed")])
def fails():
    raise ValueError("no")


@flow(on_completion=[hook("flow")])
def main():
    sync_task.submit().wait()
    fails(return_state=True)
    return sync_task()


@flow(on_completion=[hook("async flow")])
async def main_async():
    return sync_task()


@task
def in_transaction(fails=False):
    return 1


in_transaction.on_commit(committed)
in_transaction.on_rollback(rolled_back)


@flow
def transactions():
    with transaction():
        in_transaction()
    try:
        with transaction():
            in_transaction()
            raise ValueError
    except ValueError:
        return "rolled back"


if __name__ == "__main__":
    print(json.dumps({"found": [main(), asyncio.run(main_async()), transactions()], "calls": calls}))
