"""Functions that are called in sync code and awaited in async code, `_sync=True`, and their twins with `a` in front"""

import asyncio
import json
import uuid

from prefect import flow, pause_flow_run, resume_flow_run, runtime, task
from prefect.artifacts import (
    acreate_markdown_artifact,
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.blocks.system import Secret
from prefect.exceptions import NotPausedError
from prefect.states import Completed
from prefect.variables import Variable

name = f"compatibility_{uuid.uuid4().hex[:8]}"


@task
def plain_task():
    return Variable.get(name, default="plain")


@task
async def async_task():
    return await Variable.get(name, default="awaited")


@task
def fails():
    raise ValueError("no")


@flow
def plain_flow():
    return [Variable.get(name, default="plain"), Completed(data=1).result(), plain_task()]


@flow
async def variables():
    found = [await Variable.get(name), await Variable.get(name, default="default")]
    await Variable.set(name, [1])
    found += [await Variable.get(name), await Variable.aget(name), Variable.get(name, _sync=True)]
    found += await asyncio.gather(*(Variable.get(name) for _ in range(2)))
    try:
        await Variable.set(name, 1)
    except ValueError as error:
        found.append(type(error).__name__)
    made = await Variable.set(name, "other", overwrite=True)
    return [*found, made.value, await Variable.unset(name), await Variable.aunset(name)]


@flow
async def secrets():
    await Secret(value="hidden").save("compatibility-awaited", overwrite=True)
    secret = await Secret.load("compatibility-awaited")
    return [secret.get(), (await Secret.aload("compatibility-awaited")).get(), Secret.load("compatibility-awaited", _sync=True).get()]


@flow
async def artifacts():
    made = [
        await create_markdown_artifact(key="report", markdown="# Report"),
        await create_table_artifact(key="table", table=[{"a": 1}]),
        await create_link_artifact(key="link", link="https://example.invalid"),
        await create_image_artifact(key="image", image_url="https://example.invalid/a.png"),
        await acreate_markdown_artifact(key="report", markdown="# Report"),
        create_markdown_artifact(key="report", markdown="# Report", _sync=True),
        progress := await create_progress_artifact(key="progress", progress=10.0),
    ]
    await update_progress_artifact(progress, progress=100.0)
    return [type(artifact).__name__ for artifact in made]


@flow
async def states():
    good = await async_task(return_state=True)
    bad = fails(return_state=True)
    found = [await good.result(), await good.aresult(), good.result(_sync=True)]
    found.append(repr(await bad.result(raise_on_failure=False)))
    try:
        await bad.result()
    except ValueError as error:
        found.append(str(error))
    return found


@flow
async def helpers():
    def helper():
        return Variable.get(name, default="helped")

    return [await helper(), await asyncio.create_task(helper()), plain_task(), plain_flow(), async_task.submit().result()]


@flow
async def pauses():
    run = runtime.flow_run.id

    async def resumes():
        while True:
            try:
                return await resume_flow_run(run)
            except NotPausedError:
                await asyncio.sleep(0.1)

    return await asyncio.gather(pause_flow_run(timeout=20, poll_interval=1), resumes())


async def without_a_run():
    await Variable.set(name, 5)
    found = await Variable.get(name)
    return [found, plain_flow()[0], await Variable.unset(name)]


if __name__ == "__main__":
    print(
        json.dumps(
            {
                "sync": plain_flow(),
                "variables": asyncio.run(variables()),
                "secrets": asyncio.run(secrets()),
                "artifacts": asyncio.run(artifacts()),
                "states": asyncio.run(states()),
                "pauses": asyncio.run(pauses()),
                "helpers": asyncio.run(helpers()),
                "an event loop without a run": asyncio.run(without_a_run()),
            }
        )
    )
