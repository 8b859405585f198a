"""Calls in async code that are not awaited"""

import asyncio
import json
import uuid
import warnings

from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.variables import Variable

name = f"compatibility_{uuid.uuid4().hex[:8]}"


@flow
async def sets():
    Variable.set(name, 1)


@task
async def makes():
    create_markdown_artifact(key="report", markdown="# Report")


@flow
async def calls_a_task():
    return (await makes(return_state=True)).name


@flow
async def decides():
    return "yes" if Variable.get(name) else "no"


def ended(call):
    try:
        return asyncio.run(call())
    except Exception as error:
        return type(error).__name__


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(
        json.dumps(
            {
                "a variable": ended(sets),
                "is it set": Variable.get(name),
                "an artifact in a task": ended(calls_a_task),
                "a condition": ended(decides),
            }
        )
    )
